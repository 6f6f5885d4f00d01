"""Bits that real operands toggle at an array's multipliers, and what that says of its energy.

The models charge an operation the same whatever its operands are. Most of what logic draws goes
with the wires that change, and operands of real networks, small and often zero, change fewer of
them than arbitrary ones. Both figures are offered side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from accel_models.costs.pricing import Pricing
from accel_models.costs.solving import LayerCost
from accel_models.errors import InputError
from accel_models.mapping.problem import ACTIONS
from accel_models.source import Source

RANDOM = Source(
    "assumed",
    "activity behind an array's energy figure: that of uniformly random operands, which toggle "
    "every second bit; none of the sources of these figures states it",
    low=0.25,
    high=0.5,
)
"""The activity that the constant energy is taken to stand for; its range is a guess."""
RANDOM_ACTIVITY = 0.5

PROPORTIONAL = Source(
    "assumed",
    "energy of an operation goes with the bits that toggle at the inputs of its multiplier, each "
    "counting the same; what idles is left as it is",
)


class Bits(NamedTuple):
    """Bits of one operand that came to lie on wires, and those of them that were others before."""

    loaded: int
    toggled: int


@dataclass(frozen=True)
class Switching:
    """Bits toggled in a layer, from each operand to the next on the same wires.

    Inputs and weights are counted where they enter a multiplier, once for each that they enter;
    sums where they are written. An operand that lies there already loads and toggles nothing;
    serial ones come anew in every step.
    """

    inputs: Bits
    weights: Bits
    sums: Bits

    @classmethod
    def from_counts(cls, counts: np.ndarray) -> Switching:
        """Figures out of counts, int64 [operand, (loaded, toggled)]."""
        return cls(*(Bits(*row) for row in counts.tolist()))

    @property
    def activity(self) -> float:
        """Share of the multipliers' input bits that toggle when an operand is loaded."""
        loaded = self.inputs.loaded + self.weights.loaded
        return (self.inputs.toggled + self.weights.toggled) / loaded


@dataclass(frozen=True)
class ArrayEnergy:
    """Dynamic energy of the array in one layer, in pJ."""

    constant_pj: float
    """Energy as the models charge it."""
    corrected_pj: float
    """Energy with operations priced by the activity of the data."""
    activity: float
    reference: float
    assumptions: tuple[Source, ...] = (RANDOM, PROPORTIONAL)


def array_energy(
    switching: Switching, cost: LayerCost, pricing: Pricing, reference: float = RANDOM_ACTIVITY
) -> ArrayEnergy:
    """The array's energy in a layer, by the constant of its operations and by their data.

    Args:
        switching: of the layer under the mapping of `cost`.
        cost: the layer's.
        pricing: the machine's.
        reference: activity that the constant stands for.

    Raises:
        InputError: if the reference is not above 0.
    """
    if not reference > 0:
        raise InputError(f"the reference is an activity above 0, got {reference}")
    share = switching.activity / reference
    prices = dict(zip(ACTIONS, pricing.action_pj, strict=True))
    counts = dict(zip(ACTIONS, cost.counts.tolist(), strict=True))
    # A machine charges its array by operations and idle cycles, or by cycles alone.
    working = "array_operations" if prices["array_operations"] else "array_cycles"
    parts = {
        action: counts[action] * prices[action]
        for action in ("array_operations", "array_cycles", "array_stall_cycles")
    }
    constant = sum(parts.values())
    corrected = constant + parts[working] * (share - 1)
    return ArrayEnergy(constant, corrected, switching.activity, reference)
