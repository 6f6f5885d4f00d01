"""One layer of a network: its operator, its channels, its two maps, and the windows between."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, cast

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.operators import (
    ACTIVATIONS,
    BY_ROW,
    CONVOLUTION,
    MATMUL,
    ON_ARRAY,
    OPERATORS,
    TAKES_OTHERS,
    TRANSPOSED,
    UPSAMPLING,
    VECTOR_OPERATORS,
)
from accel_models.workloads.transposed import TransposedAxis, phases
from accel_models.workloads.windows import PADDING_MODES, Axis, PaddingMode

MAX_SIZE = 10**9
"""Largest size of anything, in elements."""
MAX_MACS = 10**15
"""MACs of one layer for one batch, at most: BitOps stay inside 64-bit integers up to here. Where a
machine's counts would not, its mapping problem is refused."""

UNKNOWN = cast("tuple[int, ...]", ())
"""Size of a map that follows from that of the other one."""

Role = Literal["fixed", "body", "shortcut", "gate", "exit"]
ROLES: tuple[Role, ...] = ("fixed", "body", "shortcut", "gate", "exit")


@dataclass(frozen=True)
class Layer:
    """A convolution, a linear layer as a 1x1 convolution of a 1x1 map, or another operator on maps.

    Sizes are in elements, in the order rows and columns, or planes, rows and columns where a map
    has depth. Either end's size follows from the other one's. From `in_size` comes the output,
    windows that do not fit left out. From `out_size` alone comes the smallest input: what the
    windows cover with all of the padding, so a map that leaves rows over has to be stated. Without
    either, both maps are 1x1.

    `role` says when the layer runs: ``fixed`` always; ``body`` when its unit is executed;
    ``shortcut`` always, at the unit's precision or, when the unit is skipped, at the highest;
    ``gate`` always, as part of a gated unit's overhead; ``exit`` always, as part of a head that
    predicts from the unit's input, where inputs may leave. Nothing more runs of those that did.

    Raises:
        InputError: if a size is no whole number or below 1, the two ends do not agree, groups do
            not divide the channels, or operator, role and unit do not go together.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, ...] = (1, 1)
    out_size: tuple[int, ...] = UNKNOWN
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    """Elements before and after each axis of the input, such as rows above and below it, columns
    left and right; of as many numbers as axes, each stands for both sides, and one for all."""
    groups: int = 1
    """Groups of channels that do not meet; of a ``matmul``, its heads."""
    reads_image: bool = False
    """Whether the layer reads the network's input: always 8-bit pixels."""
    role: Role = "fixed"
    unit: str = ""
    """The decision unit the layer belongs to; empty for fixed layers."""
    in_size: tuple[int, ...] = UNKNOWN
    """Size of the input map as it lies in memory, without padding."""
    dilation: tuple[int, ...] = (1, 1)
    """Steps from one element of a window to the next."""
    padding_mode: PaddingMode = "zeros"
    """What the padding holds: zeros, which are not fetched or stored, or elements of the input,
    which are read where they lie: an element under several windows counts once, wherever they
    find it."""
    widths: Precision | None = None
    """Widths that the layer computes at where these are settled, whatever is asked of it."""
    operator: str = CONVOLUTION
    """One of `operators.OPERATORS`. A ``matmul`` multiplies, head by head, a matrix of positions x
    channels by one of input channels x output channels that was computed as well."""
    activation: str = ""
    """Function of `operators.ACTIVATIONS` that the vector unit applies to outputs as they leave the
    array."""
    others: int = 0
    """Elements that a ``sum`` or ``product`` reads beside those of its map; by default as many."""
    row: int = 0
    """Elements that a norm or a softmax works on together; by default the channels of a group at
    one position."""

    def __post_init__(self) -> None:
        steps = (self._axes_settled, self._checked, self._ends_settled, self._rows_settled)
        for settle in steps:
            for name, value in settle().items():
                object.__setattr__(self, name, value)
        work = self.macs if self.on_array else self.vector_operations
        if work > MAX_MACS:
            what = "MACs" if self.on_array else "operations"
            raise InputError(f"layer '{self.name}' has {work:.3g} {what}, over {MAX_MACS:.0e}")

    def _axes_settled(self) -> dict[str, Any]:
        """Whole numbers, one for each axis, whatever was left to its default."""
        for name in ("in_channels", "out_channels", "groups", "others", "row"):
            _whole(self.name, name, getattr(self, name))
        given = {name: _numbers(self.name, name, getattr(self, name)) for name in SIZES}
        axes = max(2, *map(len, given.values()))
        for name, numbers in given.items():
            if len(numbers) == 1 or (set(numbers) == {1} and name in PLAIN):
                numbers = numbers[:1] * axes
            if not numbers and name in PLAIN:
                raise InputError(f"layer '{self.name}': {name} has a number for each axis, got ()")
            if numbers and (len(numbers) != axes or axes > MOST_AXES):
                raise InputError(
                    f"layer '{self.name}': {name} {numbers} does not have a number for each of "
                    f"{min(axes, MOST_AXES)} axes"
                )
            given[name] = numbers
        return given | {"padding": _sides(self.name, self.padding, axes)}

    def _ends_settled(self) -> dict[str, Any]:
        """Sizes of both maps, that which was not given from the other's, if they agree."""
        out_size, in_size = self.out_size, self.in_size
        if self.operator in UPSAMPLING:
            if UNKNOWN in (in_size, out_size):
                raise InputError(f"layer '{self.name}': {self.operator} needs in_size and out_size")
            return {}
        if in_size == UNKNOWN:
            out_size = (1,) * len(self.kernel) if out_size == UNKNOWN else out_size
            in_size = tuple(one.least_size for one in self._axes(out_size, (0,) * len(out_size)))
        elif out_size == UNKNOWN:
            ends = self._axes((0,) * len(in_size), in_size)
            out_size = tuple(max(0, axis.fitting) for axis in ends)
        axes = self._axes(out_size, in_size)
        for direction, axis in zip(AXES[-len(self.kernel) :], axes, strict=True):
            if axis.fault:
                raise InputError(f"layer '{self.name}': {direction}: {axis.fault}")
        return {"out_size": out_size, "in_size": in_size}

    def _rows_settled(self) -> dict[str, Any]:
        """What else is read, and worked on together, unless that was said."""
        if self.row and self.outputs % self.row:
            raise InputError(
                f"layer '{self.name}': its {self.outputs} elements are no rows of {self.row}"
            )
        reads_others = self.operator in TAKES_OTHERS and not self.others
        by_row = self.operator in BY_ROW and not self.row
        return {
            **({"others": self.outputs} if reads_others else {}),
            **({"row": self.in_channels // self.groups} if by_row else {}),
        }

    def _checked(self) -> dict[str, Any]:
        self._check_operator()
        self._check_sizes()
        return {}

    def _check_sizes(self) -> None:
        """Refuse what no layer can have, whatever its maps."""
        sizes = (self.in_channels, self.out_channels, *self.kernel, *self.stride, *self.dilation)
        maps = (*self.out_size, *self.in_size)
        if any(size < 1 for size in (*sizes, self.groups, *maps)):
            raise InputError(f"layer '{self.name}' has a size below 1: {self}")
        if min(*self.padding, self.others, self.row) < 0:
            raise InputError(f"layer '{self.name}' has a padding or a number below 0: {self}")
        if self.padding_mode not in PADDING_MODES:
            raise InputError(
                f"layer '{self.name}': padding_mode is one of {', '.join(PADDING_MODES)}, "
                f"got {self.padding_mode!r}"
            )
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise InputError(
                f"layer '{self.name}': {self.in_channels} input and {self.out_channels} output "
                f"channels cannot be split into {self.groups} groups"
            )
        if self.role not in ROLES or (self.role == "fixed") != (self.unit == ""):
            raise InputError(
                f"layer '{self.name}' has role '{self.role}' but unit '{self.unit}': "
                "fixed layers have no unit, all others need one"
            )

    def _check_operator(self) -> None:
        """Refuse what the operator has no use for."""
        texts = (self.operator, self.activation, self.padding_mode, self.role, self.unit)
        if not all(isinstance(text, str) for text in texts):
            raise InputError(f"layer '{self.name}' has something else where text belongs: {self}")
        if not isinstance(self.reads_image, bool) or not isinstance(self.widths, Precision | None):
            raise InputError(
                f"layer '{self.name}': reads_image is true or false and widths a Precision, got "
                f"{self.reads_image!r} and {self.widths!r}"
            )
        if self.operator not in OPERATORS:
            raise InputError(
                f"layer '{self.name}': operator is one of {', '.join(OPERATORS)}, "
                f"got {self.operator!r}"
            )
        if self.activation and self.activation not in ACTIVATIONS:
            raise InputError(
                f"layer '{self.name}': activation is one of {', '.join(ACTIVATIONS)}, "
                f"got {self.activation!r}"
            )
        pools = self.operator in (CONVOLUTION, TRANSPOSED, "max_pool", "avg_pool")
        faults = {
            "its input and output channels differ, which its operator cannot make": (
                self.operator not in (*ON_ARRAY, "embedding")
                and self.in_channels != self.out_channels
            ),
            "only convolutions and pools have windows, strides, dilation and padding": (
                not pools
                and (max(*self.kernel, *self.stride, *self.dilation) > 1 or any(self.padding))
            ),
            "only layers on the array have an activation, others are followed by one": (
                bool(self.activation) and self.operator not in ON_ARRAY
            ),
            "only a sum or a product reads others": (
                self.others > 0 and self.operator not in TAKES_OTHERS
            ),
            "only norms and softmax work on rows": self.row > 0 and self.operator not in BY_ROW,
            "an image is no operand of a product of activations": (
                self.reads_image and self.operator == MATMUL
            ),
            "gates are convolutions or linear": self.decides and self.operator != CONVOLUTION,
        }
        for why, found in faults.items():
            if found:
                raise InputError(f"layer '{self.name}' ({self.operator}): {why}")

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Windows along each axis: down the rows and across the columns, planes before. Those of a
        transposed convolution are of its `ways`."""
        return cast("tuple[Axis, ...]", self._axes(self.out_size, self.in_size))

    def _axes(
        self, out_size: tuple[int, ...], in_size: tuple[int, ...]
    ) -> tuple[Axis | TransposedAxis, ...]:
        kind: Any = TransposedAxis if self.operator == TRANSPOSED else Axis
        sides = self.padding
        return tuple(
            kind(
                outputs=out_size[axis],
                kernel=self.kernel[axis],
                stride=self.stride[axis],
                dilation=self.dilation[axis],
                before=sides[2 * axis],
                after=sides[2 * axis + 1],
                size=in_size[axis],
                mode=self.padding_mode,
            )
            for axis in range(len(self.kernel))
        )

    @cached_property
    def ways(self) -> tuple[tuple[Layer, ...], ...]:
        """Ways to compute a layer, each as plain layers that run one after the other: the layer
        itself or, of a transposed convolution, one for each phase of its strides, one that makes
        all phases at once, or one over its map with zeros between the elements."""
        if self.operator != TRANSPOSED:
            return ((self,),)
        axes = self._axes(self.out_size, self.in_size)
        transposed = cast("tuple[TransposedAxis, ...]", axes)
        apart: tuple[Layer, ...] = ()
        if math.prod(self.stride) <= MOST_PHASES:
            apart = tuple(
                self._piece(f"{self.name}[{number}]", windows)
                for number, windows in enumerate(phases(transposed))
            )
        together = self._piece(self.name, tuple(axis.together for axis in transposed))
        wide = replace(together, out_channels=self.out_channels * math.prod(self.stride))
        stretched = self._piece(self.name, tuple(axis.stretched for axis in transposed))
        if max(self.stride) == 1:
            return (apart,)
        return (*((apart,) if apart else ()), (wide,), (stretched,))

    def _piece(self, name: str, windows: tuple[Axis, ...]) -> Layer:
        return replace(
            self,
            name=name,
            operator=CONVOLUTION,
            kernel=tuple(axis.kernel for axis in windows),
            out_size=tuple(axis.outputs for axis in windows),
            in_size=tuple(axis.size for axis in windows),
            stride=(1,) * len(windows),
            dilation=tuple(axis.dilation for axis in windows),
            padding=tuple(side for axis in windows for side in (axis.before, axis.after)),
        )

    @property
    def on_array(self) -> bool:
        """Whether the array multiplies for it; otherwise the vector unit does all."""
        return self.operator in ON_ARRAY

    @property
    def is_pointwise(self) -> bool:
        """Whether every output of the array reads one place of the input, and every place is read:
        then maps are lists of places, whatever their shape."""
        plain = self.operator in (CONVOLUTION, MATMUL) and self.in_size == self.out_size
        return plain and math.prod(self.kernel) == 1 and not any(self.padding)

    @property
    def outputs(self) -> int:
        """Elements of its output for one input."""
        return math.prod(self.out_size) * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the array for one input. Those of a transposed convolution are
        counted by inputs, those of others by outputs, whether or not they meet padding."""
        if self.operator == TRANSPOSED:
            taps = math.prod(self.kernel) * self.out_channels // self.groups
            return math.prod(self.in_size) * self.in_channels * taps
        return self.outputs * self.macs_per_output if self.on_array else 0

    @property
    def macs_per_output(self) -> int:
        return math.prod(self.kernel) * self.in_channels // self.groups

    @property
    def weights(self) -> int:
        """Number of weights. The operands of a ``matmul`` are none."""
        if self.operator == "embedding":
            return self.in_channels * self.out_channels
        has_weights = self.operator in (CONVOLUTION, TRANSPOSED)
        return self.out_channels * self.macs_per_output if has_weights else 0

    @property
    def vector_operations(self) -> int:
        """Operations of the vector unit for one input, where the array has none."""
        if self.on_array:
            return 0
        work = VECTOR_OPERATORS[self.operator]
        rows = self.outputs // self.row if self.row else 0
        operands = -(-self.others // self.outputs)  # few elements meet every output
        each = work.per_output + work.per_element * math.prod(self.kernel)
        return self.outputs * (each + work.per_operand * operands) + rows * work.per_row

    @property
    def decides(self) -> bool:
        """Whether it is part of its unit's gate or exit."""
        return self.role in ("gate", "exit")

    def precision(self, choice: Precision, always: Precision) -> Precision | None:
        """The precision asked of the layer when its unit takes `choice`, or `always` where it runs
        whatever is chosen; None if it does not run."""
        if self.role not in ("body", "shortcut"):
            return always
        if self.role == "shortcut" and choice.is_skip:
            return always
        return choice if choice.runs else None

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What a cost can depend on: layers of equal geometry cost the same."""
        names = (one.name for one in fields(self) if one.name not in ("name", "role", "unit"))
        return tuple(getattr(self, name) for name in names)


SIZES = ("kernel", "out_size", "in_size", "stride", "dilation")
PLAIN = ("kernel", "stride", "dilation")
"""Sizes that are 1 along every axis of a layer that has no windows."""
AXES = ("planes", "rows", "columns")
MOST_AXES = len(AXES)
MOST_PHASES = 4096
"""Phases of a stride that are computed one by one; more are computed all at once alone."""


def _whole(layer: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"layer '{layer}': {name} is not a whole number: {value!r}")
    if abs(value) > MAX_SIZE:
        raise InputError(f"layer '{layer}': {name} is over {MAX_SIZE:.0e}")
    return value


def _numbers(layer: str, name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list):
        raise InputError(f"layer '{layer}': {name} has a number for each axis, got {value!r}")
    return tuple(_whole(layer, name, number) for number in value)


def _sides(layer: str, padding: Any, axes: int) -> tuple[int, ...]:
    """Padding before and after each axis."""
    sides = (padding,) * (2 * axes) if isinstance(padding, int) else padding
    sides = _numbers(layer, "padding", sides)
    if set(sides) == {0} or len(sides) == 1:
        return (sides[0],) * (2 * axes)
    if len(sides) == axes:
        return tuple(pad for pad in sides for _ in range(2))
    if len(sides) != 2 * axes:
        raise InputError(
            f"layer '{layer}': padding has one number, {axes} or {2 * axes}, got {padding!r}"
        )
    return sides
