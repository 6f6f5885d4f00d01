"""The nodes of a graph behind all that they read, and its inputs that are weights."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from onnx import AttributeProto, GraphProto, NodeProto

from accel_models.errors import InputError

WEIGHTS_BEHIND = (
    *("Conv", "ConvTranspose", "BatchNormalization", "PRelu", "LayerNormalization", "Gemm"),
    *("InstanceNormalization", "GroupNormalization", "RMSNormalization", "ConvInteger"),
)
"""Operators whose operands behind the first are weights."""


def in_order(graph: GraphProto, known: Container[str]) -> list[NodeProto]:
    """Nodes behind what they read, in the file's own order where that is so already.

    Args:
        graph: with its nodes.
        known: names of tensors that are there before.

    Raises:
        InputError: if nodes read each other in a circle.
    """
    makers: dict[str, int] = {}
    for number, node in enumerate(graph.node):
        makers |= {name: number for name in node.output if name}
    order: list[NodeProto] = []
    state = [0] * len(graph.node)  # 0 not begun, 1 waits for what it reads, 2 done
    for first in range(len(graph.node)):
        waiting = [first]
        while waiting:
            number = waiting[-1]
            if state[number] == 2:
                waiting.pop()
                continue
            state[number] = 1
            needed = {makers[name] for name in _reads(graph.node[number]) if name in makers}
            ahead = sorted((one for one in needed if state[one] != 2), reverse=True)
            if not ahead:
                state[number] = 2
                order.append(graph.node[number])
                waiting.pop()
                continue
            for one in ahead:
                if state[one] == 1 and one in waiting:
                    what = graph.node[one].name or graph.node[one].op_type
                    raise InputError(f"its graph runs in a circle through '{what}'")
            waiting.append(ahead[-1])
    return order


def _reads(node: NodeProto) -> Iterable[str]:
    """Names that a node reads, those in its own graphs included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            inner = {name for one in attribute.g.node for name in one.output}
            for one in attribute.g.node:
                yield from (name for name in _reads(one) if name not in inner)
            yield from (one.name for one in attribute.g.output if one.name not in inner)


def read_as_weights(graph: GraphProto, inputs: Iterable[str]) -> set[str]:
    """Inputs that are read as weights alone: a file without weights may list them so."""
    places: dict[str, set[bool]] = {}
    for node in graph.node:
        for at, name in enumerate(node.input):
            behind = at > 0 and node.op_type in WEIGHTS_BEHIND
            places.setdefault(name, set()).add(behind)
    return {name for name in inputs if places.get(name) == {True}}


def read_by_quantisers(nodes: Sequence[NodeProto]) -> set[str]:
    """Tensors that ``QuantizeLinear`` rounds and nothing else reads."""
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    return {name for name, operators in readers.items() if operators == {"QuantizeLinear"}}


__all__ = ["in_order", "read_as_weights", "read_by_quantisers"]
