"""The choices of a decision unit: skip it, leave the network before it, or run it at some width of
weights and activations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from accel_models.errors import InputError, quoted

MAX_BITS = 32
FULL_BITS = 16
MOST_DIGITS = 9
"""Digits of a width that are read: Python reads no numbers of thousands of them."""


@dataclass(frozen=True, order=True)
class Precision:
    """Operand widths in bits. ``Precision(0, 0)`` is `SKIP`: the unit does not run. Nor does it at
    `EXIT`, nor anything after it: the input leaves with what the unit's exit predicts.

    `FULL` trains unquantised, in floating point, and is charged as 16-bit fixed point.

    >>> Precision.parse("4/8")
    Precision(weight_bits=4, activation_bits=8)
    >>> Precision.parse("4") == Precision(4, 4)
    True
    """

    weight_bits: int
    activation_bits: int
    full: bool = field(default=False, repr=False)
    exits: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        idle = self.weight_bits == self.activation_bits == 0
        widths = (self.weight_bits, self.activation_bits)
        if not idle and not all(1 <= bits <= MAX_BITS for bits in widths):
            raise InputError(
                f"a precision is 1 to {MAX_BITS} bits for weights and activations, "
                f"got {self.weight_bits}/{self.activation_bits}"
            )
        if self.full and widths != (FULL_BITS, FULL_BITS):
            raise InputError(f"full precision is charged as {FULL_BITS} bits, got {widths}")
        if self.exits and not idle:
            raise InputError(f"an input that leaves runs nothing at any width, got {widths}")

    @classmethod
    def parse(cls, text: str | int | Precision) -> Precision:
        """Read ``"skip"``, ``"exit"``, ``"full"``, ``"8"`` (both operands) or ``"4/8"`` (weights
        and activations).

        Raises:
            InputError: if it is none of these.
        """
        if isinstance(text, Precision):
            return text
        words = str(text).strip().lower()
        if words in NAMED:
            return NAMED[words]
        parts = words.split("/")
        if len(parts) > 2 or not all(_is_width(part) for part in parts):
            raise InputError(
                f"'{text}' is not a precision: write skip, exit, full, a bitwidth such as 8, "
                "or weight/activation bits such as 4/8"
            )
        return cls(int(parts[0]), int(parts[-1]))

    @property
    def is_skip(self) -> bool:
        return not self.runs and not self.exits

    @property
    def runs(self) -> bool:
        """Whether the unit runs; otherwise it is skipped, or the input has left."""
        return self.weight_bits > 0

    @property
    def bitops_per_mac(self) -> int:
        """One-bit by one-bit multiplications in a MAC, the BitOps proxy."""
        return self.weight_bits * self.activation_bits

    def __str__(self) -> str:
        if not self.runs or self.full:
            return "exit" if self.exits else "skip" if self.is_skip else "full"
        if self.weight_bits == self.activation_bits:
            return str(self.weight_bits)
        return f"{self.weight_bits}/{self.activation_bits}"


def _is_width(text: str) -> bool:
    return len(text) <= MOST_DIGITS and text.isdecimal() and int(text) > 0


SKIP = Precision(0, 0)
EXIT = Precision(0, 0, exits=True)
FULL = Precision(FULL_BITS, FULL_BITS, full=True)
NAMED = {"skip": SKIP, "exit": EXIT, "full": FULL}


def parse_choices(text: str | Iterable[str | int | Precision]) -> tuple[Precision, ...]:
    """Read a choice set such as ``"skip,2,4,8"``: in the order given, none twice.

    Raises:
        InputError: if a choice is malformed or repeated, or if nothing but skipping is left.
    """
    if not isinstance(text, Iterable):
        raise InputError(
            f"a choice set has several choices, such as 'skip,2,4,8' or (2, 4, 8), and is not "
            f"{quoted(text)}: of one choice, write ({quoted(text)},)"
        )
    words = text.split(",") if isinstance(text, str) else list(text)
    choices = tuple(Precision.parse(word) for word in words)
    if len(set(choices)) != len(choices):
        raise InputError(f"the choice set '{text}' names a choice twice")
    if not any(choice.runs for choice in choices):
        raise InputError(f"the choice set '{text}' leaves nothing to run: add a bitwidth")
    return choices


def highest(choices: Iterable[Precision]) -> Precision:
    """The choice with the most BitOps per MAC: what 'the highest precision' refers to."""
    return max(choices, key=lambda choice: (choice.bitops_per_mac, choice))
