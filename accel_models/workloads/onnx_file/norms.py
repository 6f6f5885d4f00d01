"""Norms along the last dimension that a file writes out step by step, as exporters before opset 17
do."""

from __future__ import annotations

from collections.abc import Mapping

from accel_models.workloads.graphs.passes import by_row
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Value
from accel_models.workloads.onnx_file.node import OnnxNode, OnnxTensor

Makers = Mapping[str, OnnxNode]


def written_out_norm(read: Steps, node: OnnxNode, makers: Makers) -> Value | None:
    """The norm that ends with a node, or None.

    A tensor over the root of the mean of its squares, or times its inverse, is an ``rms_norm``; of
    one from which its mean was taken, a ``layer_norm`` of the tensor before.
    """
    for upper, lower in ((0, 1), (1, 0)) if node.name == "Mul" else ((0, 1),):
        above, below = node.given(upper), node.given(lower)
        if node.name not in ("Mul", "Div") or above is None or below is None:
            return None
        root = _made(below, makers)
        if node.name == "Mul":
            inverse = root is not None and root.name in ("Reciprocal", "Div")
            root = _made(root.inputs[-1], makers) if root and inverse else None
        if root is None or root.name != "Sqrt" or not _squares(root, above, makers):
            continue
        before = _centred(above, makers)
        value = (before or above).value
        if value.shape != node.shape:
            return None
        return by_row(read, node, value, "layer_norm" if before else "rms_norm", value.shape[-1])
    return None


def _made(tensor: OnnxTensor | None, makers: Makers) -> OnnxNode | None:
    """The node that made a tensor, changes of type left out."""
    found = makers.get(tensor.name) if tensor else None
    while found is not None and found.name in ("Cast", "Identity") and found.inputs[0]:
        found = makers.get(found.inputs[0].name)
    return found


def _squares(root: OnnxNode, of: OnnxTensor, makers: Makers) -> bool:
    """Whether a root is of the mean of a tensor's squares along its last dimension."""
    total = _made(root.given(0), makers)
    if total is not None and total.name == "Add":
        means = [_made(one, makers) for one in total.inputs]
        total = next((one for one in means if one and one.name == "ReduceMean"), None)
    if total is None or not _along_last(total):
        return False
    square = _made(total.given(0), makers)
    if square is None or square.name not in ("Pow", "Mul"):
        return False
    if square.name == "Mul":
        return all(_same(one, of, makers) for one in square.inputs)
    held = square.held(1)
    two = held is not None and held.size == 1 and float(held.ravel()[0]) == 2.0
    return two and _same(square.given(0), of, makers)


def _centred(tensor: OnnxTensor, makers: Makers) -> OnnxTensor | None:
    """The tensor that another one is without its mean, if it is one."""
    less = _made(tensor, makers)
    if less is None or less.name != "Sub":
        return None
    mean = _made(less.given(1), makers)
    centred = mean is not None and _along_last(mean) and _same(mean.given(0), less.given(0), makers)
    return less.given(0) if centred else None


def _along_last(node: OnnxNode) -> bool:
    first = node.given(0)
    if node.name != "ReduceMean" or first is None:
        return False
    held = node.held(1)
    axes = node.attributes.get("axes") if held is None else held.ravel().tolist()
    return axes is not None and [at % len(first.shape) for at in axes] == [len(first.shape) - 1]


def _same(one: OnnxTensor | None, other: OnnxTensor | None, makers: Makers) -> bool:
    """Whether two tensors are one, changes of type left out."""
    if one is None or other is None:
        return False
    if one.name == other.name:
        return True
    made = [_made(tensor, makers) for tensor in (one, other)]
    return made[0] is not None and made[0] is made[1]


__all__ = ["written_out_norm"]
