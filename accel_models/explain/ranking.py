"""How firm an order of machines by energy is, as their constants are known only within ranges.

Constants that all machines share move together: a dearer DRAM is dearer for all. What one machine
states for itself, its array's energy above all, may be off in any direction by itself. Both are
looked at apart. Mappings stay as they are: only prices move (`costs.uncertainty` says why).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.ground import ground_fields
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import Simulation, simulate
from accel_models.errors import InfeasibleError
from accel_models.precision import Precision
from accel_models.workloads.workload import Workload

Pair = tuple[str, str]
Ends = tuple[float, float]


@dataclass(frozen=True)
class Ranking:
    """Machines by energy, and how often two of them change places.

    Args:
        energy_j: energy of the network by machine, least first.
        ranges_j: least and most of it, as each machine's own constants move to their ends.
        flips: share of all combinations of these ends at which a pair (the better one first)
            changes places.
        shared: pairs that change places as a constant that all share moves to an end, by (its
            path, the end). Only those that make any do so.
    """

    energy_j: Mapping[str, float]
    ranges_j: Mapping[str, Ends]
    flips: Mapping[Pair, float]
    shared: Mapping[tuple[str, float], tuple[Pair, ...]]

    @property
    def firm(self) -> float:
        """Share of pairs that no combination of ends of their own constants turns around."""
        return sum(not share for share in self.flips.values()) / len(self.flips)

    @property
    def mean_flip(self) -> float:
        """Mean of `flips` over all pairs."""
        return float(np.mean(list(self.flips.values())))


def ranking(
    machines: Sequence[Accelerator], workload: Workload, precision: str | int | Precision = 8
) -> Ranking:
    """Order machines by the energy of a network, and say how firm that is.

    Raises:
        InfeasibleError: if one of them cannot run it.
        InputError: as `simulate` does.
    """
    runs = [simulate(workload, machine, precision) for machine in machines]
    runs.sort(key=lambda run: run.energy_j)
    shared = _shared(machines)
    own = {run.accelerator.name: _at_own_ends(run, shared) for run in runs}
    order = [run.accelerator.name for run in runs]
    flips = {pair: float(np.mean(_turned(*(own[name] for name in pair)))) for pair in _pairs(order)}
    return Ranking(
        {run.accelerator.name: run.energy_j for run in runs},
        {name: (float(energies.min()), float(energies.max())) for name, energies in own.items()},
        flips,
        _turned_by_shared(runs, shared),
    )


def _shared(machines: Sequence[Accelerator]) -> dict[str, Ends]:
    """Ranged constants of the common ground, by path, that all machines state alike."""
    ranged, ground = [_ranged(machine) for machine in machines], ground_fields()
    return {
        path: (low, high)
        for path, (_, low, high) in ranged[0].items()
        if path in ground and all(other.get(path) == ranged[0][path] for other in ranged)
    }


def _ranged(machine: Accelerator) -> dict[str, tuple[float, float, float]]:
    """Triples (value, low, high) by path."""
    return {
        path: (value, source.low, source.high)
        for path, value, source in machine.constants()
        if source.low is not None and source.high is not None
    }


def _at_own_ends(run: Simulation, shared: Mapping[str, Ends]) -> np.ndarray:
    """Energies in J at all combinations of ends of what a machine does not share."""
    nominal, moving = run.energy_j, {}
    for path, (_, *ends) in _ranged(run.accelerator).items():
        if path not in shared and any(_priced(run, {path: end}) != nominal for end in ends):
            moving[path] = ends
    combined = product(*moving.values())
    return np.array([_priced(run, dict(zip(moving, ends, strict=True))) for ends in combined])


def _turned_by_shared(
    runs: Sequence[Simulation], shared: Mapping[str, Ends]
) -> dict[tuple[str, float], tuple[Pair, ...]]:
    found = {}
    for path, ends in shared.items():
        for end in ends:
            moved = {run.accelerator.name: _priced(run, {path: end}) for run in runs}
            pairs = [pair for pair in _pairs(list(moved)) if moved[pair[0]] > moved[pair[1]]]
            if pairs:
                found[path, end] = tuple(pairs)
    return found


def _priced(run: Simulation, changes: Mapping[str, float]) -> float:
    """Energy in J of a run whose machine's constants are changed, by path; its nominal energy where
    the machine cannot run so."""
    machine = run.accelerator
    fields = {
        path.replace(".", "__"): round(value) if isinstance(machine.field(path), int) else value
        for path, value in changes.items()
    }
    try:
        pricing = Pricing(machine.configured(**fields))
    except InfeasibleError:
        return run.energy_j
    return float(pricing.energy_pj(run.counts, np.asarray(run.cycles)).sum()) * 1e-12


def _turned(better: np.ndarray, worse: np.ndarray) -> np.ndarray:
    """Where the better one is worse, bool [combination, combination]."""
    turned: np.ndarray = better[:, None] > worse[None, :]
    return turned


def _pairs(order: Sequence[str]) -> list[Pair]:
    return list(combinations(order, 2))
