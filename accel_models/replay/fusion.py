"""One look-up for several units: the chain of links as an automaton, its states merged, its steps
fused.

A state is what one link passes on to the next. Few of them matter: states from which whatever
follows costs the same are one, found from the end of the chain backwards.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from accel_models.compiled import compiled
from accel_models.replay.rules import MODAL, NOTHING_RAN, PLANES, Chain, Rules

SPANS = (3, 2)
"""Units for one look-up, if the table of one is not too large."""
WIDTHS = 2**16
"""More than there are operand widths: for a state as one number."""
LARGEST = 1600
"""Entries of a table for several units: some of these tables stay in the nearest cache."""


@cache
def kernel() -> Any:
    """The compiled module; numba is imported only here."""
    return compiled("accel_models.replay.kernel.walk")


@cache
def look_ups() -> Any:
    """The compiled look-ups."""
    return compiled("accel_models.replay.kernel.look_up")


def handed_over(choices: np.ndarray) -> np.ndarray:
    """Choices as compiled code takes them: in one layout, and never to be written to, whoever made
    them, so that it is compiled for one kind of array alone."""
    taken = np.ascontiguousarray(choices).view()
    taken.setflags(write=False)
    return taken


class FusedLink(NamedTuple):
    """One link or several: what they take in each of S states at each of C codes.

    `cycles` and `joules` are float64 [S, C], cycles exact, energy with what leaks meanwhile;
    `following` int64 [S, C] is the state after.
    """

    cycles: np.ndarray
    joules: np.ndarray
    following: np.ndarray

    def then(self, after: FusedLink) -> FusedLink:
        """Link that runs both, one after the other; the code of the second counts fastest."""
        states, codes = self.cycles.shape
        shape = (states, codes * after.cycles.shape[1])
        return FusedLink(
            (self.cycles[:, :, None] + after.cycles[self.following]).reshape(shape),
            (self.joules[:, :, None] + after.joules[self.following]).reshape(shape),
            after.following[self.following].reshape(shape),
        )


class Fused(NamedTuple):
    """Tables that `look_up.tally` reads, and the units whose choices it wants, in that order."""

    units: np.ndarray
    weights: tuple[int, ...]
    fused: int
    single: int
    costs: np.ndarray
    """Costs of each entry, float64 [entry, 2]: cycles, J."""
    following: np.ndarray
    """Place in the next table of the state after each entry, int32 [entry]."""


def fuse(chain: Chain, rules: Rules, guesses: np.ndarray) -> Fused:
    """Tables for inputs that run alone."""
    steps, units = _by_unit(_merged(_steps(chain, rules, guesses)), chain)
    options = chain.cycles.shape[1]
    states = max(len(step.cycles) for step in steps)
    span = next((n for n in SPANS if states * options**n <= LARGEST and n <= len(units)), 1)
    fused = len(units) // span
    wide = [_joined(steps[at * span : (at + 1) * span]) for at in range(fused)]
    narrow = steps[fused * span :]
    costs, following = _laid_out([*wide, *narrow])
    weights = tuple(options**place for place in reversed(range(span)))
    return Fused(np.array(units), weights, fused, len(narrow), costs, following)


def _steps(chain: Chain, rules: Rules, guesses: np.ndarray) -> list[FusedLink]:
    """Every link by itself, in all states it can be met in."""
    most = _free_of_use(chain, rules)
    states = np.array([[0, NOTHING_RAN]])
    steps = []
    for link, choices in enumerate(chain.choices):
        shape = (len(states), int(choices))
        cycles, pj = np.empty(shape), np.empty(shape)
        after = np.empty((2, *shape), dtype=np.int64)
        kernel().transitions(
            chain, rules, guesses, link, *states.T.copy(), most[link + 1], cycles, pj, *after
        )
        free, widths = after.reshape(2, -1)
        one, following = np.unique(free * WIDTHS + widths - NOTHING_RAN, return_inverse=True)
        states = np.stack([one // WIDTHS, one % WIDTHS + NOTHING_RAN], axis=1)
        joules = pj * rules.joules_per_pj + cycles * rules.leakage_j
        steps.append(FusedLink(cycles, joules, following.reshape(shape)))
    return steps


def _free_of_use(chain: Chain, rules: Rules) -> np.ndarray:
    """Free cycles of DRAM that can make a difference from each link on, int64 [link + 1]."""
    fetched = np.ceil(chain.bits[:, :, 0].max(axis=1) / rules.bits_per_cycle).astype(np.int64) + 1
    speculates = rules.prefetch in (MODAL, PLANES)
    needed = np.maximum(chain.head[:, :, 0].max(axis=1), fetched if speculates else 0)
    return np.append(np.maximum.accumulate(needed[::-1])[::-1], 0)


def _merged(steps: list[FusedLink]) -> list[FusedLink]:
    """States that make no difference to anything that follows are one."""
    merged: list[FusedLink] = []
    same = np.zeros(int(steps[-1].following.max()) + 1, dtype=np.int64)
    for step in reversed(steps):
        following = same[step.following]
        rows = np.concatenate([step.cycles, step.joules, following], axis=1)
        numbers: dict[bytes, int] = {}
        same = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows])
        _, kept = np.unique(same, return_index=True)
        merged.append(FusedLink(step.cycles[kept], step.joules[kept], following[kept]))
    return merged[::-1]


def _by_unit(steps: list[FusedLink], chain: Chain) -> tuple[list[FusedLink], list[int]]:
    """One step for each link with a choice, what always runs joined to one beside it."""
    found: list[FusedLink] = []
    units: list[int] = []
    for step, unit in zip(steps, chain.unit.tolist(), strict=True):
        if found and (unit < 0 or not units):
            found[-1] = found[-1].then(step)
        else:
            found.append(step)
        if unit >= 0:
            units.append(unit)
    return found, units


def _joined(steps: list[FusedLink]) -> FusedLink:
    whole = steps[0]
    for step in steps[1:]:
        whole = whole.then(step)
    return whole


def _laid_out(steps: list[FusedLink]) -> tuple[np.ndarray, np.ndarray]:
    """All tables one after another; `following` as the places of their rows."""
    sizes = [step.cycles.size for step in steps]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    costs = np.empty((starts[-1], 2))
    following = np.zeros(starts[-1], dtype=np.int32)
    for number, step in enumerate(steps):
        here = slice(starts[number], starts[number + 1])
        costs[here, 0], costs[here, 1] = step.cycles.ravel(), step.joules.ravel()
        if number + 1 < len(steps):
            codes = steps[number + 1].cycles.shape[1]
            following[here] = starts[number + 1] + step.following.ravel() * codes
    return costs, following
