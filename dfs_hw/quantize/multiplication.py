"""Functions of PyTorch that multiply, taken apart so that rounded operands can stand in.

A product is linear in both operands, so they can be integers whose scale comes in afterwards,
before what is added, as a bias is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Work = Literal["product", "scores", "context"]
Round = Callable[[Work, Tensor, Tensor], "tuple[Tensor, Tensor, Tensor | float]"]
"""Gives what to multiply instead of two operands, and the scale of the result. The operands may be
those of a product, or queries and keys, or chances and values."""


@dataclass(frozen=True)
class Multiplication:
    """A product taken apart, in whatever way the model asked for it."""

    operands: tuple[Tensor, ...]
    """The two of a product; queries, keys and values of an attention."""
    computed: Callable[[Round], Tensor]
    """Computes the whole call with operands as they are rounded."""
    works: tuple[Work, ...] = ("product",)
    """Layers of the array that it comes to, in order."""


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Multiplication:
    """A linear layer."""
    return _two(
        input,
        weight,
        functional.linear,
        lambda out: out if bias is None else out + bias,
        lambda a, b: functional.linear(a, b, bias),
    )


def _convolution(function: Callable[..., Tensor]) -> Callable[..., Multiplication]:
    def apart(
        input: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **named: Any
    ) -> Multiplication:
        def added(out: Tensor) -> Tensor:
            return out if bias is None else out + bias.view(-1, *[1] * (weight.ndim - 2))

        return _two(
            input,
            weight,
            lambda a, b: function(a, b, None, *rest, **named),
            added,
            lambda a, b: function(a, b, bias, *rest, **named),
        )

    return apart


def _matrices(function: Callable[..., Tensor]) -> Callable[..., Multiplication | None]:
    def apart(*given: Tensor, **named: Tensor) -> Multiplication | None:
        if "out" in named:  # which is written to
            return None
        left, right = _in_order(given, named)
        return _two(left, right, function)

    return apart


def _in_order(given: Sequence[Tensor], named: Mapping[str, Tensor]) -> list[Tensor]:
    """Operands of a call, those by name as well: ``input`` is the first of all, and PyTorch's
    names for the others (``mat1``, ``mat2``) are in order."""
    return [*given, *(named[name] for name in sorted(named, key=lambda one: (one != "input", one)))]


def _added(function: Callable[..., Tensor]) -> Callable[..., Multiplication | None]:
    def apart(
        *given: Tensor, beta: float = 1, alpha: float = 1, **named: Tensor
    ) -> Multiplication | None:
        if "out" in named:
            return None
        added, left, right = _in_order(given, named)
        return _two(left, right, function, lambda out: out * alpha + (added * beta if beta else 0))

    return apart


def _einsum(equation: str, *operands: Any) -> Multiplication | None:
    listed = operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    if len(listed) != 2:
        return None
    left, right = listed
    return _two(left, right, lambda a, b: torch.einsum(equation, a, b))


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Multiplication:
    """Attention as PyTorch documents it: two products and a softmax between them."""
    if enable_gqa:
        shared = query.shape[-3] // key.shape[-3]
        key, value = (one.repeat_interleave(shared, -3) for one in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale

    def computed(rounded: Round) -> Tensor:
        left, right, step = rounded("scores", query, key)
        scores = left @ right.transpose(-2, -1) * (step * factor)
        mask = attn_mask
        if is_causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if mask is not None and mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -math.inf)
        elif mask is not None:
            scores = scores + mask
        alone = scores.eq(-math.inf).all(-1, keepdim=True)  # may look at nothing: gets nothing
        chances = scores.softmax(-1).masked_fill(alone, 0.0)
        chances = torch.dropout(chances, dropout_p, dropout_p > 0)
        left, right, step = rounded("context", chances, value)
        return left @ right * step

    return Multiplication((query, key, value), computed, ("scores", "context"))


def _two(
    left: Tensor,
    right: Tensor,
    multiply: Callable[[Tensor, Tensor], Tensor],
    added: Callable[[Tensor], Tensor] = lambda out: out,
    whole: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Multiplication:
    """A product of two tensors.

    Args:
        left: the first.
        right: the second.
        multiply: computes their product.
        added: gives the result of the call, of the product.
        whole: computes both at once, for operands that need no scale.
    """

    def computed(rounded: Round) -> Tensor:
        a, b, step = rounded("product", left, right)
        if whole is not None and isinstance(step, float) and step == 1:
            return whole(a, b)
        return added(multiply(a, b) * step)

    return Multiplication((left, right), computed)


CONVOLUTIONS = {
    name: getattr(functional, name)
    for kind in ("conv", "conv_transpose")
    for name in (f"{kind}1d", f"{kind}2d", f"{kind}3d")
}
APART: dict[str, Callable[..., Multiplication | None]] = {
    **{name: _convolution(function) for name, function in CONVOLUTIONS.items()},
    "linear": linear,
    **dict.fromkeys(("matmul", "__matmul__"), _matrices(torch.matmul)),
    "__rmatmul__": lambda right, left: _two(left, right, torch.matmul),
    **{name: _matrices(getattr(torch, name)) for name in ("mm", "bmm", "mv", "dot")},
    "addmm": _added(torch.mm),
    "baddbmm": _added(torch.bmm),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
}
"""How each function that multiplies is taken apart, by its name."""


__all__ = ["APART", "CONVOLUTIONS", "Multiplication", "Round", "Work", "linear"]
