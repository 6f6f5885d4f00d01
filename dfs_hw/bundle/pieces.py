"""An exported graph cut at its marks into models of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper

from dfs_hw.onnx_export import DOMAIN, is_mark, said_by

WHOLE = (np.int8, np.int16)
"""Types that weights are kept in where they hold them, the narrowest first."""


@dataclass(frozen=True)
class GraphPart:
    """Where a piece of a graph ends, and where it may begin.

    Attributes:
        ends: marks, by the names of the outputs that they become.
        begins: names of the inputs that marks become.
    """

    ends: Mapping[str, str]
    begins: Mapping[str, str]


class _Piece(NamedTuple):
    nodes: list[NodeProto]
    """Nodes of the whole graph, in its order."""
    begins: dict[str, str]
    """Tensors at which they begin, and what stands there."""


class MarkedGraph:
    """A graph with marks in it, of one place each.

    Args:
        model: as PyTorch exports it; its inputs count as marks of their names.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model, graph = model, model.graph
        self._nodes = list(graph.node)
        self._makers = {
            made: number for number, node in enumerate(self._nodes) for made in node.output
        }
        self._constants = {one.name: one for one in graph.initializer}
        values = (*graph.value_info, *graph.input, *graph.output)
        self._described = {one.name: one for one in values}
        marks = {str(said_by(node)["place"]): node for node in graph.node if is_mark(node)}
        self._marked = {place: node.input[0] for place, node in marks.items()}
        self._begins = {node.output[0]: place for place, node in marks.items()}
        for one in graph.input:
            self._begins[one.name] = self._marked[one.name] = one.name

    def __contains__(self, place: str) -> bool:
        return place in self._marked

    def shape(self, place: str) -> tuple[int, ...]:
        """Shape of the tensor at a mark."""
        return tuple(one.dim_value for one in self._type(place).tensor_type.shape.dim)

    def strays(self, part: GraphPart) -> list[str]:
        """Marks at which a piece begins, though it may not."""
        return sorted(set(self._piece(part).begins.values()) - part.begins.keys())

    def model_of(self, part: GraphPart) -> ModelProto | None:
        """A piece as a model; None if it hands its input on as it is."""
        nodes, begins = self._piece(part)
        if not nodes and begins and len(part.ends) == 1:
            return None
        names = {tensor: part.begins[place] for tensor, place in begins.items()}
        made, extra = [], []
        for name, place in part.ends.items():
            tensor = self._marked[place]
            if tensor in names or tensor in self._constants:  # it is something else, too
                extra.append(helper.make_node("Identity", [names.get(tensor, tensor)], [name]))
            else:
                names[tensor] = name
            made.append(self._value(name, place))
        read = dict.fromkeys(name for node in (*nodes, *extra) for name in node.input)
        constants, casts = [], []
        for one in (self._constants[name] for name in read if name in self._constants):
            kept, cast = _whole_numbers(one)
            constants.append(kept)
            casts += cast
        graph = helper.make_graph(
            [*casts, *(_renamed(node, names) for node in nodes), *extra],
            "piece",
            [self._value(part.begins[place], place) for place in begins.values()],
            made,
            constants,
        )
        opsets = [one for one in self.model.opset_import if one.domain != DOMAIN]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            functions=self.model.functions,
            ir_version=self.model.ir_version,
        )

    def _piece(self, part: GraphPart) -> _Piece:
        waiting = [self._marked[place] for place in part.ends.values()]
        numbers, begins = set[int](), dict[str, str]()
        while waiting:
            tensor = waiting.pop()
            if tensor in self._begins:
                begins[tensor] = self._begins[tensor]
            elif (number := self._makers.get(tensor)) is not None and number not in numbers:
                numbers.add(number)
                waiting += self._nodes[number].input
        nodes = [self._nodes[number] for number in sorted(numbers)]
        return _Piece(nodes, dict(sorted(begins.items(), key=lambda one: one[1])))

    def _type(self, place: str) -> TypeProto:
        return self._described[self._marked[place]].type

    def _value(self, name: str, place: str) -> ValueInfoProto:
        return helper.make_value_info(name, self._type(place))


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """A node without what the exporter noted about its source, some of its tensors called anew."""
    made = helper.make_node(
        node.op_type,
        [names.get(name, name) for name in node.input],
        [names.get(name, name) for name in node.output],
        domain=node.domain,
    )
    made.attribute.extend(node.attribute)
    return made


def _whole_numbers(constant: TensorProto) -> tuple[TensorProto, list[NodeProto]]:
    """Weights in the narrowest type of whole numbers that holds them, and what widens them."""
    if constant.data_type != TensorProto.FLOAT or len(constant.dims) < 2:
        return constant, []
    values = numpy_helper.to_array(constant)
    for narrow in WHOLE:
        whole = values.astype(narrow)
        if np.array_equal(whole, values):
            kept, wide = f"{constant.name}/whole", TensorProto.FLOAT
            cast = helper.make_node("Cast", [kept], [constant.name], to=wide)
            return numpy_helper.from_array(whole, kept), [cast]
    return constant, []


__all__ = ["GraphPart", "MarkedGraph"]
