"""Charts of one subject's inputs."""

from __future__ import annotations

from collections.abc import Iterator

from accel_models.pages import Chart, ChartMark, Frame
from accel_models.pages.frame import SHARE
from dfs_hw.report.charts.colours import RIGHT_COLOURS
from dfs_hw.report.subject import MARKED, InputSpread, Subject

ENERGY = ("energy_j", "energy of an input", "J")


def input_charts(subject: Subject, prefix: str) -> Iterator[Chart]:
    """Histogram, distribution, percentiles, classes, and single inputs; none of a static one."""
    found = subject.inputs
    if found is None:
        return
    yield _histogram(found, prefix)
    yield _cumulative(found, prefix)
    yield _percentiles(found, prefix)
    yield _classes(found, prefix)
    for name, title in (
        ("confidence", "probability of the predicted class"),
        ("severity", "severity of the degradation"),
    ):
        if any(getattr(one, name) is not None for one in found.sample):
            yield _against(found, prefix, name, title)


def _marks(found: InputSpread) -> tuple[ChartMark, ...]:
    return tuple(ChartMark("x", found.energy[name], name) for name in sorted(MARKED))


def _histogram(found: InputSpread, prefix: str) -> Chart:
    columns = [
        *(ENERGY, ("to", "to", "J"), ("inputs", "inputs"), ("predicted", "predicted")),
    ]
    rows = [
        (one.low, one.high, count, word)
        for word in ("right", "wrong")
        for one in found.histogram
        for count in (getattr(one, word),)
    ]
    return Chart(
        f"{prefix}histogram", "Energy over inputs", "columns", Frame.of(columns, rows),
        x="energy_j", end="to", y="inputs", series="predicted", colours=RIGHT_COLOURS,
        marks=_marks(found),
    )  # fmt: skip


def _cumulative(found: InputSpread, prefix: str) -> Chart:
    columns = [ENERGY, ("share", "share of inputs that cost no more", SHARE)]
    return Chart(
        f"{prefix}distribution", "Cumulative distribution of energy", "lines",
        Frame.of(columns, found.quantiles), x="energy_j", y="share", stairs=True,
        marks=_marks(found),
    )  # fmt: skip


def _percentiles(found: InputSpread, prefix: str) -> Chart:
    columns = [("figure", ""), ("energy_j", "energy", "J"), ("latency_s", "latency", "s")]
    rows = [(name, value, found.latency[name]) for name, value in found.energy.items()]
    title = "Mean, percentiles and maximum of an input"
    return Chart(
        f"{prefix}percentiles", title, "table", Frame.of(columns, rows), "energy_j", "figure"
    )


def _classes(found: InputSpread, prefix: str) -> Chart:
    columns = [
        *(("label", "class"), ("inputs", "inputs"), ("accuracy", "accuracy", SHARE)),
        *(("energy_j", "mean energy of an input", "J"), ("latency_s", "mean latency", "s")),
    ]
    rows = [tuple(vars(one).values()) for one in found.classes]
    return Chart(
        f"{prefix}classes", "Accuracy against energy, class by class", "points",
        Frame.of(columns, rows), x="energy_j", y="accuracy", label="label",
    )  # fmt: skip


def _against(found: InputSpread, prefix: str, name: str, title: str) -> Chart:
    columns = [
        *(("number", "input"), ENERGY, (name, title), ("latency_s", "latency", "s")),
        *(("label", "class"), ("prediction", "predicted"), ("found", "prediction is")),
    ]
    rows = [
        (
            one.number, one.energy_j, getattr(one, name), one.latency_s, one.label, one.prediction,
            "right" if one.right else "wrong",
        )
        for one in found.sample
    ]  # fmt: skip
    correlation = getattr(found, f"{name}_correlation")
    note = f"{len(rows):,} inputs, drawn evenly from the trace."
    if correlation is not None:
        note += f" Rank correlation {correlation:+.2f}.".replace("-", "−")
    return Chart(
        f"{prefix}{name}", f"{name.capitalize()} against energy", "points",
        Frame.of(columns, rows), x="energy_j", y=name, series="found", colours=RIGHT_COLOURS,
        filters=("label",), note=note,
    )  # fmt: skip
