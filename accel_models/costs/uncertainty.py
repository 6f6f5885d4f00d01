"""How far the energy of a run may be off, as its machine's constants are known only within ranges.

Machine files state a range, ``low`` and ``high``, beside constants that are not known for sure
(`source.Source`). Each such constant is set to either end. If that changes the mapping problem of
some layer, the network is simulated again; if not, the constant is a price, and the same mappings
and counts are priced anew: that nobody knows a price better does not change what a compiler chose.
Constants are not told apart by name, so a new one needs no entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.errors import InfeasibleError
from accel_models.source import OWN

CountsAndCycles = tuple[np.ndarray, float]
"""Counts of `problem.ACTIONS`, and cycles."""
Rerun = Callable[[Accelerator], CountsAndCycles | None]
"""The run on a changed machine; None if every layer's mapping problem is what it was."""


@dataclass(frozen=True)
class Contribution:
    """What the range of one constant does to the energy, all others at their nominal values.

    Args:
        path: of the constant in the machine's file, such as ``dram.latency_ns``.
        low: the low end of its range, or its nominal value if the machine cannot run there (a
            clock too fast, say).
        high: the high end of its range, or its nominal value if the machine cannot run there.
        energy_at_low: energy in J with the constant at `low`.
        energy_at_high: energy in J with the constant at `high`.
        swing: in J, from the least to the most of these two and the nominal energy.
        reschedules: whether the run was simulated anew, not only priced anew.
    """

    path: str
    low: float
    high: float
    energy_at_low: float
    energy_at_high: float
    swing: float
    reschedules: bool


@dataclass(frozen=True)
class Uncertainty:
    """Energy of a run in J: `nominal`, and the ends of its range.

    Args:
        low: J with every constant at whichever end (or its nominal value) makes the energy least.
        high: J with every constant at whichever end (or its nominal value) makes it most.
        contributions: by constant, the one that matters most first.
        not_varied: in a run that could not be simulated again, ranged constants that leave its
            price as it is: what they may do to the schedule is not in the range. Constants that
            do both, such as a clock, then count with their prices alone.
        own: constants that the machine's file states as its author's own, without a range: they
            are taken as exact.
    """

    low: float
    nominal: float
    high: float
    contributions: tuple[Contribution, ...]
    not_varied: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def uncertainty_of(
    counts: np.ndarray,
    cycles: float | np.ndarray,
    machine: Accelerator,
    rerun: Rerun | None = None,
) -> Uncertainty:
    """The range of a run's energy, and which constants it comes from.

    Args:
        counts: [action] as in `problem.ACTIONS`; for many inputs, their sums or means.
        cycles: of the run; for many inputs, their sum or mean.
        machine: the machine it ran on, with the ranges of its constants.
        rerun: runs it on a changed machine; without it, constants can only change prices.
    """
    study = _Study(machine, (counts, float(cycles)), rerun)
    nominal = study.energy_j({})
    found = [study.contribution(path, nominal) for path in study.ranges]
    found.sort(key=lambda one: (-one.swing, one.path))
    fixed = () if rerun else tuple(one.path for one in found if not one.swing)
    return Uncertainty(
        low=study.extreme(found, nominal, -1),
        nominal=nominal,
        high=study.extreme(found, nominal, 1),
        contributions=tuple(one for one in found if one.path not in fixed),
        not_varied=fixed,
        own=tuple(
            path
            for path, _, source in machine.constants()
            if source.status == OWN and source.low is None
        ),
    )


@dataclass
class _Study:
    """Energies of one run with some constants changed, by dotted path. Fills `known` as it goes."""

    machine: Accelerator
    run: CountsAndCycles
    rerun: Rerun | None
    known: dict[frozenset[tuple[str, float]], CountsAndCycles | None] = field(default_factory=dict)
    """Results of `rerun`, by the changes."""

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Pairs (low, high) by path; the nominal value for an end at which the machine cannot
        run."""
        ranges = {}
        for path, source in self.machine.provenance.items():
            if source.low is not None and source.high is not None:
                value, ends = self.machine.field(path), (source.low, source.high)
                if isinstance(value, int):
                    ends = math.ceil(source.low), math.floor(source.high)
                low, high = (end if self._runs(path, end) else value for end in ends)
                ranges[path] = (low, high)
        return ranges

    def energy_j(self, changes: Mapping[str, float]) -> float:
        """Energy of the run in J, with some constants changed."""
        schedule = {path: value for path, value in changes.items() if self.reschedules(path)}
        counts, cycles = self._rerun(schedule) or self.run
        pricing = Pricing(self._changed(changes))
        return float(pricing.energy_pj(counts, np.asarray(cycles)).sum()) * 1e-12

    def reschedules(self, path: str) -> bool:
        """Whether either end of a constant's range changes the run itself."""
        return any(self._rerun({path: end}) is not None for end in self.ranges[path])

    def contribution(self, path: str, nominal: float) -> Contribution:
        """Effect of one constant over its range, beside the nominal energy."""
        low, high = self.ranges[path]
        ends = self.energy_j({path: low}), self.energy_j({path: high})
        swing = max(*ends, nominal) - min(*ends, nominal)
        return Contribution(path, low, high, *ends, swing, self.reschedules(path))

    def extreme(self, found: list[Contribution], nominal: float, sign: int) -> float:
        """The most (sign 1) or least (-1) energy, each constant at the end that leads there.

        Prices come first: each moves energy one way, whatever the schedule. Ends that change the
        schedule may help or hinder one another, so of these the one that leads furthest is settled
        before the next.
        """
        settled: dict[str, float] = {}
        energy = nominal
        for reschedules in (False, True):
            left = [one for one in found if one.reschedules == reschedules and one.swing]
            while left:
                trials = {
                    (one.path, end): sign * self._energy_if_runs({**settled, one.path: end}, energy)
                    for one in left
                    for end in (one.low, one.high)
                }
                (path, end), reached = max(trials.items(), key=lambda trial: trial[1])
                if reached <= sign * energy:
                    break
                settled[path], energy = end, sign * reached
                left = [one for one in left if one.path != path]
        return energy

    def _energy_if_runs(self, changes: Mapping[str, float], otherwise: float) -> float:
        try:
            return self.energy_j(changes)
        except InfeasibleError:  # ends that do not go together
            return otherwise

    def _runs(self, path: str, end: float) -> bool:
        try:
            self._rerun({path: end})
            Pricing(self._changed({path: end}))
        except InfeasibleError:
            return False
        return True

    def _rerun(self, changes: Mapping[str, float]) -> CountsAndCycles | None:
        key = frozenset(
            (path, value) for path, value in changes.items() if value != self.machine.field(path)
        )
        if self.rerun is None or not key:
            return None
        if key not in self.known:
            self.known[key] = self.rerun(self._changed(dict(key)))
        return self.known[key]

    def _changed(self, changes: Mapping[str, float]) -> Accelerator:
        fields = {path.replace(".", "__"): value for path, value in changes.items()}
        return self.machine.configured(**fields) if fields else self.machine


__all__ = ["Contribution", "CountsAndCycles", "Rerun", "Uncertainty", "uncertainty_of"]
