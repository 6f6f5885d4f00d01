"""Results as tables on the terminal, and as plain dictionaries for JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from accel_models.costs.energy_split import energy_split
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.simulator import Simulation
from accel_models.errors import inert
from accel_models.metrics import Efficiency, efficiency
from accel_models.si import si

if TYPE_CHECKING:  # these load pyarrow and torch, which `--help` need not wait for
    from accel_models.costs.uncertainty import Uncertainty
    from accel_models.validation.eyeriss import EyerissComparison
    from accel_models.validation.published_rows import TableValidation
    from dfs_hw.report.report import EnergyReport, SavedAmount

MISMATCHES_SHOWN = 20
PIPE_WIDTH = 180
LOW_OCCUPANCY = 0.05
"""Share of the array below which a layer is said to leave it empty."""
NAMES_SHOWN = 4


def line(text: str, *, bold: bool = False) -> None:
    """Print one line, however long, without markup."""
    style = "bold" if bold else None
    _Inert(markup=False, emoji=False).print(text, style=style, highlight=False, soft_wrap=True)


def comparison(report: EnergyReport) -> None:
    """Everybody of a run beside the highest precision and the best static width, and the
    verdict."""
    found = report.comparison
    assert found is not None  # as it is of a run
    top = next(one for one in found.competitors if one.name == found.saved_from)
    best = next(one for one in found.competitors if one.best)
    table = new_table("", "accuracy", "BitOps", "energy", "latency")
    for base in ("highest", "best static"):
        for name in ("BitOps", "energy", "latency"):
            table.add_column(f"{name}\nvs {base}", justify="right")
    for one in found.competitors:
        ratios = [
            f"{value / reference:.1%}"
            for base in (top, best)
            for value, reference in (
                (one.bitops, base.bitops),
                (one.energy_j, base.energy_j),
                (one.latency_s, base.latency_s),
            )
        ]
        table.add_row(
            one.name + (" *" if one.best else ""),
            f"{one.accuracy:.1%}",
            si(one.bitops, ""),
            si(one.energy_j, "J"),
            si(one.latency_s, "s"),
            *ratios,
            style="bold" if one.leads else "",
        )
    terminal().print(table)
    line("* best static width: the cheapest within one standard error of the best validation one")
    line(report.verdict.sentence)
    for remark in found.remarks:
        line(remark)
    line(misjudgement(found.saved))


def misjudgement(saved: Sequence[SavedAmount]) -> str:
    """Sentence that says by how much BitOps misjudged the saving."""
    shares = {one.title: 1 - one.after / one.before for one in saved}
    bitops, energy, latency = (shares[name] for name in ("BitOps", "energy", "latency"))
    gap = bitops - energy
    verb = "overstated" if gap >= 0 else "understated"
    return (
        f"Against the highest precision, BitOps promised {_less(bitops)}; the machine "
        f"spends {_less(energy)} energy and {_less(latency)} time. "
        f"BitOps {verb} the energy saving by {abs(gap) * 100:.1f} points."
    )


def _less(saving: float) -> str:
    return f"{abs(saving):.1%} {'less' if saving >= 0 else 'more'}"


def simulation_facts(run: Simulation) -> dict[str, Any]:
    """Totals and layers of a static simulation, for the whole batch."""
    pricing, split = Pricing(run.accelerator), energy_split(run.energy_pj)
    return {
        "network": run.workload.name,
        **({"assumed": list(run.workload.assumed)} if run.workload.assumed else {}),
        "accelerator": run.accelerator.name,
        "batch": run.batch,
        "cycles": run.cycles,
        "latency_s": run.latency_s,
        "energy_j": run.energy_j,
        **({"energy_range_j": asdict(run.uncertainty)} if run.uncertainty else {}),
        "bitops": run.bitops,
        "dynamic_j": split.dynamic_j,
        "static_j": split.static_j,
        **asdict(_efficiency(run)),
        "peak_power_w": pricing.peak_power_w,
        "energy_by_component_j": dict(
            zip(COMPONENTS, (run.energy_pj * 1e-12).tolist(), strict=True)
        ),
        "layers": [
            {
                "name": cost.layer.name,
                "precision": str(cost.precision),
                "macs": cost.layer.macs * run.batch,
                "cycles": cost.cycles,
                "compute_cycles": cost.compute_cycles,
                "occupancy": cost.occupancy,
                "energy_j": float(pricing.energy_pj(cost.counts, cost.cycles).sum() * 1e-12),
            }
            for cost in run.layers
        ],
    }


def _efficiency(run: Simulation) -> Efficiency:
    macs = run.batch * sum(cost.layer.macs for cost in run.layers)
    return efficiency(run.energy_j, run.latency_s, macs, run.batch)


def layer_facts(run: Simulation) -> list[dict[str, Any]]:
    """Layers of a static simulation with all that `Simulation.to_frame` says of each, and energy in
    J as the rest of JSON has it."""
    summaries = simulation_facts(run)["layers"]
    rows: list[dict[str, Any]] = run.to_frame().to_pylist()
    return [
        summary | {name: value for name, value in row.items() if name not in ("layer", "bits")}
        for summary, row in zip(summaries, rows, strict=True)
    ]


def _say_what_is_empty(layers: Sequence[Mapping[str, Any]]) -> None:
    """Name the layers that leave the array all but empty while it computes, and those that it has
    no part in."""
    total = sum(one["cycles"] for one in layers)

    def share(of: Sequence[Mapping[str, Any]]) -> str:
        return f"{sum(one['cycles'] for one in of) / total:.0%} of the time"

    def named(of: Sequence[Mapping[str, Any]]) -> str:
        names = ", ".join(one["name"] for one in of[:NAMES_SHOWN])
        return names + (f" and {len(of) - NAMES_SHOWN} more" if len(of) > NAMES_SHOWN else "")

    empty = [one for one in layers if one["compute_cycles"] and one["occupancy"] < LOW_OCCUPANCY]
    if empty:
        line(
            f"less than {LOW_OCCUPANCY:.0%} of the array multiplies in {named(empty)}: "
            f"{share(empty)}"
        )
    elsewhere = [one for one in layers if not one["compute_cycles"]]
    if elsewhere:
        line(f"the vector unit alone works on {named(elsewhere)}: {share(elsewhere)}")


def simulations(runs: dict[str, Simulation], widths: str = "") -> None:
    """Layer table of the first precision, totals of all, relative to the dearest; `widths` is the
    name of the file that gives layers widths of their own."""
    first = simulation_facts(next(iter(runs.values())))
    table = new_table("layer", "bits", "MACs", "cycles", "of them computing", "occupancy", "energy")
    for layer in first["layers"]:
        table.add_row(
            layer["name"],
            layer["precision"],
            f"{layer['macs']:,}",
            f"{layer['cycles']:,}",
            f"{layer['compute_cycles'] / layer['cycles']:.0%}" if layer["compute_cycles"] else "",
            f"{layer['occupancy']:.1%}" if layer["compute_cycles"] else "",
            si(layer["energy_j"], "J"),
        )
    terminal().print(table)
    _say_what_is_empty(first["layers"])
    totals = new_table(f"{first['network']}, batch {first['batch']}", "BitOps", "energy", "latency")
    for column in ("BitOps", "energy", "latency"):
        totals.add_column(f"relative\n{column}", justify="right")
    dearest = max(runs.values(), key=lambda run: run.bitops)
    named = {bits: _row_name(bits, run, widths) for bits, run in runs.items()}
    for bits, run in runs.items():
        totals.add_row(
            named[bits],
            si(run.bitops, ""),
            si(run.energy_j, "J"),
            si(run.latency_s, "s"),
            f"{run.bitops / dearest.bitops:.1%}" if dearest.bitops else "",
            f"{run.energy_j / dearest.energy_j:.1%}",
            f"{run.latency_s / dearest.latency_s:.1%}",
        )
    terminal().print(totals)
    for bits, run in runs.items():
        done, split = _efficiency(run), energy_split(run.energy_pj)
        line(
            f"{named[bits]}: {split.text()}; {si(done.mean_power_w, 'W')} mean, "
            f"{done.tops_per_w:.2f} TOPS/W, {done.inputs_per_j:,.0f} inputs per J"
        )
    for sentence in next(iter(runs.values())).workload.assumed:
        line(f"assumed: {sentence}")
    for bits, run in runs.items():
        if run.uncertainty is not None:
            energy_range(named[bits], run.uncertainty)


def _row_name(bits: str, run: Simulation, widths: str) -> str:
    """What a run is called: by what settles its layers' widths, a precision or a file."""
    if not widths:
        return f"{bits} bit"
    settled = all(cost.layer.widths for cost in run.layers if not cost.layer.decides)
    return widths if settled else f"{widths}, else {bits} bit"


def energy_range(name: str, energy: Uncertainty) -> None:
    """How far off an energy may be, and which constants move it most."""
    line(
        f"{name}: {si(energy.nominal, 'J')}, within {si(energy.low, 'J')} and "
        f"{si(energy.high, 'J')} as its constants have it"
    )
    table = new_table("constant", "from", "to", "energy from", "to")
    for one in energy.contributions:
        ends = (si(one.energy_at_low, "J"), si(one.energy_at_high, "J"))
        table.add_row(one.path, f"{one.low:g}", f"{one.high:g}", *ends)
    terminal().print(table)
    if energy.own:
        line(f"taken as exact, as your own numbers without a range: {', '.join(energy.own)}")


def validation(outcome: TableValidation, against: EyerissComparison | None = None) -> None:
    """Print how recomputed results compare with the published ones."""
    if outcome.mismatches:
        table = new_table("row", "column", "published", "computed", "off by")
        for mismatch in outcome.mismatches[:MISMATCHES_SHOWN]:
            table.add_row(
                mismatch.row,
                mismatch.column,
                mismatch.published,
                mismatch.computed,
                mismatch.off_by,
            )
        terminal().print(table)
        if len(outcome.mismatches) > MISMATCHES_SHOWN:
            line(f"... and {len(outcome.mismatches) - MISMATCHES_SHOWN} more")
    for row, reason in outcome.rejected.items():
        line(f"{row}: rejected, as published: {reason}")
    if outcome.borrowed_energy:
        line(
            f"{outcome.borrowed_energy} rows have parts without figures here; "
            "their own energy constants were used"
        )
    line(f"{outcome.exact} of {outcome.rows} rows are exact")
    if against is not None:
        table = new_table("over Eyeriss", "speed-up", "energy gain")
        for network in against.networks:
            table.add_row(network.network, f"{network.speedup:.2f}", f"{network.energy_ratio:.2f}")
        mean = (f"{against.speedup:.3f}", f"{against.energy_ratio:.3f}")
        table.add_row("geometric mean (published: 3.9, 5.1)", *mean, style="bold")
        terminal().print(table)


class _Inert(Console):
    """A terminal that acts upon nothing that stands in a name: files have all kinds of them."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(inert(text), **how)


def new_table(*columns: str, text: Collection[str] = ()) -> Table:
    """A table whose first column is text, and those named in `text`; only these ever fold there."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        if number == 0 or column in text:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", overflow="fold", no_wrap=bool(text))
    return table


def terminal() -> Console:
    """A console that keeps its width in a terminal, and does not fold tables in a pipe."""
    console = _Inert(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console
