"""Products of activations, such as those of attention, on integers of a width set from outside.

A module that multiplies activations does so in its own forward, whatever that is. While it runs at
a width, its calls of `MATRICES` and of scaled dot product attention are computed on both operands
rounded to the width of activations; the softmax between the two products of attention stays in
floating point, as the vector unit computes it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from accel_models.precision import Precision
from dfs_hw.quantize.layers import Dial
from dfs_hw.quantize.quantizers import Family

Signs = tuple[bool, bool]
"""Whether the left and the right operand of a product can be negative."""

MATRICES: tuple[Callable[..., Any], ...] = (
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    torch.bmm,
    Tensor.bmm,
)
"""Functions of two tensors that are products of matrices, batch by batch."""


def signs_of(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Signs] | None:
    """Signs of the operands of the products that a call comes to; None if it is no known one."""
    if function is functional.scaled_dot_product_attention:
        query, key, value = _named(("query", "key", "value"), args, kwargs)
        return [(_signed(query), _signed(key)), (False, _signed(value))]
    if function in MATRICES:
        left, right = (*args, *kwargs.values())
        return [(_signed(left), _signed(right))]
    if function is torch.einsum and len(args) == 3:
        return [(_signed(args[1]), _signed(args[2]))]
    return None


def _signed(x: Tensor) -> bool:
    return bool((x < 0).any())


def _named(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    return [kwargs[name] if name in kwargs else args[at] for at, name in enumerate(names)]


class ProductQuantizers(nn.Module):
    """Quantisers for the operands of a module's products.

    Args:
        signs: of the products, in the order in which the module's forward comes to them.
        precisions: what they can run at.
        dial: shared with the other layers of their unit.
        quantizers: how operands are rounded.
    """

    def __init__(
        self,
        signs: Sequence[Signs],
        precisions: tuple[Precision, ...],
        dial: Dial,
        quantizers: Family,
    ) -> None:
        super().__init__()
        bits = tuple(precision.activation_bits for precision in precisions)
        self.precisions, self.dial = precisions, dial
        self.left = nn.ModuleList(quantizers.activations(bits, left) for left, _ in signs)
        self.right = nn.ModuleList(quantizers.activations(bits, right) for _, right in signs)

    @property
    def full(self) -> bool:
        """Whether nothing is rounded as the dial stands."""
        return self.precisions[self.dial.index].full

    def multiply(
        self, number: int, function: Callable[..., Tensor], left: Tensor, right: Tensor
    ) -> Tensor:
        """``function(left, right)`` on rounded operands.

        Args:
            number: of the product.
            function: linear in either.
            left: such as [N, ..., rows, summed].
            right: such as [N, ..., summed, columns].
        """
        left_values, left_scale = self.left[number](left, self.dial.index)
        right_values, right_scale = self.right[number](right, self.dial.index)
        return function(left_values, right_values) * (left_scale * right_scale)


def quantize_products(module: nn.Module, products: ProductQuantizers) -> None:
    """Have a module compute its products by quantisers, which become a part of it."""
    module.add_module("quantized_products", products)
    module.forward = _QuantizedForward(module.forward, products)


class _QuantizedForward:
    """A module's forward, its products quantised. No closure: a copy of the module has its own."""

    def __init__(self, forward: Callable[..., Any], products: ProductQuantizers) -> None:
        self.forward, self.products = forward, products

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.products.full:
            return self.forward(*args, **kwargs)
        with _Multiplying(self.products):
            return self.forward(*args, **kwargs)


class _Multiplying(TorchFunctionMode):
    """Computes the products of the innermost module that has quantisers for them."""

    def __init__(self, products: ProductQuantizers) -> None:
        super().__init__()
        self.products, self.next = products, 0

    def __enter__(self) -> _Multiplying:
        self.outer, _innermost.mode = getattr(_innermost, "mode", None), self
        super().__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        _innermost.mode = self.outer
        super().__exit__(*about)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if _innermost.mode is self:
            if func is functional.scaled_dot_product_attention:
                return self._attend(*args, **kwargs)
            if func in MATRICES:
                return self._multiply(torch.matmul, *args, *kwargs.values())
            if func is torch.einsum:
                return self._multiply(lambda *both: torch.einsum(args[0], *both), *args[1:])
        return func(*args, **kwargs)

    def _multiply(self, function: Callable[..., Tensor], left: Tensor, right: Tensor) -> Tensor:
        self.next += 1
        return self.products.multiply(self.next - 1, function, left, right)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Attention as its two products and the softmax between, as PyTorch's reference has it."""
        if enable_gqa:
            shared = query.shape[-3] // key.shape[-3]
            key, value = (x.repeat_interleave(shared, -3) for x in (key, value))
        scores = self._multiply(torch.matmul, query, key.mT)
        scores = scores * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(hidden, -math.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        chances = functional.dropout(scores.softmax(-1), dropout_p)
        return self._multiply(torch.matmul, chances, value)


_innermost = threading.local()


__all__ = ["MATRICES", "ProductQuantizers", "Signs", "quantize_products", "signs_of"]
