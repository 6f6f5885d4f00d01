"""Small ONNX files, written node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

Sizes = Sequence[int | str]


def write_onnx(
    path: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, Sizes],
    outputs: Sequence[str],
    weights: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    whole: Sequence[str] = (),
) -> Path:
    """Write a file of float inputs, or of whole numbers for those named in `whole`."""
    ends = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if name in whole else TensorProto.FLOAT, list(sizes)
        )
        for name, sizes in inputs.items()
    ]
    left = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", ends, left, stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("qonnx.custom_op.general", 1)]
    save(helper.make_model(graph, opset_imports=opsets), str(path))
    return path


def floats(*shape: int) -> np.ndarray:
    """Weights of a shape."""
    return np.ones(shape, np.float32)


def node(operator: str, reads: str, makes: str, **attributes: Any) -> Any:
    """A node whose operands and results are named with spaces between, ``-`` for none."""
    names = [name if name != "-" else "" for name in reads.split()]
    return helper.make_node(operator, names, makes.split(), name=f"{makes}_", **attributes)


__all__ = ["floats", "node", "write_onnx"]
