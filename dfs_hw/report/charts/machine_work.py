"""Charts of one subject that say where its energy and its time go."""

from __future__ import annotations

from collections.abc import Iterator

from accel_models.pages import Chart, ChartMark, Frame
from accel_models.pages.frame import SHARE
from dfs_hw.report.charts.colours import COMPONENT_COLOURS, WORK_COLOURS, width_colours
from dfs_hw.report.subject import LayerWidth, Subject, Track

SWINGS = 16
CUBE = ("layer", "component", "tensor", "action")


def work_charts(subject: Subject, prefix: str) -> Iterator[Chart]:
    """Expected against replayed, breakdowns, roofline, timelines, uncertainty and constants."""
    if subject.expectations:
        yield _expected(subject, prefix)
    cells = _cells(subject)
    yield Chart(
        f"{prefix}breakdown", "Where the energy of an input goes", "bars", cells,
        x="energy_j", y="component", series="tensor", pivots=CUBE, filters=CUBE,
        note="Every cell of layer × component × tensor × action; they add up to the mean energy of "
        "an input to the last bit.",
    )  # fmt: skip
    yield Chart(
        f"{prefix}layers", "Energy by layer, in the order they run", "bars", cells,
        x="energy_j", y="layer", series="component", colours=COMPONENT_COLOURS,
    )  # fmt: skip
    yield _roofline(subject, prefix)
    yield _occupancy(subject, prefix)
    for number, track in enumerate(subject.tracks):
        yield _timeline(track, f"{prefix}timeline-{number + 1}")
    if subject.energy_range is not None:
        yield _uncertainty(subject, prefix)
    yield _constants(subject, prefix)


def _expected(subject: Subject, prefix: str) -> Chart:
    rows = []
    for one in subject.expectations:
        ways = (
            ("replayed", one.replayed),
            ("as training was told", one.expected),
            ("frozen, gates paid", one.frozen),
            ("highest precision, no gates", one.highest),
        )
        rows += [
            (f"{one.metric}: {way}", one.metric, way, amount / one.highest, amount, one.unit)
            for way, amount in ways
            if amount is not None and one.highest
        ]
    columns = [
        *(("row", ""), ("metric", "cost"), ("way", "how")),
        *(("share", "of the highest precision's", SHARE), ("amount", "amount"), ("unit", "unit")),
    ]
    return Chart(
        f"{prefix}expected",
        "Expected against replayed",
        "bars",
        Frame.of(columns, rows),
        x="share",
        y="row",
        series="metric",
        note="What the training loss charges for the same choices knows of no neighbours: waits, "
        "changes of width and weights that load early lie between it and the replay.",
    )


def _cells(subject: Subject) -> Frame:
    columns = [*((name, name) for name in CUBE), ("energy_j", "mean energy of an input", "J")]
    return Frame.of(columns, (tuple(vars(cell).values()) for cell in subject.cells))


def _roofline(subject: Subject, prefix: str) -> Chart:
    columns = [
        *(("layer", "layer"), ("series", "at")),
        *(("macs_per_bit", "MACs for each bit over DRAM"), ("macs_per_cycle", "MACs per cycle")),
        *(("share", "of the inputs", SHARE), ("occupancy", "occupancy", SHARE)),
        *(("macs", "MACs"), ("cycles", "cycles"), ("energy_j", "energy when it runs", "J")),
    ]
    points = [one for one in subject.roofline if one.macs_per_bit is not None]
    rows: list[tuple[str | float | None, ...]] = [
        (
            one.layer, f"{one.precision} bit", one.macs_per_bit, one.macs_per_cycle, one.share,
            one.occupancy, one.macs, one.cycles, one.energy_j,
        )
        for one in points
    ]  # fmt: skip
    roofs = _roofs(points, subject.machine.dram_bits_per_cycle)
    for name, corners in roofs.items():
        rows += [(None, name, x, y, *(None,) * 5) for x, y in corners]
    widths = width_colours(one.precision for one in points)
    return Chart(
        f"{prefix}roofline",
        "Every layer at every width it runs at, under the roofline",
        "points",
        Frame.of(columns, rows),
        x="macs_per_bit",
        y="macs_per_cycle",
        series="series",
        log="xy",
        label="layer",
        joined=tuple(roofs),
        colours={f"{precision} bit": colour for precision, colour in widths.items()}
        | {f"roof, {precision} bit": colour for precision, colour in widths.items()},
        note="Under the flat part the array is the limit, under the slope the DRAM port.",
    )


def _roofs(points: list[LayerWidth], slope: float) -> dict[str, list[tuple[float, float]]]:
    """Corners of the roof at each precision, by name.

    Args:
        slope: bits that DRAM moves a cycle.
    """
    found = {}
    known = [one.macs_per_bit for one in points if one.macs_per_bit is not None]
    for precision in dict.fromkeys(one.precision for one in points):
        mine = [one for one in points if one.precision == precision]
        peak = max(one.peak_macs_per_cycle or 0.0 for one in mine)
        near, far = min(known) / 1.5, max(*known, peak / slope) * 2
        corner = max(near, peak / slope)
        found[f"roof, {precision} bit"] = [
            (near, min(peak, slope * near)), (corner, peak), (far, peak),
        ]  # fmt: skip
    return found


def _occupancy(subject: Subject, prefix: str) -> Chart:
    columns = [
        *(("layer", "layer"), ("precision", "at"), ("occupancy", "occupancy", SHARE)),
        *(("share", "of the inputs", SHARE), ("cycles", "cycles")),
    ]
    rows = [
        (one.layer, f"{one.precision} bit", one.occupancy, one.share, one.cycles)
        for one in subject.roofline
        if one.occupancy is not None
    ]
    return Chart(
        f"{prefix}occupancy",
        "Occupancy of the array, while it computes",
        "heat",
        Frame.of(columns, rows),
        x="precision",
        y="layer",
        value="occupancy",
        full=1.0,
    )


def _timeline(track: Track, name: str) -> Chart:
    columns = [
        *(("resource", "resource"), ("work", "work")),
        *(("start", "from the beginning of the input", "s"), ("end", "until", "s")),
    ]
    rows = [(one.resource, one.work, one.start, one.end) for one in track.spans]
    return Chart(
        name,
        f"Timeline: {track.title}",
        "spans",
        Frame.of(columns, rows),
        x="start",
        y="resource",
        end="end",
        series="work",
        colours=WORK_COLOURS,
        note="What is closer together than can be drawn is drawn as one.",
    )


def _uncertainty(subject: Subject, prefix: str) -> Chart:
    found = subject.energy_range
    assert found is not None
    columns = [
        *(("path", "constant"), ("low", "from"), ("high", "to")),
        *(
            ("energy_at_low", "energy of an input", "J"),
            ("energy_at_high", "to", "J"),
        ),
    ]
    rows = [tuple(vars(one).values()) for one in found.swings[:SWINGS]]
    note = "One constant at a time, the others as they are."
    if found.not_varied:
        note += f" Not varied, as they would change schedules: {', '.join(found.not_varied)}."
    if found.taken_as_exact:
        note += f" Taken as exact, without a range: {', '.join(found.taken_as_exact)}."
    return Chart(
        f"{prefix}uncertainty",
        "What the ranges of the constants do to the energy",
        "spans",
        Frame.of(columns, rows),
        x="energy_at_low",
        y="path",
        end="energy_at_high",
        marks=(ChartMark("x", found.nominal, "nominal"),),
        note=note,
    )


def _constants(subject: Subject, prefix: str) -> Chart:
    columns = [
        *(("name", "constant"), ("value", "value"), ("unit", "unit"), ("low", "from")),
        *(("high", "to"), ("status", "status"), ("source", "source")),
    ]
    rows = [
        (one.name, one.value, one.unit, one.low, one.high, one.status, one.source)
        for one in subject.machine.constants
    ]
    title = "Every constant, with its source and range"
    return Chart(f"{prefix}constants", title, "table", Frame.of(columns, rows), "value", "name")
