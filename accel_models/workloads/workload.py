"""The layers of one network: geometry, what feeds what, and which layers are decided together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import networkx as nx

from accel_models.errors import InputError
from accel_models.precision import Precision

MAX_MACS = 10**13
"""MACs of one layer for one input, at most; counts of bits stay well inside 64-bit integers up to
here."""

Role = Literal["fixed", "body", "shortcut", "gate"]


@dataclass(frozen=True)
class Layer:
    """A convolution, or a linear layer as a 1x1 convolution of a 1x1 map. Sizes are in elements.

    `role` says when the layer runs: ``fixed`` always; ``body`` when its unit is executed;
    ``shortcut`` always, at the unit's precision or, when the unit is skipped, at the highest;
    ``gate`` always, as part of a gated unit's overhead.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    out_size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    reads_image: bool = False
    """Whether the layer reads the network's input: always 8-bit pixels."""
    role: Role = "fixed"
    unit: str = ""
    """The decision unit the layer belongs to; empty for fixed layers."""

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, *self.kernel, *self.out_size, *self.stride)
        if any(size < 1 for size in (*sizes, self.groups)) or any(pad < 0 for pad in self.padding):
            raise InputError(f"layer '{self.name}' has a size below 1: {self}")
        if self.macs > MAX_MACS:
            raise InputError(f"layer '{self.name}' has {self.macs:.3g} MACs, over {MAX_MACS:.0e}")
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
        """The precision the layer runs at when its unit takes `choice`; None if it does not run.

        `always` is the precision of everything that runs whatever is chosen.
        """
        if self.role == "body":
            return None if choice.is_skip else choice
        if self.role == "shortcut":
            return always if choice.is_skip else choice
        return always

    @property
    def in_size(self) -> tuple[int, int]:
        """Height and width of the input map: the largest that gives `out_size`."""
        height, width = (
            max(1, out * step + kernel - 2 * pad - 1)
            for out, step, kernel, pad in zip(
                self.out_size, self.stride, self.kernel, self.padding, strict=True
            )
        )
        return height, width

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
        )


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
    """

    name: str
    layers: tuple[Layer, ...]
    edges: tuple[tuple[str, str], ...] = ()

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
    def chain(cls, name: str, layers: Iterable[Layer]) -> Workload:
        """A network in which every layer feeds the next."""
        layers = tuple(layers)
        names = [layer.name for layer in layers]
        return cls(name, layers, tuple(pairwise(names)))

    @cached_property
    def graph(self) -> nx.DiGraph:
        """Layers as nodes (attribute ``layer``), tensors as edges."""
        graph = nx.DiGraph(name=self.name)
        graph.add_nodes_from((layer.name, {"layer": layer}) for layer in self.layers)
        graph.add_edges_from(self.edges)
        return graph

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
        return Workload(self.name, keep, edges)

    @cached_property
    def ends(self) -> dict[str, Ends]:
        """Where each layer's tensors come from and go to, by layer name."""
        by_name = {layer.name: layer for layer in self.layers}
        position = {name: number for number, name in enumerate(by_name)}
        graph = self.graph
        found = {}
        for layer in self.layers:
            makers = sorted(graph.predecessors(layer.name), key=position.__getitem__)
            readers = [by_name[name] for name in graph.successors(layer.name)]
            # A shortcut's output stands in for the unit's, also when the unit is skipped.
            leaves = layer.role == "shortcut" or not readers
            found[layer.name] = Ends(
                input_crosses=not makers or by_name[makers[-1]].unit != layer.unit,
                output_crosses=leaves or any(reader.unit != layer.unit for reader in readers),
                adds_residual=len(makers) > 1 and layer.role != "gate",
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Workload as plain data for JSON."""
        layers = [asdict(layer) for layer in self.layers]
        return {"name": self.name, "layers": layers, "edges": [list(edge) for edge in self.edges]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Workload:
        """Workload that `to_dict` made plain data of.

        Raises:
            InputError: if a field is missing or unknown.
        """
        try:
            layers = tuple(_layer_from_dict(layer) for layer in data["layers"])
            edges = tuple((producer, consumer) for producer, consumer in data["edges"])
            return cls(data["name"], layers, edges)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a workload: {error}") from error

    @cached_property
    def key(self) -> str:
        """Hash of everything a cost depends on, for telling traces of other networks apart."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _layer_from_dict(data: Mapping[str, Any]) -> Layer:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    return Layer(**values)
