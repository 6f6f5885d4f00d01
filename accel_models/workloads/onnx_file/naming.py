"""Names of nodes as paths of modules."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from onnx import NodeProto

SCOPES = "pkg.torch.onnx.name_scopes"
"""Where PyTorch's exporter of today says which modules a node lies in, and its own name last."""

RULES = "pkg.onnxscript.rewriter.rule_name"
"""Where that exporter says which of its rules made a node."""
NORM_TAKEN_IN = "FuseBatchNormInto"
"""How its rules begin that take a batch norm into the layer before it."""
WEIGHT = ".weight"


def paths_of(nodes: Sequence[NodeProto]) -> list[str]:
    """A path for each node.

    PyTorch's older exporter calls a node ``/layer1/layer1.0/conv1/Conv``, which is an operator of
    the module ``layer1.0.conv1``; that of today says so beside the node. A layer that took in its
    batch norm has the norm's module there, and goes by that of its weight,
    ``layer1.0.conv1.weight``. Other names stand as they are; a node without one is called after its
    first result.
    """
    return [_path(node) for node in nodes]


def _path(node: NodeProto) -> str:
    said = {one.key: one.value for one in node.metadata_props}
    weight = node.input[1] if len(node.input) > 1 else ""
    if NORM_TAKEN_IN in said.get(RULES, "") and weight.endswith(WEIGHT):
        return weight.removesuffix(WEIGHT)
    if scopes := _scopes(said.get(SCOPES, "")):
        return scopes[-2] if len(scopes) > 1 else ""
    name = node.name or next((one for one in node.output if one), node.op_type)
    if not name.startswith("/"):
        return name
    found: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if found and part.startswith(f"{found[-1]}."):
            found.pop()
        found.append(part)
    return ".".join(found)


def _scopes(text: str) -> list[str]:
    """Names in a list as Python writes it; none if it is no such list."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    listed = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return found if listed else []


__all__ = ["paths_of"]
