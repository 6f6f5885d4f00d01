"""What a layer is, in words: its operator and its sizes."""

from __future__ import annotations

import math

from accel_models.workloads.layer import Layer
from accel_models.workloads.operators import CONVOLUTION, MATMUL, TRANSPOSED


def shape(layer: Layer) -> str:
    """Operator and sizes of a layer, and the function that follows it."""
    follows = f", then {layer.activation}" if layer.activation else ""
    if layer.operator == MATMUL:
        return _product(layer) + follows
    if layer.operator in (CONVOLUTION, TRANSPOSED):
        return _convolution(layer) + follows
    return _of_vector_unit(layer)


def _product(layer: Layer) -> str:
    rows, heads = math.prod(layer.out_size), layer.groups
    inner, outer = layer.in_channels // heads, layer.out_channels // heads
    sizes = f"{rows} x {inner} by {inner} x {outer}"
    return "product of activations, " + (f"{heads} heads of {sizes}" if heads > 1 else sizes)


def _convolution(layer: Layer) -> str:
    if {*layer.kernel, *layer.out_size} == {1} and layer.operator == CONVOLUTION:
        linear = f"linear layer of {layer.in_channels} inputs and {layer.out_channels} outputs"
        return linear + _groups(layer)
    kind = "transposed convolution" if layer.operator == TRANSPOSED else "convolution"
    depth = "3-d " if len(layer.kernel) > 2 else ""
    text = f"{_by(layer.kernel)} {depth}{kind} of {layer.in_channels} into {layer.out_channels} "
    return text + f"channels, {_by(layer.out_size)} outputs{_steps(layer)}{_groups(layer)}"


def _of_vector_unit(layer: Layer) -> str:
    if layer.operator == "embedding":
        looked_up = math.prod(layer.out_size)
        return f"embedding, {looked_up} of {layer.in_channels} rows of {layer.out_channels}"
    windowed = max(*layer.kernel, *layer.stride) > 1
    text = f"{layer.operator} {_by(layer.kernel)}" if windowed else layer.operator
    text += f", {layer.in_channels} channels, {_by(layer.out_size)} outputs{_steps(layer)}"
    return text + (f", rows of {layer.row}" if layer.row else "")


def _steps(layer: Layer) -> str:
    text = f", stride {_by(layer.stride)}" if max(layer.stride) > 1 else ""
    return text + (f", dilation {_by(layer.dilation)}" if max(layer.dilation) > 1 else "")


def _groups(layer: Layer) -> str:
    return f", {layer.groups} groups" if layer.groups > 1 else ""


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
