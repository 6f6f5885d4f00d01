"""What follows from sizes alone: shapes of results, and small tensors that are computed of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    defs,
    helper,
    numpy_helper,
    shape_inference,
)
from onnx.reference import ReferenceEvaluator

from accel_models.workloads.onnx_file.node import OnnxTensor

MOST_WHOLE, MOST_OTHERS = 1 << 16, 64
"""Elements of a tensor of whole numbers, and of any other, that is worked out at most: enough for
shapes, indices and scales, not for weights."""
MAKES_SHAPES = ("NonZero", "Compress", "Unique")
"""Operators whose result's size depends on what they are given."""
WHOLE = frozenset(
    (
        *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
        *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
        TensorProto.BOOL,
    )
)
Made = tuple[int, "tuple[int, ...] | None"]
"""Data type and shape of a result; no shape where it cannot be told."""


def small(element: int, shape: Sequence[int]) -> bool:
    """Whether a tensor is worth holding."""
    return math.prod(shape) <= (MOST_WHOLE if element in WHOLE else MOST_OTHERS)


def held_in(tensor: TensorProto, folder: str) -> np.ndarray | None:
    """What a tensor of a file holds, if it is small and there."""
    if not small(tensor.data_type, tensor.dims) or min(tensor.dims, default=1) < 0:
        return None
    try:
        return np.asarray(numpy_helper.to_array(tensor, folder))
    except Exception:  # weights that are not there, or are not what they say, are not needed
        return None


def results_of(
    node: NodeProto, given: Sequence[OnnxTensor | None], opsets: Mapping[str, int]
) -> list[Made] | None:
    """Type and shape of each result of a node; None if ONNX does not know the operator.

    Raises:
        RuntimeError: if operands and attributes do not go together.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        schema = defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except defs.SchemaError:
        return None
    types, contents = {}, {}
    for tensor in given:
        if tensor is None:
            continue
        types[tensor.name] = helper.make_tensor_type_proto(tensor.element, tensor.shape)
        if tensor.held is not None:
            contents[tensor.name] = numpy_helper.from_array(tensor.held, tensor.name)
    found = shape_inference.infer_node_outputs(
        schema,
        node,
        types,
        contents,
        opset_imports=[helper.make_opsetid(*one) for one in opsets.items()],
    )
    return [type_and_shape(found[name]) if name in found else (0, None) for name in node.output]


def type_and_shape(given: TypeProto) -> Made:
    """Data type and shape of what ONNX calls a type."""
    tensor = given.tensor_type
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    sizes = [one.dim_value if one.HasField("dim_value") else -1 for one in tensor.shape.dim]
    return tensor.elem_type, tuple(sizes) if min(sizes, default=0) >= 0 else None


def computed(
    node: NodeProto, made: Sequence[Made], given: Sequence[np.ndarray], opsets: Mapping[str, int]
) -> list[Any] | None:
    """What a node makes of what it is given; None if that is not known, or large."""
    for element, shape in made:
        if shape is None and node.op_type not in MAKES_SHAPES:
            return None
        if shape is not None and not small(element, shape):
            return None
    return evaluated(
        node, dict(zip((one for one in node.input if one), given, strict=False)), opsets
    )


def evaluated(
    node: NodeProto, given: Mapping[str, np.ndarray], opsets: Mapping[str, int]
) -> list[Any] | None:
    """The results of a node, or None if it cannot be run."""
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(_alone(node, opsets)).run(None, dict(given))
        return list(found)
    except Exception:  # whatever it is that cannot be run here is then not known
        return None


def _alone(node: NodeProto, opsets: Mapping[str, int]) -> ModelProto:
    """A model of one node: the evaluator keeps to an opset for models only."""
    reads, makes = (
        [ValueInfoProto(name=name) for name in names if name] for names in (node.input, node.output)
    )
    graph = helper.make_graph([node], node.op_type, reads, makes)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*one) for one in opsets.items()]
    )


__all__ = ["computed", "evaluated", "held_in", "results_of", "small", "type_and_shape"]
