"""A graph of an ONNX file walked node by node: each becomes layers, costs nothing, or is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper

from accel_models.errors import InputError
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Kind, Value
from accel_models.workloads.onnx_file import functions
from accel_models.workloads.onnx_file.array_nodes import ARRAY_RULES
from accel_models.workloads.onnx_file.contents import (
    MAKES_SHAPES,
    WHOLE,
    Made,
    computed,
    held_in,
    results_of,
    small,
    type_and_shape,
)
from accel_models.workloads.onnx_file.elementwise import ELEMENT_RULES
from accel_models.workloads.onnx_file.naming import paths_of
from accel_models.workloads.onnx_file.node import OnnxNode, OnnxTensor
from accel_models.workloads.onnx_file.norms import written_out_norm
from accel_models.workloads.onnx_file.ordering import in_order, read_as_weights, read_by_quantisers
from accel_models.workloads.onnx_file.recurrent import RECURRENT_RULES
from accel_models.workloads.onnx_file.vector_nodes import VECTOR_RULES
from accel_models.workloads.onnx_file.views import VIEW_RULES
from accel_models.workloads.onnx_file.widths import BITS_OF, bits_after, state_widths

Rule = Callable[[Steps, OnnxNode], Any]
RULES: dict[str, Rule] = {
    **VIEW_RULES,
    **ELEMENT_RULES,
    **VECTOR_RULES,
    **ARRAY_RULES,
    **RECURRENT_RULES,
}
"""What each operator comes to, by its name. A rule gives the value of its result, or a list of
several; None if it knows no price."""
INDEX_GOES_ON = {"Gather", *ARRAY_RULES}
"""Operators whose rule is asked on whole numbers, too."""
WITHOUT_DOMAIN = (
    "",
    "ai.onnx",
    "onnx.brevitas",
    "qonnx.custom_op.general",
    "finn.custom_op.general",
)
KEEPS_SHAPE = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant")


class OnnxReader(Steps):
    """Reads one file.

    Args:
        opsets: versions by domain.
        folder: that data outside the file lies in.
    """

    def __init__(self, opsets: Mapping[str, int], folder: str) -> None:
        super().__init__()
        self.opsets, self.folder = opsets, folder
        self.tensors: dict[str, OnnxTensor] = {}
        self.makers: dict[str, OnnxNode] = {}
        """The node that made each tensor."""
        self.clips_to_round: set[str] = set()
        """Results that quantisers alone read: clipping them is part of rounding."""
        self.stated: dict[str, Made] = {}
        """What the file says of tensors, where it does."""

    def read_model(self, model: ModelProto, inputs: Mapping[str, tuple[int, ...]]) -> None:
        """Read a model whose inputs have these shapes.

        Raises:
            InputError: if its graph cannot be followed.
        """
        graph = model.graph
        for info in (*graph.value_info, *graph.output):
            self.stated[info.name] = type_and_shape(info.type)
        as_weights = read_as_weights(graph, inputs)
        for given in graph.input:
            if given.name in inputs:
                element = given.type.tensor_type.elem_type
                shape = inputs[given.name]
                kind = "constant" if given.name in as_weights else _kind(element, shape)
                self._keep(OnnxTensor(given.name, element, Value(shape, kind, weight=given.name)))
        if as_weights:
            self.said.append(f"inputs are taken for weights: {', '.join(sorted(as_weights))}")
        self._read(graph)
        for result in graph.output:
            made = self._found(result.name, "the graph")
            self.kept.update(made.value.makers)

    def _read(self, graph: GraphProto) -> None:
        for stored in graph.initializer:
            shape = tuple(stored.dims)
            if min(shape, default=1) < 0:
                raise InputError(f"its weights '{stored.name}' have the shape {shape}")
            value = Value(shape, "constant", weight=stored.name)
            held = held_in(stored, self.folder)
            self._keep(OnnxTensor(stored.name, stored.data_type, value, held))
        for sparse in graph.sparse_initializer:
            value = Value(tuple(sparse.dims), "constant", weight=sparse.values.name)
            self._keep(OnnxTensor(sparse.values.name, sparse.values.data_type, value))
        nodes = in_order(graph, self.tensors)
        self.clips_to_round = read_by_quantisers(nodes)
        for proto, path in zip(nodes, paths_of(nodes), strict=True):
            self._take(proto, path)

    def _keep(self, tensor: OnnxTensor) -> None:
        if tensor.name:
            self.tensors[tensor.name] = tensor

    def _found(self, name: str, reader: str) -> OnnxTensor:
        try:
            return self.tensors[name]
        except KeyError:
            raise InputError(f"{reader} reads '{name}', which nothing makes") from None

    def _take(self, proto: NodeProto, path: str) -> None:
        given = [self._found(name, f"'{path}'") if name else None for name in proto.input]
        attributes = {one.name: _attribute(one) for one in proto.attribute}
        known = all(one is None or one.held is not None for one in given)
        if proto.op_type == "If" and given and given[0] is not None and given[0].held is not None:
            return self._branch(proto, attributes, bool(given[0].held.any()))
        made = self._made(proto, path, given)
        domain = "" if proto.domain in WITHOUT_DOMAIN else f"{proto.domain}."
        node = OnnxNode(
            domain + proto.op_type,
            path,
            attributes,
            given,
            list(proto.output),
            [shape or () for _, shape in made],
            self.opsets[""],
            any(one.type in GRAPHS for one in proto.attribute),
        )
        held = None
        if proto.op_type in ("Shape", "Size") and given[0] is not None:
            held = [_sizes_held(proto.op_type, given[0].shape, attributes)]
        elif known and not node.graphs:
            held = computed(
                proto,
                made,
                [one.held for one in given if one is not None and one.held is not None],
                self.opsets,
            )
        self._note(proto, node, made, held)

    def _branch(self, proto: NodeProto, attributes: dict[str, Any], taken: bool) -> None:
        branch = attributes["then_branch" if taken else "else_branch"]
        self._read(branch)
        for name, inner in zip(proto.output, branch.output, strict=True):
            self._keep(replace(self._found(inner.name, "a branch"), name=name))

    def _made(self, proto: NodeProto, path: str, given: list[OnnxTensor | None]) -> list[Made]:
        """Types and shapes of a node's results, as they follow from its operands or, failing that,
        as the file states them."""
        try:
            made = results_of(proto, given, self.opsets)
        except Exception as error:  # what is written in C++ raises classes of its own
            said = " ".join(str(error).split())[:160]
            raise InputError(f"'{path}' ({proto.op_type}) makes no sense: {said}") from error
        first = next((one for one in given if one is not None), None)
        found: list[Made] = []
        for name, one in zip(proto.output, made or [(0, None)] * len(proto.output), strict=True):
            if one[1] is None and name in self.stated:
                element, shape = self.stated[name]
                one = (one[0] or element, shape)
            if one[1] is None and made is None and first is not None:
                if proto.op_type not in KEEPS_SHAPE:
                    self.said.append(
                        f"'{path}' ({proto.op_type}) is taken to keep its input's shape"
                    )
                one = (one[0] or first.element, first.shape)
            if one[1] is None and not found and proto.op_type not in MAKES_SHAPES:
                raise _of_unknown_size(path, proto)
            found.append(one)
        return found

    def _note(
        self, proto: NodeProto, node: OnnxNode, made: list[Made], held: list[Any] | None
    ) -> None:
        """Keep the results of a node, priced where they are activations."""
        kind = _kind_of(node, held)
        values: list[Value]
        if kind == "data" or (kind == "index" and node.name in INDEX_GOES_ON):
            values = self._priced(proto, node)
        else:
            if kind == "index" and node.name not in VIEW_RULES:
                self.index_work[node.name] += 1
            values = [Value(shape, kind) for shape in node.shapes]
        bits = bits_after(node, made[0][0]) if made else None
        for at, (name, value) in enumerate(zip(node.outputs, values, strict=True)):
            content = held[at] if held is not None and at < len(held) else None
            content = None if content is None else np.asarray(content)
            if content is not None and made[at][1] is None:
                value = Value(content.shape, "constant")
            elif made[at][1] is None and at == 0:
                raise _of_unknown_size(node.path, proto)
            elif made[at][1] is None:
                continue  # a result beside the first that has no known size
            if content is not None and not small(made[at][0], content.shape):
                content = None
            self._keep(OnnxTensor(name, made[at][0], value, content, bits))
            self.makers[name] = node

    def _priced(self, proto: NodeProto, node: OnnxNode) -> list[Value]:
        """What an operator makes of activations."""
        before = len(self.steps)
        found = self._composed(proto, node)
        for number in range(before, len(self.steps)):
            layer = self.steps[number].layer
            if layer is not None and layer.on_array:
                widths = state_widths(self, node, layer)
                self.steps[number].layer = replace(layer, widths=widths)
        listed = found if isinstance(found, list) else [found]
        rest = [Value(shape, "index") for shape in node.shapes[len(listed) :]]
        return [*listed, *rest]

    def _composed(self, proto: NodeProto, node: OnnxNode) -> Any:
        if node.name == "Clip" and node.outputs[0] in self.clips_to_round:
            return node.value(0)
        formula = None
        if node.name in functions.BY_ELEMENT:
            formula = functions.formula_of(proto, node, self.opsets)
        word = functions.named(formula) if formula and functions.composed(list(node.values)) else ""
        if formula and word:
            return self.elementwise(node, word, word, formula.of)
        found: Any = written_out_norm(self, node, self.makers)
        if found is None:
            found = self._by_rule(node)
        if found is None:
            number = self.unpriced(node, node.name, node.values)
            several = [Value(shape, "data", (number,)) for shape in node.shapes]
            found = several if len(several) != 1 else several[0]
        if formula and isinstance(found, Value):
            return replace(found, formula=formula)
        return found

    def _by_rule(self, node: OnnxNode) -> Any:
        """What the operator's rule makes of it; None if there is none, or it is used in a way that
        the rule does not know."""
        rule = RULES.get(node.name)
        try:
            return rule(self, node) if rule else None
        except InputError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return None


GRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def _of_unknown_size(path: str, proto: NodeProto) -> InputError:
    return InputError(
        f"'{path}' ({proto.op_type}) makes a tensor whose size is not known before the network "
        "runs: state its shape in the file's value_info, or cut the graph before it"
    )


def _attribute(given: AttributeProto) -> Any:
    found = helper.get_attribute_value(given)
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def _kind(element: int, shape: tuple[int, ...]) -> Kind:
    """Kind of a graph's input: whole numbers are places and masks, but for quantised maps."""
    if element not in WHOLE or (element in BITS_OF and len(shape) > 2):
        return "data"
    return "index"


def _kind_of(node: OnnxNode, held: Iterable[Any] | None) -> Kind:
    kinds = {value.kind for value in node.values}
    if held is not None or node.name in ("Shape", "Size"):
        return "constant"
    return "data" if "data" in kinds else "index" if "index" in kinds else "constant"


def _sizes_held(operator: str, shape: tuple[int, ...], attributes: Mapping[str, Any]) -> np.ndarray:
    if operator == "Size":
        return np.array(int(np.prod(shape, dtype=np.int64)), np.int64)
    part = shape[attributes.get("start", 0) : attributes.get("end")]
    return np.array(part, np.int64)


__all__ = ["OnnxReader"]
