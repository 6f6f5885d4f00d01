"""Gates by name, as settings and checkpoints write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from accel_models.errors import InputError
from accel_models.precision import Precision
from dfs_hw.gates.confidence import ConfidenceGate
from dfs_hw.gates.estimated_error import ErrorGate
from dfs_hw.gates.feedforward import FeedforwardGate
from dfs_hw.gates.gate import Gate
from dfs_hw.gates.recurrent import RecurrentGate
from dfs_hw.gates.upfront import UpfrontGate

GATES: dict[str, Callable[..., Gate]] = {
    "lstm": RecurrentGate,
    "feedforward": FeedforwardGate,
    "upfront": UpfrontGate,
    "confidence": ConfidenceGate,
    "confidence-margin": partial(ConfidenceGate, measure="margin"),
    "confidence-entropy": partial(ConfidenceGate, measure="entropy"),
    "error": ErrorGate,
}
"""Families of gates by name: called as `make_gate` calls them."""


def make_gate(
    name: str,
    channels: Sequence[int],
    choices: int,
    precision: Precision,
    *,
    signed: bool = False,
    knob: bool = False,
) -> Gate:
    """A fresh gate of the family called `name`, with the family's own sizes.

    Args:
        name: one of `GATES`.
        channels: of the input of each unit.
        choices: number of choices of a unit, K.
        precision: of the gate's arithmetic; ``FULL`` for floating point.
        signed: True if inputs of units can be negative, as they are not after a ReLU.
        knob: whether the price of cost is an input, see `Gate`.

    Raises:
        InputError: if no family has that name, or there is no unit or nothing to choose from.
    """
    if name not in GATES:
        raise InputError(f"no gate is called '{name}': choose from {', '.join(GATES)}")
    if not channels:
        raise InputError("a gate decides about units, and there are none")
    if choices < 1:
        raise InputError(f"a unit needs at least one choice, got {choices}")
    return GATES[name](channels, choices, precision, signed=signed, knob=knob)
