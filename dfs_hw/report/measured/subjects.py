"""A subject of a report, of a replay or of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import Simulation
from accel_models.costs.uncertainty import uncertainty_of
from accel_models.metrics import additive
from accel_models.replay import Replay, summarise
from accel_models.replay.summary.comparison import compare_replay
from dfs_hw.report.measured.breakdown import (
    STATIC,
    component_sums,
    energy_cells,
    layer_widths,
)
from dfs_hw.report.measured.gate_use import exit_uses, unit_uses
from dfs_hw.report.measured.input_spread import KnownInputs, input_spread
from dfs_hw.report.measured.layer_uses import uses_of_replay, uses_of_simulation
from dfs_hw.report.measured.machine_facts import energy_range, machine_facts
from dfs_hw.report.measured.tracks import tracks_of_replay
from dfs_hw.report.subject import (
    EnergyCell,
    EnergyFigures,
    Expectation,
    Origin,
    Subject,
    Track,
)


def subject_of_replay(name: str, outcome: Replay, origin: Origin, known: KnownInputs) -> Subject:
    """A network that decides, on the inputs of its trace, each alone."""
    table, pricing, inputs = outcome.table, outcome.plan.pricing, len(outcome.trace)
    energy_j = float(outcome.energy_j.mean())
    counts, cycles = outcome.totals.layer_actions(outcome.plan)
    uses = uses_of_replay(outcome)
    names = [layer.name for layer in table.workload.layers]
    cells = energy_cells(names, counts, cycles, uses, pricing, inputs, energy_j)
    means = {metric.column: float(metric.of(outcome).mean()) for metric in additive()}
    bounds = uncertainty_of(counts.sum(axis=0) / inputs, cycles.sum() / inputs, table.accelerator)
    return Subject(
        name=name,
        kind="adaptive",
        origin=origin,
        machine=machine_facts(table.accelerator),
        accuracy=outcome.trace.accuracy,
        energy=_figures(means, cells, inputs),
        components=component_sums(cells),
        cells=cells,
        roofline=layer_widths(uses, pricing, inputs),
        expectations=expectations(outcome),
        waiting=outcome.totals.cycles_by_cause(outcome.plan)
        | {"all": float(outcome.cycles.mean())},
        policy=_plain(outcome.policy.to_dict()),
        inputs=input_spread(outcome, known),
        units=unit_uses(outcome),
        exits=exit_uses(outcome),
        tracks=tracks_of_replay(outcome),
        energy_range=energy_range(bounds),
        assumed=table.workload.assumed,
    )


def subject_of_simulation(
    name: str, run: Simulation, origin: Origin, tracks: Sequence[Track] = ()
) -> Subject:
    """A network at fixed precisions, one input at a time; its energy's range where that is
    known."""
    pricing, uses = Pricing(run.accelerator), uses_of_simulation(run)
    counts = np.stack([cost.counts for cost in run.layers])
    cycles = np.array([cost.cycles for cost in run.layers])
    names = [cost.layer.name for cost in run.layers]
    cells = energy_cells(names, counts, cycles, uses, pricing, 1, run.energy_j)
    means = {metric.column: float(metric.of(run)) for metric in additive()}
    return Subject(
        name=name,
        kind="static",
        origin=origin,
        machine=machine_facts(run.accelerator),
        accuracy=None,
        energy=_figures(means, cells, 1),
        components=component_sums(cells),
        cells=cells,
        roofline=layer_widths(uses, pricing, 1),
        tracks=tuple(tracks),
        energy_range=energy_range(run.uncertainty) if run.uncertainty else None,
        assumed=run.workload.assumed,
    )


def _figures(means: dict[str, float], cells: Sequence[EnergyCell], samples: int) -> EnergyFigures:
    energy, latency = means["energy_j"], means["latency_s"]
    static = sum(cell.energy_j for cell in cells if cell.component in STATIC)
    return EnergyFigures(
        joules_per_inference=energy,
        active_j=energy - static,
        static_j=static,
        latency_s=latency,
        inferences_per_joule=1 / energy,
        mean_power_w=energy / latency,
        bitops=means["bitops"],
        samples=samples,
    )


def expectations(outcome: Replay) -> tuple[Expectation, ...]:
    """Every cost of an input as training was told, as replayed, and without deciding."""
    beside = compare_replay(summarise(outcome), outcome.trace.header)
    return tuple(
        Expectation(
            metric=metric.name,
            title=metric.title,
            unit=metric.unit,
            replayed=beside.replayed[metric.column],
            expected=beside.expected[metric.column] if beside.expected else None,
            frozen=beside.frozen[metric.column],
            highest=beside.highest[metric.column] if beside.highest else None,
        )
        for metric in additive()
    )


def _plain(policy: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in policy.items() if value is not None}
