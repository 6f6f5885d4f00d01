"""A policy as the plain numbers that compiled code works with, and what that code leaves behind."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accel_models.mapping import problem as mapping

NONE, MODAL, PLANES, ORACLE = range(4)
PREFETCHES = ("none", "modal", "planes", "oracle")

ACTION_COUNT = len(mapping.ACTIONS)
STALL, DRAM_READ, WEIGHT_WRITE = (
    mapping.ACTIONS.index(name)
    for name in ("array_stall_cycles", "dram_read_bits", "weight_buffer_write_bits")
)
SPARED, EXPOSED, SWITCHING, WASTED = range(ACTION_COUNT, ACTION_COUNT + 4)
PARTS = ACTION_COUNT + 4
"""Columns of the detail of an input: all actions, then cycles spared, exposed and for switching,
then bits fetched in vain."""


NOTHING_RAN = -1
"""Operand widths of the array before the first layer, and of links that leave it alone."""
GONE = -1
"""Free cycles of DRAM that an input passes on which has left."""


class Chain(NamedTuple):
    """P links at K choices (only the first of them where there is no unit) and G group sizes.

    What `layers` take together is int64 [P, K, G]: `cycles`, and of the first of them that runs
    `head` cycles and DRAM `bits` of its first weights; at the end `tail` cycles in which DRAM and
    half of the weight buffer are free. `counts` is int64 [P, K, G, action].
    """

    unit: np.ndarray
    """Number of the decision unit of each stretch, int64 [P]."""
    known: np.ndarray
    """Whether the choice is known from the start, bool [P]."""
    choices: np.ndarray
    """Number of choices of each stretch, int64 [P], K or 1."""
    gate_cycles: np.ndarray
    """Cycles of the gate before the stretch, int64 [P, G]."""
    gate_counts: np.ndarray
    """Actions of the gate, int64 [P, G, action]."""
    gate_pj: np.ndarray
    """Energy of the gate, float64 [P, G], without leakage and the share for everything else."""
    pj: np.ndarray
    """Energy of the stretch, float64 [P, K, G], without leakage and the share for everything
    else."""
    runs: np.ndarray
    """Whether any of `layers` runs, bool [P, K]."""
    cycles: np.ndarray
    counts: np.ndarray
    head: np.ndarray
    bits: np.ndarray
    tail: np.ndarray
    first: np.ndarray
    """Number of the operand widths that the first layer runs at, int64 [P, K]."""
    last: np.ndarray
    """Number of the operand widths that the last layer runs at, int64 [P, K]."""
    turns: np.ndarray
    """Changes of width between `layers`, int64 [P, K]."""
    exits: np.ndarray
    """Whether an input that chooses to leave does so here, bool [P]."""


class Rules(NamedTuple):
    """Rules of one policy on one machine."""

    prefetch: int
    """One of `NONE`, `MODAL`, `PLANES`, `ORACLE`."""
    widest: int
    """The choice whose planes are fetched."""
    skip: int
    """The choice that skips, or -1."""
    leaving: int
    """The choice to leave, or -1."""
    reconfiguration: int
    """Cycles for which the array waits when widths change."""
    bits_per_cycle: float
    burst_bits: int
    stall_pj: float
    """Energy of the array in a cycle that it waits."""
    waste_pj: float
    """Energy of a bit that comes over DRAM and enters the weight buffer."""
    joules_per_pj: float
    """Joules charged for a pJ, with the share for everything else."""
    leakage_j: float
    """Leakage of a cycle."""


class Sums(NamedTuple):
    """Sums over all inputs together, int64, so that they add up exactly."""

    batches: np.ndarray
    """[link, group], batches by their number of inputs."""
    runs: np.ndarray
    """[link, choice, group], runs of a link's layers."""
    spared: np.ndarray
    """[link, choice], cycles."""
    switching: np.ndarray
    """[link, choice], cycles, on entering a link."""
    wasted: np.ndarray
    """[link], bits."""
    exposed: np.ndarray
    """[link], cycles of gates, and of first weights waited for as these decided."""

    def plus(self, other: Sums) -> Sums:
        """Sums of two sets of inputs together."""
        return Sums(*(mine + its for mine, its in zip(self, other, strict=True)))


def nothing_ran(chain: Chain) -> Sums:
    """Sums of no inputs."""
    links, choices, groups = chain.cycles.shape
    shapes = ((links, groups), (links, choices, groups), (links, choices), (links, choices))
    return Sums(*(np.zeros(shape, dtype=np.int64) for shape in (*shapes, (links,), (links,))))
