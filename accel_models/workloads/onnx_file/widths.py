"""Widths that a file states: of QONNX's quantisers, of QDQ pairs and of integer tensors."""

from __future__ import annotations

import math
from dataclasses import replace

from onnx import ModelProto, TensorProto

from accel_models.documents import parse_json, typed
from accel_models.errors import InputError
from accel_models.precision import FULL_BITS, MAX_BITS, Precision
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.onnx_file.node import OnnxNode, OnnxTensor
from accel_models.workloads.workload import Layer, Workload

PIXEL_BITS = 8
BITS_OF: dict[int, int] = {
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT16: 16,
    TensorProto.UINT16: 16,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT8E4M3FN: 8,
    TensorProto.FLOAT8E4M3FNUZ: 8,
    TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8,
    **{
        getattr(TensorProto, name): bits
        for name, bits in (("FLOAT4E2M1", 4), ("INT2", 2), ("UINT2", 2))
        if hasattr(TensorProto, name)
    },
}
"""Bits of the types that quantised tensors have."""
QUANTISERS = (
    *("Quant", "IntQuant", "BipolarQuant", "Trunc"),
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
)
KEEP = (
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Expand", "Tile"),
    *("Slice", "Split", "MaxPool", "GlobalMaxPool", "Relu", "Concat", "Gather", "Pad", "Dropout"),
    *("Clip", "DepthToSpace", "SpaceToDepth", "Upsample"),
)
"""Operators whose results have no more different values than their operands."""
WIDTHS_KEY = "dfs_hw.widths"
"""Metadata of a file that notes widths by the names of layers."""
WEIGHT_AT = {"QLinearConv": 3, "QLinearMatMul": 3}


def bits_after(node: OnnxNode, element: int) -> int | None:
    """Width of a node's first result, if it is known.

    Raises:
        InputError: if a quantiser states a width that nothing has.
    """
    operator = node.name.rpartition(".")[2]
    first = node.given(0)
    if operator == "BipolarQuant":
        return 1
    if operator in ("Quant", "IntQuant", "Trunc"):
        return _stated(node, 4 if operator == "Trunc" else 3)
    if operator in QUANTISERS:
        made = element if element in BITS_OF else first.element if first else 0
        return BITS_OF.get(made, first.bits if first else None)
    if operator in KEEP:
        found = {one.bits for one in node.inputs if one is not None and one.value.kind == "data"}
        if first is not None and not found:
            found = {first.bits}
        return found.pop() if len(found) == 1 else None
    return BITS_OF.get(element)


def _stated(node: OnnxNode, at: int) -> int | None:
    held = node.held(at)
    if held is None or held.size < 1:
        return None
    bits = float(held.max())
    if not (math.isfinite(bits) and 0 < bits <= MAX_BITS):
        raise InputError(
            f"'{node.path}' quantises to {bits:g} bits: a width is 1 to {MAX_BITS} bits"
        )
    return math.ceil(bits)


def state_widths(read: Steps, node: OnnxNode, layer: Layer) -> Precision | None:
    """Widths of a layer on the array, None if its operands have none.

    Where one operand has a width and the other does not, the other is charged at 8 bits if it is
    the image and at 16, as what is not quantised is, and this is said.
    """
    value, weight = node.given(0), node.given(WEIGHT_AT.get(node.name, 1))
    if node.name == "Einsum" or value is None or weight is None:
        return None
    if value.value.kind == "constant":
        value, weight = weight, value
    bits = [_bits(weight), _bits(value)]
    if bits == [None, None]:
        return None
    if layer.reads_image and bits[1] is None:
        bits[1] = PIXEL_BITS
    if None in bits:
        missing = "weights" if bits[0] is None else "activations"
        read.said.append(
            f"'{node.path}' states no width of its {missing}, which are charged at {FULL_BITS} bits"
        )
    return Precision(bits[0] or FULL_BITS, bits[1] or FULL_BITS)


def with_noted_widths(workload: Workload, model: ModelProto) -> Workload:
    """The workload at the widths that a file notes beside its graph, by the names of layers, where
    no quantiser states one.

    Raises:
        InputError: if what is noted is no JSON of names and precisions.
    """
    noted = [one.value for one in model.metadata_props if one.key == WIDTHS_KEY]
    if not noted:
        return workload
    try:
        found = typed(dict[str, str], parse_json(noted[-1], "it"), "it")
        widths = {name: Precision.parse(word) for name, word in found.items()}
    except InputError as error:
        raise InputError(
            f"its metadata {WIDTHS_KEY} is no JSON of layers and widths: {error}"
        ) from error
    if not all(one.runs for one in widths.values()):
        raise InputError(f"its metadata {WIDTHS_KEY} has a layer that runs at no width")
    layers = tuple(
        replace(layer, widths=layer.widths or widths.get(layer.name)) for layer in workload.layers
    )
    return replace(workload, layers=layers)


def _bits(tensor: OnnxTensor) -> int | None:
    return tensor.bits if tensor.bits is not None else BITS_OF.get(tensor.element)


__all__ = ["BITS_OF", "KEEP", "QUANTISERS", "bits_after", "state_widths", "with_noted_widths"]
