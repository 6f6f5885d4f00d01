"""The layers of one network: geometry, what feeds what, and which layers are decided together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.windows import PADDING_MODES, PaddingMode, Windows

if TYPE_CHECKING:
    import networkx as nx

MAX_MACS = 10**15
"""MACs of one layer for one batch, at most: BitOps stay inside 64-bit integers up to here. Where a
machine's counts would not, its mapping problem is refused."""

UNKNOWN = cast("tuple[int, int]", ())
"""Size of a map that follows from that of the other one."""

FORMAT = 2
"""Of `Workload.to_dict`. Format 1, of version 0.1, knew neither input sizes nor four paddings."""

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
            least = tuple(axis.least_size for axis in self._windows(out_size, (0, 0)))
            object.__setattr__(self, "out_size", out_size)
            object.__setattr__(self, "in_size", least)
        elif self.out_size == UNKNOWN:
            fitting = tuple(max(0, axis.fitting) for axis in self._windows((0, 0), self.in_size))
            object.__setattr__(self, "out_size", fitting)
        for direction, axis in zip(("rows", "columns"), self.windows, strict=True):
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
    def windows(self) -> tuple[Windows, ...]:
        """Windows down the rows and across the columns."""
        return self._windows(self.out_size, self.in_size)

    def _windows(self, out_size: tuple[int, int], in_size: tuple[int, int]) -> tuple[Windows, ...]:
        sides = self.padding
        return tuple(
            Windows(
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
    def touched_size(self) -> tuple[int, int]:
        """Rows and columns of the input that some window touches: no other is ever read."""
        rows, columns = self.windows
        return rows.touched, columns.touched

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


class Ends(NamedTuple):
    """What lies at the two ends of a layer."""

    input_crosses: bool = True
    """The input was made outside the layer's decision unit, at a width chosen for any reader."""
    output_crosses: bool = True
    adds_residual: bool = False
    """A second tensor is added to the output."""


@dataclass(frozen=True)
class Workload:
    """The layers of one network in execution order, and the tensors between them.

    Args:
        name: what the network is called.
        layers: in execution order.
        edges: (producer, consumer) pairs of layer names. Where a layer has several producers, it
            convolves what the last of them made; the others are added to its output.
        assumed: a sentence on each thing that the file it was read from left open.
    """

    name: str
    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, str], ...] = ()
    assumed: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if not names:
            raise InputError(f"workload '{self.name}' has no layers")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"workload '{self.name}' has two layers called '{twice}'")
        position = {name: index for index, name in enumerate(names)}
        for producer, consumer in self.edges:
            if producer not in position or consumer not in position:
                raise InputError(
                    f"workload '{self.name}': edge {producer} -> {consumer} names no layer"
                )
            if position[producer] >= position[consumer]:
                raise InputError(
                    f"workload '{self.name}': edge {producer} -> {consumer} runs backwards"
                )

    @classmethod
    def chain(cls, name: str, layers: Iterable[Layer], *, assumed: Iterable[str] = ()) -> Workload:
        """A network in which every layer feeds the next."""
        layers = tuple(layers)
        names = [layer.name for layer in layers]
        return cls(name, layers, tuple(pairwise(names)), tuple(assumed))

    @cached_property
    def graph(self) -> nx.DiGraph:
        """Layers as nodes (attribute ``layer``), tensors as edges."""
        import networkx as nx  # a tenth of a second, which no simulation needs

        graph = nx.DiGraph(name=self.name)
        graph.add_nodes_from((layer.name, {"layer": layer}) for layer in self.layers)
        graph.add_edges_from(self.edges)
        return graph

    @cached_property
    def makers(self) -> dict[str, list[str]]:
        """The layers that each layer reads, by name, in execution order."""
        position = {layer.name: number for number, layer in enumerate(self.layers)}
        found: dict[str, list[str]] = {name: [] for name in position}
        for producer, consumer in dict.fromkeys(self.edges):
            found[consumer].append(producer)
        return {name: sorted(makers, key=position.__getitem__) for name, makers in found.items()}

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """The layers that read each layer's output, by name."""
        found: dict[str, list[str]] = {layer.name: [] for layer in self.layers}
        for producer, consumer in dict.fromkeys(self.edges):
            found[producer].append(consumer)
        return found

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Names of the gated decision units, in execution order."""
        return tuple(dict.fromkeys(layer.unit for layer in self.layers if layer.unit))

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input that executes every layer."""
        return sum(layer.macs for layer in self.layers)

    @cached_property
    def is_gated(self) -> bool:
        """Whether some unit decides at run time."""
        return any(layer.role == "gate" for layer in self.layers)

    @cached_property
    def deciding_units(self) -> frozenset[str]:
        """Units right before which a gate runs; what others do is known when they begin."""
        return frozenset(layer.unit for layer in self.layers if layer.role == "gate")

    def without_gates(self) -> Workload:
        """The static network: the same layers, with nothing that decides."""
        keep = tuple(layer for layer in self.layers if layer.role != "gate")
        names = {layer.name for layer in keep}
        edges = tuple(edge for edge in self.edges if names.issuperset(edge))
        return Workload(self.name, keep, edges, self.assumed)

    @cached_property
    def ends(self) -> dict[str, Ends]:
        """Where each layer's tensors come from and go to, by layer name."""
        by_name = {layer.name: layer for layer in self.layers}
        found = {}
        for layer in self.layers:
            makers = self.makers[layer.name]
            readers = [by_name[name] for name in self.readers[layer.name]]
            # A shortcut's output stands in for the unit's, also when the unit is skipped.
            leaves = layer.role == "shortcut" or not readers
            found[layer.name] = Ends(
                input_crosses=not makers or by_name[makers[-1]].unit != layer.unit,
                output_crosses=leaves or any(reader.unit != layer.unit for reader in readers),
                adds_residual=len(makers) > 1 and layer.role != "gate",
            )
        return found

    @cached_property
    def settling(self) -> dict[str, tuple[tuple[Layer, ...], tuple[Layer, ...]]]:
        """Layers whose widths settle at what width a layer's input and output wait, by its name:
        all that read the tensor, if one of them has widths of its own; otherwise none.

        Only tensors inside a unit, or between layers outside all units, wait so: what crosses is
        made for whatever another unit is decided to be.
        """
        by_name = {layer.name: layer for layer in self.layers}
        position = {name: number for number, name in enumerate(by_name)}
        graph = self.graph
        read_by = {}
        for name in by_name:
            readers = [by_name[reader] for reader in graph.successors(name)]
            stated = any(reader.widths is not None for reader in (by_name[name], *readers))
            read_by[name] = tuple(readers) if stated else ()
        found = {}
        for name in by_name:
            makers = sorted(graph.predecessors(name), key=position.__getitem__)
            found[name] = (read_by[makers[-1]] if makers else (), read_by[name])
        return found

    def to_dict(self) -> dict[str, Any]:
        """Workload as plain data for JSON."""
        return {
            "format": FORMAT,
            "name": self.name,
            "layers": [_layer_to_dict(layer) for layer in self.layers],
            "edges": [list(edge) for edge in self.edges],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Workload:
        """Workload that `to_dict` made plain data of, or version 0.1 did.

        That version took every input for the largest that gives the output. Its layers keep that
        size, so that they cost what they did.

        Raises:
            InputError: if a field is missing, unknown or of another kind, or a later version wrote
                it.
        """
        try:
            version = data.get("format", 1)
            if version not in (1, FORMAT):
                raise InputError(f"workload format {version!r} is later than the known {FORMAT}")
            layers = tuple(
                _layer_from_dict(_with_largest_input(layer) if version == 1 else layer)
                for layer in data["layers"]
            )
            edges = tuple((producer, consumer) for producer, consumer in data["edges"])
            return cls(data["name"], layers, edges)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a workload: {error}") from error

    @cached_property
    def key(self) -> str:
        """Hash of everything a cost depends on, for telling traces of other networks apart."""
        return key_of(self.to_dict())


def key_of(data: Mapping[str, Any]) -> str:
    """The key of a workload by its `Workload.to_dict`, as the version that wrote it had it."""
    text = json.dumps(data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _layer_to_dict(layer: Layer) -> dict[str, Any]:
    return {**asdict(layer), "widths": None if layer.widths is None else str(layer.widths)}


def _layer_from_dict(data: Mapping[str, Any]) -> Layer:
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


def _with_largest_input(data: Mapping[str, Any]) -> dict[str, Any]:
    """A layer of version 0.1, its input size written down by the rule of that version."""
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
