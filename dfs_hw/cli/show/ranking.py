"""Machines on common ground in order of energy, and how firm that order is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accel_models.explain.comparison import MachineComparison, Performance
from accel_models.explain.ranking import Ranking
from dfs_hw.cli.show.machine_comparison import kind_of
from dfs_hw.cli.show.machines import NOTHING
from dfs_hw.cli.show.tables import line, new_table, si, terminal

PAIRS_SHOWN = 6


def ranking_table(compared: MachineComparison, rankings: Mapping[str, Ranking]) -> None:
    """A machine a line, the one of least energy at the first precision first."""
    first = next(iter(compared.runs))
    table = new_table(
        compared.network,
        *[f"energy\n{bits} bit" for bits in compared.runs],
        *[f"time\n{bits} bit" for bits in compared.runs],
        f"occupancy\n{first} bit",
        *[f"{part}\n{first} bit" for part in ("logic", "SRAM", "DRAM", "leakage")],
        f"mean power\n{first} bit",
        f"TOPS/W\n{first} bit",
        f"inputs/J\n{first} bit",
    )
    names = [sheet.name for sheet in compared.sheets]
    for name in rankings[first].energy_j:
        at = names.index(name)
        runs = [row[at] for row in compared.runs.values()]
        table.add_row(name, *_costs(runs), *_headline(runs[0]))
    terminal().print(table)
    line(kind_of(compared.sheets))
    line("DRAM with its background, logic with the vector unit, control and clock tree.")
    for bits, found in rankings.items():
        _firmness(bits, found)


def ranking_facts(found: Ranking) -> dict[str, Any]:
    """An order of machines as plain data for JSON."""
    return {
        "energy_j": dict(found.energy_j),
        "ranges_j": {name: list(ends) for name, ends in found.ranges_j.items()},
        "flips": [{"pair": list(pair), "share": share} for pair, share in found.flips.items()],
        "firm": found.firm,
        "mean_flip": found.mean_flip,
        "turned_by_shared": [
            {"constant": path, "end": end, "pairs": [list(pair) for pair in pairs]}
            for (path, end), pairs in found.shared.items()
        ],
    }


def _costs(runs: list[Performance | None]) -> list[str]:
    energies = [NOTHING if run is None else si(run.energy_j, "J") for run in runs]
    times = [NOTHING if run is None else si(run.latency_s, "s") for run in runs]
    return energies + times


def _headline(run: Performance | None) -> list[str]:
    if run is None:
        return [NOTHING] * 8
    shares = [f"{share:.0%}" for share in run.split.shares().values()]
    done = run.efficiency
    power = [si(done.mean_power_w, "W"), f"{done.tops_per_w:.2f}", f"{done.inputs_per_j:,.0f}"]
    return [f"{run.occupancy:.0%}", *shares, *power]


def _firmness(bits: str, found: Ranking) -> None:
    """How often the order of two machines turns around."""
    line(
        f"\n{bits} bit: {found.firm:.0%} of all pairs keep their order whatever end each machine's "
        f"own constants take; a pair turns around in {found.mean_flip:.0%} of the cases on average",
        bold=True,
    )
    loose = sorted(found.flips.items(), key=lambda pair: -pair[1])
    often = [f"{a} / {b} {share:.0%}" for (a, b), share in loose[:PAIRS_SHOWN] if share]
    if often:
        line(f"most often: {', '.join(often)}")
    for (path, end), pairs in found.shared.items():
        turned = ", ".join(f"{a} / {b}" for a, b in pairs[:PAIRS_SHOWN])
        more = f" and {len(pairs) - PAIRS_SHOWN} more" if len(pairs) > PAIRS_SHOWN else ""
        line(f"shared {path} at {end:g} turns around {turned}{more}")
