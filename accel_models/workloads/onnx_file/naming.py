"""Names of nodes as paths of modules."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto


def paths_of(nodes: Sequence[NodeProto]) -> list[str]:
    """A path for each node.

    PyTorch's exporter calls a node ``/layer1/layer1.0/conv1/Conv``, which is an operator of the
    module ``layer1.0.conv1``. Other names stand as they are; a node without one is called after its
    first result.
    """
    return [_path(node) for node in nodes]


def _path(node: NodeProto) -> str:
    name = node.name or next((one for one in node.output if one), node.op_type)
    if not name.startswith("/"):
        return name
    found: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if found and part.startswith(f"{found[-1]}."):
            found.pop()
        found.append(part)
    return ".".join(found)


__all__ = ["paths_of"]
