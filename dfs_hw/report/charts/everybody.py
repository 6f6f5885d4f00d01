"""Charts of all that were run beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from accel_models.pages import Chart, Frame
from accel_models.pages.frame import SHARE, Cell
from dfs_hw.report.charts.colours import COMPONENT_COLOURS
from dfs_hw.report.report import Bounds, Comparison, Competitor, EnergyReport

NO_GATE = "no gate on one network can be expected above"
STATIC_BOUND = "best static assignments of it"
CURVES = (
    " Curves: of one network with all widths trained, without what gates cost; one that was "
    "trained for its own widths is another network, and may lie above."
)


def comparison_charts(comparison: Comparison) -> Iterator[Chart]:
    """Accuracy against energy of everybody, the verdicts, and sweeps of the budget."""
    yield _scatter(comparison)
    yield _table(comparison)
    if comparison.judgements:
        yield _judgements(comparison)
    if comparison.sweep:
        yield _sweep(comparison)
    if len(comparison.replays) > 1:
        yield _replays(comparison)


def _scatter(comparison: Comparison) -> Chart:
    rows: list[tuple[Cell, ...]] = [
        (
            one.name, one.group, one.energy_j, one.accuracy, *_around(one.energy_j, one.energy_sd),
            *_around(one.accuracy, one.accuracy_sd), one.latency_s, one.seeds,
        )
        for one in comparison.competitors
    ]  # fmt: skip
    nothing = (None,) * 6
    for point in comparison.headroom_curve:
        rows.append(("", NO_GATE, point.energy_j, point.limit, *nothing))
        rows.append(("", STATIC_BOUND, point.energy_j, point.static, *nothing))
    columns = [
        *(("name", "network"), ("group", "kind")),
        *(("energy_j", "energy of an input", "J"), ("accuracy", "test accuracy", SHARE)),
        *(("energy_low", "energy − s.d.", "J"), ("energy_high", "energy + s.d.", "J")),
        *(("accuracy_low", "accuracy − s.d.", SHARE), ("accuracy_high", "accuracy + s.d.", SHARE)),
        *(("latency_s", "latency", "s"), ("seeds", "seeds")),
    ]
    several = any(one.seeds > 1 for one in comparison.competitors)
    return Chart(
        "accuracy-energy",
        "Accuracy against simulated energy, everybody",
        "points",
        Frame.of(columns, rows),
        x="energy_j",
        y="accuracy",
        series="group",
        label="name",
        spread=("energy_low", "energy_high"),
        reach=("accuracy_low", "accuracy_high"),
        joined=(NO_GATE, STATIC_BOUND) if comparison.headroom_curve else (),
        note="Means over test inputs"
        + (" and seeds; lines: ± standard deviation between seeds." if several else ".")
        + (CURVES if comparison.headroom_curve else ""),
    )


def _around(mean: float, deviation: float | None) -> tuple[float | None, float | None]:
    return (None, None) if deviation is None else (mean - deviation, mean + deviation)


def _table(comparison: Comparison) -> Chart:
    columns = [
        *(("name", "network"), ("kind", "kind"), ("accuracy", "accuracy", SHARE)),
        *(("bitops", "BitOps"), ("energy_j", "energy", "J"), ("latency_s", "latency", "s")),
        *(("of_best_bitops", "BitOps of the best static's", SHARE),),
        *(("of_best_energy", "energy of it", SHARE), ("of_best_latency", "latency of it", SHARE)),
        ("said", "which is"),
    ]
    best = next((one for one in comparison.competitors if one.best), None)
    rows = [
        (
            one.name, one.kind, one.accuracy, one.bitops, one.energy_j, one.latency_s,
            *_of(one, best), _said(one),
        )
        for one in comparison.competitors
    ]  # fmt: skip
    return Chart(
        "everybody",
        "Everybody beside the best static network",
        "table",
        Frame.of(columns, rows),
        x="energy_j",
        y="name",
        note="BitOps are MACs × weight bits × activation bits of all that runs. Frozen: every "
        "block at its most frequent choice on validation inputs, for all inputs and without gates. "
        "Shuffled: each input run with another's choices. Where accuracy stays the same under "
        "these, the gates gained little from looking at the input.",
    )


Three = tuple[float | None, float | None, float | None]


def _of(one: Competitor, best: Competitor | None) -> Three:
    if best is None:
        return None, None, None
    return (
        one.bitops / best.bitops if best.bitops else None,
        one.energy_j / best.energy_j,
        one.latency_s / best.latency_s,
    )


def _said(one: Competitor) -> str:
    return "the verdict's" if one.leads else "best static" if one.best else ""


def _judgements(comparison: Comparison) -> Chart:
    columns = [
        *(("contender", "contender"), ("target", "× budget"), ("share", "spent", SHARE)),
        *(("accuracy", "accuracy", SHARE), ("than", "best static at that")),
        *(("points", "accuracy over it", SHARE), ("low", "from", SHARE), ("high", "to", SHARE)),
        *(("shuffled", "over itself shuffled", SHARE), ("shuffled_low", "from", SHARE)),
        *(("shuffled_high", "to", SHARE), ("saving", "spared at equal accuracy", SHARE)),
        *(("saving_low", "from", SHARE), ("saving_high", "to", SHARE), ("earned", "earned it")),
        *(("drawn_low", "constants drawn, over it: least", SHARE), ("drawn_high", "most", SHARE)),
        *(("ahead", "above it in draws", SHARE), ("keeps", "earned in draws", SHARE)),
        ("alone", "no rival in draws", SHARE),
    ]
    rows = [
        (
            one.contender, one.target, one.share, one.accuracy, one.than, *_ends(one.points),
            *_ends(one.shuffled), *_ends(one.saving), one.earned,
            *(one.drawn or (None, None)), one.ahead, one.keeps, one.alone,
        )
        for one in comparison.judgements
    ]  # fmt: skip
    return Chart(
        "verdicts",
        "Against static networks at every budget, both ways round",
        "table",
        Frame.of(columns, rows),
        x="share",
        y="contender",
        note="95 % intervals, over inputs and trainings. Constants drawn: all of the machine's "
        "from their ranges together, the best static network looked for anew at each draw.",
    )


def _ends(bounds: Bounds | None) -> Three:
    return (None, None, None) if bounds is None else (bounds.mean, bounds.low, bounds.high)


def _sweep(comparison: Comparison) -> Chart:
    columns = [
        *(("line", "contender and seed"), ("contender", "contender"), ("seed", "seed")),
        *(("variant", "as"), ("target", "× budget"), ("share", "spent of the budget", SHARE)),
        *(("accuracy", "test accuracy", SHARE), ("energy_j", "energy", "J")),
        ("latency_s", "latency", "s"),
    ]
    rows = [
        (
            f"{one.contender}, seed {one.seed}", one.contender, str(one.seed), one.variant,
            one.target, one.share, one.accuracy, one.energy_j, one.latency_s,
        )
        for one in comparison.sweep
    ]  # fmt: skip
    return Chart(
        "budget-sweep",
        "Accuracy over the budget, seed by seed",
        "lines",
        Frame.of(columns, rows),
        x="share",
        y="accuracy",
        series="line",
        filters=("contender", "seed"),
    )


def _replays(comparison: Comparison) -> Chart:
    columns = [
        *(("seed", "seed"), ("inputs", "inputs"), ("accuracy", "accuracy", SHARE)),
        *(("expected_j", "energy, as training was told", "J"), ("energy_j", "replayed", "J")),
        *(("of_energy", "of it", SHARE), ("recorded_j", "in the comparison", "J")),
        *(("expected_s", "latency, as training was told", "s"), ("latency_s", "replayed", "s")),
        ("of_latency", "of it", SHARE),
    ]
    rows = [
        (
            str(one.seed), one.inputs, one.accuracy, one.expected_j, one.energy_j,
            one.expected_j and one.energy_j / one.expected_j, one.recorded_j, one.expected_s,
            one.latency_s, one.expected_s and one.latency_s / one.expected_s,
        )
        for one in comparison.replays
    ]  # fmt: skip
    name = comparison.looked_at
    return Chart(
        "seeds",
        "Expected against replayed, seed by seed" + (f": {name}" if name else ""),
        "table",
        Frame.of(columns, rows),
        x="energy_j",
        y="seed",
        note="Energy in the comparison is another than replayed now only where the machine or the "
        "cost models have changed since.",
    )


def subjects_chart(report: EnergyReport) -> Chart:
    """Energy of the subjects beside each other, by component."""
    columns = [("subject", "subject"), ("component", "component"), ("energy_j", "energy", "J")]
    rows = [
        (subject.name, component, energy)
        for subject in report.subjects
        for component, energy in subject.components.items()
    ]
    return Chart(
        "subjects",
        "Mean energy of an input, beside each other",
        "bars",
        Frame.of(columns, rows),
        x="energy_j",
        y="subject",
        series="component",
        colours=COMPONENT_COLOURS,
    )


def figures_chart(report: EnergyReport) -> Chart:
    """Energy of an inference in the manner of MLCommons, a row a subject."""
    columns = [
        *(("subject", "subject"), ("joules_per_inference", "energy of an inference", "J")),
        *(("active_j", "active", "J"), ("static_j", "static", "J"), ("latency_s", "latency", "s")),
        *(("inferences_per_joule", "inferences per J"), ("mean_power_w", "mean power", "W")),
        *(("bitops", "BitOps"), ("accuracy", "accuracy", SHARE), ("samples", "inputs")),
        *(("method", "method"), ("machine", "machine"), ("boundary", "counted")),
    ]
    rows = []
    for one in report.subjects:
        known = {**vars(one.energy), "subject": one.name, "accuracy": one.accuracy}
        known["machine"] = one.machine.name
        rows.append([known[column[0]] for column in columns])
    title = "Energy of an inference, as energy is reported"
    return Chart("figures", title, "table", Frame.of(columns, rows), x="latency_s", y="subject")
