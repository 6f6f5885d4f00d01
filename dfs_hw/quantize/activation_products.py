"""Products of activations, such as those of attention, on integers of a width set from outside.

A module that multiplies activations does so in its own forward, whatever that is. While it runs at
a width, the functions of `PRODUCTS` that it calls are computed on both operands rounded
to the width of activations; the softmax between the two products of attention stays in floating
point, as the vector unit computes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from accel_models.precision import Precision
from dfs_hw.quantize.layers import Dial
from dfs_hw.quantize.multiplication import APART, CONVOLUTIONS, Multiplication, Work
from dfs_hw.quantize.quantizers import Family

PRODUCTS = {name: apart for name, apart in APART.items() if name not in ("linear", *CONVOLUTIONS)}
"""Functions that multiply activations, by name: all that are known but those of layers."""

Signs = tuple[bool, bool]
"""Whether the left and the right operand of a product can be negative."""


def taken_apart(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Multiplication | None:
    """The product that a call of a function comes to; None if it is none, or that of a layer."""
    apart = PRODUCTS.get(getattr(function, "__name__", ""))
    return apart(*args, **kwargs) if apart else None


def signs_of(product: Multiplication) -> list[Signs]:
    """Signs of the operands of all layers that a product comes to."""
    if product.works == ("product",):
        left, right = map(_signed, product.operands)
        return [(left, right)]
    query, key, value = map(_signed, product.operands)
    return [(query, key), (False, value)]


def _signed(x: Tensor) -> bool:
    return bool((x < 0).any())


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

    def rounded(self, number: int, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Operands of a product as integers, and the scale of the result.

        Args:
            number: of the product.
            left: first operand [N, ...].
            right: second operand [N, ...].
        """
        left_values, left_scale = self.left[number](left, self.dial.index)
        right_values, right_scale = self.right[number](right, self.dial.index)
        return left_values, right_values, left_scale * right_scale


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
        product = taken_apart(func, args, kwargs) if _innermost.mode is self else None
        return func(*args, **kwargs) if product is None else product.computed(self._rounded)

    def _rounded(self, work: Work, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.next += 1
        return self.products.rounded(self.next - 1, left, right)


_innermost = threading.local()


__all__ = ["PRODUCTS", "ProductQuantizers", "Signs", "quantize_products", "signs_of", "taken_apart"]
