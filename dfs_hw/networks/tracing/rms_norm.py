"""Normalisation by the root of the mean square, found where a model writes it out in steps."""

from __future__ import annotations

from torch import fx

CASTS = ("to", "_to_copy", "float", "type_as")


def normed_operand(product: fx.Node) -> int | None:
    """Which operand of a product is divided by the root of the mean square of its rows: 0 or 1;
    None if the product is another one.

    Known is ``x * rsqrt(mean(x ** 2, -1, keepdim=True) + eps)``, as Zhang and Sennrich (Root Mean
    Square Layer Normalization, NeurIPS 2019, equation 4) have it.
    """
    for at in (0, 1):
        if len(product.args) < 2 or not isinstance(product.args[1 - at], fx.Node):
            continue
        squares = _squares(product.args[1 - at])
        if squares is not None and squares is _uncast(product.args[at]):
            return at
    return None


def _squares(scale: object) -> fx.Node | None:
    """The tensor of whose rows a node is the reciprocal root of the mean square."""
    node = _uncast(scale)
    for name in ("rsqrt", "add", "mean"):
        if node is None or _name(node) != name:
            return None
        if name == "mean" and node.args[1:3] not in (([-1], True), ((-1,), True)):
            return None
        node = _uncast(node.args[0])
    if node is None or _name(node) not in ("pow", "square", "mul"):
        return None
    first = _uncast(node.args[0])
    if _name(node) == "pow" and node.args[1] != 2:
        return None
    if _name(node) == "mul" and first is not _uncast(node.args[1]):
        return None
    return first


def _uncast(node: object) -> fx.Node | None:
    """The node before changes of type."""
    while isinstance(node, fx.Node) and _name(node) in CASTS:
        node = node.args[0]
    return node if isinstance(node, fx.Node) else None


def _name(node: fx.Node) -> str:
    schema = getattr(node.target, "_schema", None)
    return schema.name.split("::")[-1] if schema else ""


__all__ = ["normed_operand"]
