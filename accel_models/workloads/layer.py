"""One layer of a network: its channels, its two maps, and the windows between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.windows import PADDING_MODES, Axis, PaddingMode

MAX_MACS = 10**15
"""MACs of one layer for one batch, at most: BitOps stay inside 64-bit integers up to here. Where a
machine's counts would not, its mapping problem is refused."""

UNKNOWN = cast("tuple[int, int]", ())
"""Size of a map that follows from that of the other one."""

Role = Literal["fixed", "body", "shortcut", "gate"]

SEVERAL = {
    "kernel": 2,
    "out_size": 2,
    "in_size": 2,
    "stride": 2,
    "dilation": 2,
    "padding": 4,
}
ONE: dict[str, type] = {
    "name": str,
    "in_channels": int,
    "out_channels": int,
    "groups": int,
    "reads_image": bool,
    "role": str,
    "unit": str,
    "padding_mode": str,
}
"""What fields of a layer hold when they are read: so many whole numbers, or one of a kind."""


@dataclass(frozen=True)
class Layer:
    """A convolution, or a linear layer as a 1x1 convolution of a 1x1 map. Sizes are in elements.

    Either end's size follows from the other one's. From `in_size` comes the output, windows that do
    not fit left out. From `out_size` alone comes the smallest input: what the windows cover with
    all of the padding, so a map that leaves rows over has to be stated. Without either, both maps
    are 1x1.

    `role` says when the layer runs: ``fixed`` always; ``body`` when its unit is executed;
    ``shortcut`` always, at the unit's precision or, when the unit is skipped, at the highest;
    ``gate`` always, as part of a gated unit's overhead.

    Raises:
        InputError: if a size is below 1, the two ends do not agree, groups do not divide the
            channels, or role and unit do not agree.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    out_size: tuple[int, int] = UNKNOWN
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    """Rows above and below the input, columns left and right of it; of two numbers, the first
    stands for above and below, the second for left and right, and one stands for all sides."""
    groups: int = 1
    reads_image: bool = False
    """Whether the layer reads the network's input: always 8-bit pixels."""
    role: Role = "fixed"
    unit: str = ""
    """The decision unit the layer belongs to; empty for fixed layers."""
    in_size: tuple[int, int] = UNKNOWN
    """Height and width of the input map as it lies in memory, without padding."""
    dilation: tuple[int, int] = (1, 1)
    """Steps from one element of a window to the next, down and across."""
    padding_mode: PaddingMode = "zeros"
    """What the padding holds: zeros, which are not fetched or stored, or elements of the input,
    which are read where they lie: an element under several windows counts once, wherever they
    find it."""
    widths: Precision | None = None
    """Widths that the layer computes at where these are settled, whatever is asked of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", _four_sides(self.name, self.padding))
        self._check_sizes()
        if self.in_size == UNKNOWN:
            out_size = (1, 1) if self.out_size == UNKNOWN else self.out_size
            least = tuple(axis.least_size for axis in self._axes(out_size, (0, 0)))
            object.__setattr__(self, "out_size", out_size)
            object.__setattr__(self, "in_size", least)
        elif self.out_size == UNKNOWN:
            fitting = tuple(max(0, axis.fitting) for axis in self._axes((0, 0), self.in_size))
            object.__setattr__(self, "out_size", fitting)
        for direction, axis in zip(("rows", "columns"), self.axes, strict=True):
            if axis.fault:
                raise InputError(f"layer '{self.name}': {direction}: {axis.fault}")
        if self.macs > MAX_MACS:
            raise InputError(f"layer '{self.name}' has {self.macs:.3g} MACs, over {MAX_MACS:.0e}")

    def _check_sizes(self) -> None:
        """Refuse what no layer can have, whatever its maps."""
        sizes = (self.in_channels, self.out_channels, *self.kernel, *self.stride, *self.dilation)
        maps = (size for size in (self.out_size, self.in_size) if size != UNKNOWN)
        if any(size < 1 for size in (*sizes, self.groups, *(n for pair in maps for n in pair))):
            raise InputError(f"layer '{self.name}' has a size below 1: {self}")
        if any(pad < 0 for pad in self.padding):
            raise InputError(f"layer '{self.name}' has a padding below 0: {self.padding}")
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
        if (self.role == "fixed") != (self.unit == ""):
            raise InputError(
                f"layer '{self.name}' has role '{self.role}' but unit '{self.unit}': "
                "fixed layers have no unit, all others need one"
            )

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Windows down the rows and across the columns."""
        return self._axes(self.out_size, self.in_size)

    def _axes(self, out_size: tuple[int, int], in_size: tuple[int, int]) -> tuple[Axis, ...]:
        sides = self.padding
        return tuple(
            Axis(
                outputs=out_size[axis],
                kernel=self.kernel[axis],
                stride=self.stride[axis],
                dilation=self.dilation[axis],
                before=sides[2 * axis],
                after=sides[2 * axis + 1],
                size=in_size[axis],
                mode=self.padding_mode,
            )
            for axis in range(2)
        )

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input."""
        height, width = self.out_size
        return height * width * self.out_channels * self.macs_per_output

    @property
    def macs_per_output(self) -> int:
        return self.kernel[0] * self.kernel[1] * self.in_channels // self.groups

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.out_channels * self.macs_per_output

    def precision(self, choice: Precision, always: Precision) -> Precision | None:
        """The precision asked of the layer when its unit takes `choice`; None if it does not run.

        `always` is the precision of everything that runs whatever is chosen.
        """
        if self.role == "body":
            return None if choice.is_skip else choice
        if self.role == "shortcut":
            return always if choice.is_skip else choice
        return always

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What a cost can depend on: layers of equal geometry cost the same."""
        return (
            self.in_channels,
            self.out_channels,
            self.kernel,
            self.out_size,
            self.stride,
            self.padding,
            self.groups,
            self.reads_image,
            self.in_size,
            self.dilation,
            self.padding_mode,
            self.widths,
        )


def _four_sides(name: str, padding: Any) -> tuple[int, ...]:
    sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    if len(sides) == 2:
        sides = (sides[0], sides[0], sides[1], sides[1])
    if len(sides) != 4:
        raise InputError(f"layer '{name}': padding has one, two or four numbers, got {padding!r}")
    return sides


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """A layer as plain data for JSON."""
    return {**asdict(layer), "widths": None if layer.widths is None else str(layer.widths)}


def layer_from_dict(data: Mapping[str, Any]) -> Layer:
    """Layer that `layer_to_dict` made plain data of.

    Raises:
        InputError: naming the field that is missing, unknown or of another kind.
    """
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    for name, value in values.items():
        if name in SEVERAL:
            numbers = value if isinstance(value, tuple) else ()
            whole = all(type(number) is int for number in numbers)
            if not whole or len(numbers) != SEVERAL[name]:
                raise InputError(f"{name} is not {SEVERAL[name]} whole numbers: {value!r}")
        elif name in ONE and type(value) is not ONE[name]:
            raise InputError(f"{name} is not a {ONE[name].__name__}: {value!r}")
    if values["role"] not in get_args(Role):
        raise InputError(f"role is not one of {', '.join(get_args(Role))}: {values['role']!r}")
    if values.get("widths") is not None:
        values["widths"] = Precision.parse(values["widths"])
    return Layer(**values)


def with_largest_input(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data of a layer of version 0.1, with the input size that this version took it to have.

    Raises:
        InputError: naming a field of another kind.
    """
    given = {**data}
    for name in ("kernel", "out_size", "stride", "padding"):
        if not (isinstance(given[name], list) and len(given[name]) == 2):
            raise InputError(f"{name} is not 2 whole numbers: {given[name]!r}")
    (top, left), sides = (
        given["padding"],
        zip(*(given["out_size"], given["stride"], given["kernel"], given["padding"]), strict=True),
    )
    given["padding"] = [top, top, left, left]
    given["in_size"] = [
        max(1, out * step + kernel - 2 * pad - 1) for out, step, kernel, pad in sides
    ]
    return given
