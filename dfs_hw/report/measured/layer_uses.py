"""Every layer at every width that it ran at, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accel_models.costs.simulator import Simulation, layer_simulator
from accel_models.costs.solving import LayerCost
from accel_models.precision import Precision
from accel_models.replay import Replay


@dataclass(frozen=True)
class LayerUse:
    """A layer at one of its widths: its row in the network, its cost alone, and inputs it ran
    for."""

    row: int
    cost: LayerCost
    runs: int


def uses_of_simulation(run: Simulation) -> tuple[LayerUse, ...]:
    """Layers of a static network, each once."""
    return tuple(LayerUse(row, cost, 1) for row, cost in enumerate(run.layers))


def uses_of_replay(outcome: Replay) -> tuple[LayerUse, ...]:
    """Layers of a replay of inputs that run alone, in the network's order."""
    table, workload = outcome.table, outcome.table.workload
    simulator = layer_simulator(workload, table.accelerator, [table.always, *table.choices], 1)
    found = []
    for row, precision, runs in _ran(outcome):
        cost = simulator.cost(workload, workload.layers[row], precision)
        found.append(LayerUse(row, cost, runs))
    return tuple(sorted(found, key=lambda use: use.row))


def _ran(outcome: Replay) -> Iterator[tuple[int, Precision, int]]:
    """Row, precision and number of inputs of every use."""
    table, sums = outcome.table, outcome.sums
    layers = table.workload.layers
    for number, link in enumerate(outcome.plan.links):
        for row in link.gates:
            came = int(sums.batches[number].sum())
            precision = layers[row].precision(table.choices[0], table.always)
            if came and precision is not None:
                yield row, precision, came
        for choice, runs in enumerate(sums.runs[number].sum(axis=-1).tolist()):
            for row in link.layers:
                precision = layers[row].precision(table.choices[choice], table.always)
                if runs and precision is not None:
                    yield row, precision, runs
