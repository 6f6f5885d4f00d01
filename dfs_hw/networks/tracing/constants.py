"""What parts of a graph compute that depend on nothing: masks and positions from ranges alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

MOST_NODES, MOST_ELEMENTS = 200, 1 << 24
"""Limits to what is computed to find out whether a mask hides anything."""


def known(node: Any) -> Tensor | None:
    """The tensor that a node makes, if no weight and no input has a part in it; otherwise None."""
    if not isinstance(node, fx.Node):
        return None
    order: dict[fx.Node, None] = {}
    if not _collect(node, order):
        return None
    found: dict[fx.Node, Any] = {}
    try:
        for one in order:
            args, kwargs = fx.map_arg((one.args, one.kwargs), found.__getitem__)
            if "device" in kwargs:
                kwargs = {**kwargs, "device": torch.device("cpu")}
            assert callable(one.target)
            found[one] = one.target(*args, **kwargs)
    except Exception:  # whatever it is that cannot be run here is then not known
        return None
    result = found[node]
    return result if isinstance(result, Tensor) else None


def _collect(node: fx.Node, order: dict[fx.Node, None]) -> bool:
    """Put a node behind all that it needs; False if that is too much or not known."""
    if node in order:
        return True
    shape = getattr(node.meta.get("val"), "shape", ())
    if node.op != "call_function" or len(order) > MOST_NODES or _written(node):
        return False
    if any(not isinstance(size, int) for size in shape) or _product(shape) > MOST_ELEMENTS:
        return False
    if not all(_collect(one, order) for one in node.all_input_nodes):
        return False
    order[node] = None
    return True


def _written(node: fx.Node) -> bool:
    """Whether something writes to what a node made, or to a view of it."""
    for user in node.users:
        schema = getattr(user.target, "_schema", None)
        if schema is None or not user.args or user.args[0] is not node:
            continue
        views = bool(schema.returns) and schema.returns[0].alias_info is not None
        if schema.is_mutable or (views and _written(user)):
            return True
    return False


def _product(shape: Any) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


__all__ = ["known"]
