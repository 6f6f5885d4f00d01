"""The layers of one network: geometry, what feeds what, and which layers are decided together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.exits import fault_of_exits, first_left, left_at
from accel_models.workloads.layer import Layer
from accel_models.workloads.layer_data import (
    layer_from_dict,
    layer_to_dict,
    with_largest_input,
)
from accel_models.workloads.operators import MATMUL, TAKES_OTHERS
from accel_models.workloads.widths import WidthPolicy, with_widths

if TYPE_CHECKING:
    import networkx as nx

FORMAT = 2
"""Format of `Workload.to_dict`. Format 1, of version 0.1, knew no input sizes nor four paddings."""


Part = Literal["input", "other", "added"]
PARTS: tuple[Part, ...] = ("input", "other", "added")


class Operands(NamedTuple):
    """The layers whose outputs a layer reads, by name, in execution order."""

    inputs: tuple[str, ...] = ()
    """Makers of its input: of several, they lie side by side, as if concatenated."""
    others: tuple[str, ...] = ()
    """Makers of what the input is multiplied by in a ``matmul``, or of the further tensors of a
    ``sum`` or a ``product``."""
    added: tuple[str, ...] = ()
    """Makers of what is added to the output."""


class Ends(NamedTuple):
    """What lies at the two ends of a layer."""

    input_crosses: bool = True
    """The input was made outside the layer's decision unit, at a width chosen for any reader."""
    output_crosses: bool = True
    residuals: int = 0
    """Tensors that are added to the output."""
    other_crosses: bool = True
    """Another operand was made outside the layer's decision unit."""


class Settling(NamedTuple):
    """Readers whose widths settle at what width a layer's tensors wait; none where nothing does."""

    input: tuple[Layer, ...] = ()
    output: tuple[Layer, ...] = ()
    other: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Workload:
    """The layers of one network in execution order, and the tensors between them.

    Args:
        name: what the network is called.
        layers: in execution order.
        edges: (producer, consumer) pairs of layer names, or (producer, consumer, part) with one of
            `PARTS`, as `Operands` has them. Where edges to a layer do not say, the last producer in
            execution order makes the input, and of the others a ``matmul`` multiplies by what they
            made, a ``sum`` or ``product`` takes it in, and any other layer on the array adds it to
            its output; other layers of the vector unit read all of them side by side.
        assumed: a sentence on each thing that the file it was read from left open.
    """

    name: str
    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, ...], ...] = ()
    assumed: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if not names:
            raise InputError(f"workload '{self.name}' has no layers")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"workload '{self.name}' has two layers called '{twice}'")
        position = {name: index for index, name in enumerate(names)}
        object.__setattr__(self, "edges", tuple(map(_edge, self.edges)))
        for producer, consumer, *part in self.edges:
            if len(part) > 1 or not set(part) <= {*PARTS}:
                raise InputError(
                    f"workload '{self.name}': edge {producer} -> {consumer} is of one part of "
                    f"{', '.join(PARTS)}, not {', '.join(map(str, part))}"
                )
            if producer not in position or consumer not in position:
                raise InputError(
                    f"workload '{self.name}': edge {producer} -> {consumer} names no layer"
                )
            if position[producer] >= position[consumer]:
                raise InputError(
                    f"workload '{self.name}': edge {producer} -> {consumer} runs backwards"
                )
        by_name = {layer.name: layer for layer in self.layers}
        for layer in self.layers:
            if fault := _misread(layer, self.operands[layer.name], by_name):
                raise InputError(f"workload '{self.name}': '{layer.name}' {fault}")
        if fault := fault_of_exits(self.layers, self.units, self.exits):
            raise InputError(f"workload '{self.name}': {fault}")

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
        graph.add_edges_from(edge[:2] for edge in self.edges)
        return graph

    @cached_property
    def makers(self) -> dict[str, list[str]]:
        """The layers that each layer reads, by name, in execution order."""
        position = {layer.name: number for number, layer in enumerate(self.layers)}
        found: dict[str, list[str]] = {name: [] for name in position}
        for producer, consumer, *_ in self.edges:
            found[consumer].append(producer)
        return {
            name: sorted(dict.fromkeys(makers), key=position.__getitem__)
            for name, makers in found.items()
        }

    @cached_property
    def operands(self) -> dict[str, Operands]:
        """What each layer reads, by its name."""
        stated: dict[str, dict[str, list[str]]] = {layer.name: {} for layer in self.layers}
        for producer, consumer, *part in dict.fromkeys(self.edges):
            stated[consumer].setdefault(part[0] if part else "", []).append(producer)
        found = {}
        for layer in self.layers:
            parts = stated[layer.name]
            unsaid = [name for name in self.makers[layer.name] if name in parts.get("", ())]
            rest = _part_of_others(layer)
            if unsaid and "input" not in parts and rest != "input":
                parts["input"] = [unsaid.pop()]
            parts.setdefault(rest, []).extend(unsaid)
            found[layer.name] = Operands(*(tuple(parts.get(part, ())) for part in PARTS))
        return found

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """The layers that read each layer's output, by name."""
        found: dict[str, list[str]] = {layer.name: [] for layer in self.layers}
        for producer, consumer in dict.fromkeys(edge[:2] for edge in self.edges):
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
        return any(layer.decides for layer in self.layers)

    @cached_property
    def deciding_units(self) -> frozenset[str]:
        """Units right before which a gate or an exit runs; what others do is known when they
        begin."""
        return frozenset(layer.unit for layer in self.layers if layer.decides)

    @cached_property
    def continued(self) -> frozenset[str]:
        """Layers, by name, of units that others cut in two, behind the cut and with nothing of the
        unit that decides there: it was decided long before."""
        found, begun, decided = set(), set[str](), set[str]()
        for before, layer in pairwise((*self.layers[:1], *self.layers)):
            if before.unit != layer.unit:
                decided = begun.copy()
            if layer.decides:
                decided.discard(layer.unit)
            elif layer.unit:
                begun.add(layer.unit)
                if layer.unit in decided:
                    found.add(layer.name)
        return frozenset(found)

    @cached_property
    def exits(self) -> frozenset[str]:
        """Units before which an input may leave."""
        return frozenset(layer.unit for layer in self.layers if layer.role == "exit")

    @cached_property
    def left_at(self) -> tuple[int, ...]:
        """Last unit at which an input may have left before each layer, as its index in `units`; -1
        for layers that every input reaches."""
        return left_at(self.layers, self.units, self.exits)

    def reached_by(self, choices: Mapping[str, Precision]) -> tuple[bool, ...]:
        """Whether each layer is reached by an input whose units take these choices, by name.

        Raises:
            InputError: if it leaves at a unit that has no exit: names those that have.
        """
        left = first_left(self.name, self.units, self.exits, choices)
        return tuple(left is None or last < left for last in self.left_at)

    def without_gates(self, leaving_at: str = "") -> Workload:
        """The static network: the same layers, with nothing that decides, no gate and no exit but
        that of the unit `leaving_at`, where all inputs are to leave there."""
        exit_of = ("exit", leaving_at)
        keep = tuple(x for x in self.layers if not x.decides or (x.role, x.unit) == exit_of)
        names = {layer.name for layer in keep}
        edges = tuple(edge for edge in self.edges if names.issuperset(edge[:2]))
        return Workload(self.name, keep, edges, self.assumed)

    def with_widths(self, policy: WidthPolicy) -> Workload:
        """The network whose layers compute at the widths that a policy gives, whatever is asked of
        them (`Layer.widths`); layers that nothing matches are left as they are.

        Args:
            policy: bits, such as 8 or ``"4/8"`` (weights/activations), by the name of a layer, that
                of a decision unit, which stands for its layers, or a pattern of `fnmatch` for names
                of layers. **The last match wins**: ``{"*": 8, "block3.*": "4/8"}``. Both operands
                of a ``matmul`` are as wide as activations, and gates have no widths of their own.
                Or what `workloads.widths_file.read_widths` makes of another tool's file.

        Raises:
            InputError: if a precision is malformed or to skip, or a name or pattern matches no
                layer: names the nearest.
        """
        return replace(self, layers=with_widths(self.layers, self.name, policy))

    @cached_property
    def ends(self) -> dict[str, Ends]:
        """Where each layer's tensors come from and go to, by layer name."""
        by_name = {layer.name: layer for layer in self.layers}
        found = {}
        for layer in self.layers:
            operands = self.operands[layer.name]
            readers = [by_name[name] for name in self.readers[layer.name]]
            # A shortcut's output stands in for the unit's, also when the unit is skipped.
            leaves = layer.role == "shortcut" or not readers
            found[layer.name] = Ends(
                input_crosses=_crosses(layer, operands.inputs, by_name),
                output_crosses=leaves or any(reader.unit != layer.unit for reader in readers),
                residuals=0 if layer.decides else len(operands.added),
                other_crosses=_crosses(layer, operands.others, by_name),
            )
        return found

    @cached_property
    def settling(self) -> dict[str, Settling]:
        """Layers whose widths settle at what width a layer's tensors wait, by its name: all that
        read the tensor, if one of them has widths of its own; otherwise none.

        Only tensors inside a unit, or between layers outside all units, wait so: what crosses is
        made for whatever another unit is decided to be.
        """
        by_name = {layer.name: layer for layer in self.layers}
        read_by = {}
        for name in by_name:
            readers = [by_name[reader] for reader in self.readers[name]]
            stated = any(reader.widths is not None for reader in (by_name[name], *readers))
            read_by[name] = tuple(readers) if stated else ()
        found = {}
        for name in by_name:
            operands = self.operands[name]
            of_input, of_others = (
                tuple(reader for maker in makers for reader in read_by[maker])
                for makers in (operands.inputs, operands.others)
            )
            found[name] = Settling(of_input, read_by[name], of_others)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Workload as plain data for JSON."""
        return {
            "format": FORMAT,
            "name": self.name,
            "layers": [layer_to_dict(layer) for layer in self.layers],
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
        version = _format_of(data)
        layers = tuple(
            layer_from_dict(with_largest_input(layer) if version == 1 else layer)
            for layer in data["layers"]
        )
        return cls(data["name"], layers, tuple(data["edges"]))

    @cached_property
    def key(self) -> str:
        """Hash of everything a cost depends on, for telling traces of other networks apart."""
        return key_of(self.to_dict())


def _part_of_others(layer: Layer) -> Part:
    """What a layer does with tensors beside its input, where edges do not say."""
    if layer.operator in (MATMUL, *TAKES_OTHERS):
        return "other"
    return "added" if layer.on_array else "input"


def _misread(layer: Layer, operands: Operands, by_name: Mapping[str, Layer]) -> str:
    """What a layer does with tensors that it cannot; nothing if it can do all."""
    if operands.added and not layer.on_array:
        return "adds nothing to its output, which only layers on the array do: let a sum follow it"
    if operands.others and layer.operator not in (MATMUL, *TAKES_OTHERS):
        return f"reads '{operands.others[0]}' besides, which {layer.operator} has no use for"
    if layer.operator == MATMUL and len(operands.others) > 1:
        return "multiplies by one tensor, not by " + " and ".join(operands.others)
    together = sum(by_name[name].outputs for name in operands.inputs)
    if layer.operator in TAKES_OTHERS and len(operands.inputs) > 1 and together != layer.outputs:
        return (
            f"reads {together} elements side by side where its map has {layer.outputs}: of several "
            "tensors that it takes in, the further ones are of part other"
        )
    taken_in = sum(by_name[name].outputs for name in operands.others)
    if len(operands.others) > 1 and layer.others == layer.outputs != taken_in:
        return f"takes in {len(operands.others)} tensors: others says how many elements they have"
    return ""


def _crosses(layer: Layer, makers: Iterable[str], by_name: Mapping[str, Layer]) -> bool:
    """Whether what these layers made may come from outside a layer's unit."""
    units = {by_name[name].unit for name in makers}
    return units != {layer.unit}


def _edge(names: Any) -> tuple[str, ...]:
    given = names if isinstance(names, tuple | list) else ()
    if len(given) not in (2, 3) or not all(isinstance(name, str) for name in given):
        raise InputError(f"an edge names two layers and perhaps a part, and is not {names!r}")
    return tuple(given)


def _format_of(data: Any) -> int:
    """Format of a workload's plain data, if its own fields are there and of their kinds.

    Raises:
        InputError: naming the field that is not.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"a workload is a table of fields, and not {data!r}")
    version = data.get("format", 1)
    if type(version) is not int or version < 1:
        raise InputError(f"workload format is not a whole number from 1 to {FORMAT}: {version!r}")
    if version > FORMAT:
        raise InputError(f"workload format {version} is later than the known {FORMAT}")
    kinds: dict[str, type] = {"name": str, "layers": list, "edges": list}
    unknown, missing = data.keys() - kinds.keys() - {"format"}, kinds.keys() - data.keys()
    if unknown or missing:
        what = f"unknown {min(unknown)}" if unknown else f"missing {min(missing)}"
        raise InputError(f"not a workload: {what}")
    for field_, kind in kinds.items():
        if not isinstance(data[field_], kind):
            raise InputError(f"not a workload: {field_} is no {kind.__name__}: {data[field_]!r}")
    return version


def key_of(data: Mapping[str, Any]) -> str:
    """The key of a workload by its `Workload.to_dict`, as the version that wrote it had it."""
    text = json.dumps(data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


__all__ = ["Ends", "Layer", "Workload", "key_of"]
