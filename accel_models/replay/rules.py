"""A policy as the plain numbers that compiled code works with, and what that code leaves behind."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.pricing import Pricing
from accel_models.mapping import problem as mapping
from accel_models.precision import highest
from accel_models.replay.chain import Chain
from accel_models.replay.policy import Policy

NONE, MODAL, PLANES, ORACLE = range(4)
PREFETCHES = ("none", "modal", "planes", "oracle")

ACTIONS = len(mapping.ACTIONS)
STALL, DRAM_READ, WEIGHT_WRITE = (
    mapping.ACTIONS.index(name)
    for name in ("array_stall_cycles", "dram_read_bits", "weight_buffer_write_bits")
)
SPARED, EXPOSED, SWITCHING, WASTED = range(ACTIONS, ACTIONS + 4)
PARTS = ACTIONS + 4
"""Columns of the detail of an input: all actions, then cycles spared, exposed and for switching,
then bits fetched in vain."""


class Rules(NamedTuple):
    """Of one policy on one machine."""

    prefetch: int
    """One of `NONE`, `MODAL`, `PLANES`, `ORACLE`."""
    widest: int
    """The choice whose planes are fetched."""
    skip: int
    """The choice that skips, or -1."""
    reconfiguration: int
    """Cycles for which the array waits when widths change."""
    bits_per_cycle: float
    burst_bits: int
    stall_pj: float
    """Of the array in a cycle that it waits."""
    waste_pj: float
    """Of a bit that comes over DRAM and enters the weight buffer."""
    joules_per_pj: float
    """With the share for everything else."""
    leakage_j: float
    """Of a cycle."""


class Sums(NamedTuple):
    """Of all inputs together, int64, so that they add up exactly."""

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
        return Sums(*(mine + its for mine, its in zip(self, other, strict=True)))


def nothing_ran(chain: Chain) -> Sums:
    """Sums of no inputs."""
    links, choices, groups = chain.cycles.shape
    shapes = ((links, groups), (links, choices, groups), (links, choices), (links, choices))
    return Sums(*(np.zeros(shape, dtype=np.int64) for shape in (*shapes, (links,), (links,))))


def rules_of(table: CostTable, policy: Policy) -> Rules:
    """The numbers of a policy on a table's machine."""
    machine, pricing = table.accelerator, Pricing(table.accelerator)
    prices = pricing.action_pj
    skips = [number for number, choice in enumerate(table.choices) if choice.is_skip]
    return Rules(
        prefetch=PREFETCHES.index(policy.prefetch),
        widest=table.choices.index(highest(table.choices)),
        skip=skips[0] if skips else -1,
        reconfiguration=machine.array.reconfiguration_cycles if policy.switches else 0,
        bits_per_cycle=float(machine.dram_bits_per_cycle),
        burst_bits=8 * machine.dram.burst_bytes,
        stall_pj=float(prices[STALL]),
        waste_pj=float(prices[DRAM_READ] + prices[WEIGHT_WRITE]),
        joules_per_pj=(1 + machine.energy.other_share) * 1e-12,
        leakage_j=pricing.static_pj_per_cycle * 1e-12,
    )


def guesses_of(chain: Chain, policy: Policy) -> np.ndarray:
    """The choice whose weights are fetched as each link decides, int64 [link]."""
    guesses = np.zeros(len(chain.unit), dtype=np.int64)
    if policy.guess is not None:
        inside = chain.unit >= 0
        guesses[inside] = np.asarray(policy.guess)[chain.unit[inside]]
    return guesses
