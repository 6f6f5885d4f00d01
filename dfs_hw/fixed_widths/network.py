"""A model whose layers compute at widths given by name, for every input alike."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from accel_models.errors import DfsHwError, InputError, reason_of
from accel_models.precision import FULL, Precision
from accel_models.workloads.layer import Layer
from accel_models.workloads.widths import WidthPolicy, WidthRules
from accel_models.workloads.workload import Workload
from dfs_hw.fixed_widths.products import Multiplication, ProductCall, Products, Work
from dfs_hw.fixed_widths.rounding import (
    Operand,
    RoundedProduct,
    computes_as_is,
    operand_bits,
)
from dfs_hw.fixed_widths.seen import SeenProduct, layers_of_products, seen_in_run
from dfs_hw.modes import kept_modes
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.tracing.capture import arguments_of, unwrapped
from dfs_hw.networks.tracing.model_workload import read_model
from dfs_hw.quantize.layers import IMAGE_BITS
from dfs_hw.quantize.quantizers import Family, family

CALIBRATION_BATCHES = 8
"""Batches that ranges are taken from, if there are as many."""


class FixedWidths(nn.Module):
    """A model that rounds both operands of its products to the widths of `workload`.

    It is called as the model is, trains by gradient descent like any other module, and computes
    exactly what the model does where nothing is rounded. Ranges of activations stay as they were
    calibrated. `at_widths` makes one.

    Args:
        model: a copy of the user's.
        workload: its layers, all of them with widths.
        calls: products that each module computes in a run, by its path.
        layers: names of the layers that each product computes.
        rounded: how the products of each rounded layer are, by name.
        example: what the model was read with, one input.
    """

    def __init__(
        self,
        model: nn.Module,
        workload: Workload,
        calls: Mapping[str, int],
        layers: Mapping[ProductCall, tuple[str, ...]],
        rounded: Mapping[str, RoundedProduct],
        example: Any,
    ) -> None:
        super().__init__()
        self.model, self.workload, self.example = model, workload, example
        self.calls, self.layers = dict(calls), dict(layers)
        # Names of modules have no dots.
        self.rounded = nn.ModuleDict({_key(name): one for name, one in rounded.items()})
        self.watching = False
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self.rounded:
            return self.model(*args, **kwargs)
        products = Products(self.model, self._computed)
        out = products.run(*args, **kwargs)
        if not self.training:
            self._check(products.calls)
        return out

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the model; ranges stay as they are."""
        super().train(mode)
        self.rounded.eval()
        return self

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Any]) -> None:
        """Take the ranges of activations from some batches, moving from those there are.

        Args:
            batches: pairs of inputs and labels, as a loader gives them; labels are not looked at.
        """
        self.watching = True
        try:
            with kept_modes(self):
                self.eval()
                for batch in batches:
                    run_on(self, batch)
                    for one in self.rounded.values():
                        assert isinstance(one, RoundedProduct)
                        one.settle()
        finally:
            self.watching = False

    def rounded_as(self, layer: str) -> RoundedProduct | None:
        """How the product of a layer is rounded; None if it is not."""
        if _key(layer) not in self.rounded:
            return None
        one = self.rounded[_key(layer)]
        assert isinstance(one, RoundedProduct)
        return one

    def _computed(self, call: ProductCall, product: Multiplication) -> Tensor | None:
        names = self.layers.get(call)
        if names is None or not any(map(self.rounded_as, names)):
            return None
        by_work = dict(zip(product.works, names, strict=True))

        def rounded(work: Work, left: Tensor, right: Tensor) -> Any:
            one = self.rounded_as(by_work[work])
            if one is None:
                return left, right, 1.0
            return one.watch(left, right) if self.watching else one(left, right)

        # Whole numbers are multiplied as float32 at least, also in models of half precision.
        return product.computed(rounded).to(product.operands[0].dtype)

    def _check(self, calls: Mapping[str, int]) -> None:
        """Refuse runs with other products than the model was read with."""
        for path in dict.fromkeys([*self.calls, *calls]):
            now, known = calls.get(path, 0), self.calls.get(path, 0)
            if now != known:
                raise InputError(
                    f"{self.workload.name} changes its graph: '{path}' computed {now} products for "
                    f"this input and {known} for the first batch of calibration, so layers cannot "
                    "be told by name: give widths to models that compute alike for every input"
                )


def at_widths(
    model: nn.Module,
    policy: WidthPolicy | str | int,
    calibration: Iterable[Any],
    *,
    quantizer: str = "normal",
    batches: int = CALIBRATION_BATCHES,
    name: str = "",
) -> FixedWidths:
    """A copy of a model that computes at the widths a policy gives its layers, calibrated.

    Args:
        model: any PyTorch model; it stays as it is.
        policy: bits by name or pattern of `Workload.with_widths`, such as
            ``{"*": 8, "layer3.*": "4/8", "fc": 8}``, **the last match wins**; or the same for all
            layers, such as 8. What nothing matches, or is given ``full``, stays in floating point
            and is charged 16 bits.
        calibration: pairs of inputs and labels, as a loader gives them. Inputs are a tensor, a
            tuple of positional arguments or a dictionary of named ones; labels are not looked at.
        quantizer: family of `dfs_hw.quantize.QUANTIZERS`.
        batches: of the calibration that are looked at, twice: for signs, then for ranges.
        name: what to call the workload; by default, the model's class.

    Raises:
        InputError: if the model does not run, has no weights or decides itself, a pattern names no
            layer, there is nothing to calibrate on, or layers to be rounded cannot be told apart.
    """
    policy = _policy(policy)
    quantizers, shown = family(quantizer), _shown(calibration, batches)
    model = copy.deepcopy(_checked(model)).eval()
    args, kwargs = arguments_of(inputs_of(shown[0]))
    example = _first_of(kwargs or args)
    read = read_model(model, example, name)
    workload = _at_widths(read.workload, policy)
    with _on_a_batch():
        seen = seen_in_run(model, args, kwargs)
    layers = layers_of_products(read, workload, seen)
    rounded = _rounded(model, workload, layers, seen, shown, quantizers)
    calls = {path: len(products) for path, products in seen.items()}
    network = FixedWidths(model, workload, calls, layers, rounded, example)
    network.calibrate(shown)
    return network


def _policy(given: Any) -> WidthPolicy:
    """Widths by name or pattern, of one width those of all layers."""
    if isinstance(given, Mapping | WidthRules):
        return given
    return {"*": Precision.parse(given)}


def _shown(calibration: Any, batches: int) -> list[Any]:
    """The batches that are looked at.

    Raises:
        InputError: if there are none, or they cannot be gone through.
    """
    if batches < 1:
        raise InputError(f"a model is calibrated on at least 1 batch, not {batches}")
    shown = list(itertools.islice(gone_through(calibration), batches))
    if not shown:
        raise InputError("there is no batch to calibrate on: give at least one")
    return shown


def gone_through(batches: Any) -> Iterator[Any]:
    """Batches one by one.

    Raises:
        InputError: if they are no iterable.
    """
    if not isinstance(batches, Iterable):
        raise InputError(
            f"batches are gone through one by one, as those of a loader or a list, not "
            f"{type(batches).__name__}"
        )
    return iter(batches)


def _checked(model: Any) -> nn.Module:
    """The model inside wrappers that only say how it is run.

    Raises:
        InputError: if it is no model, has no weights, or decides about widths itself.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"a model is a torch.nn.Module, not {type(model).__name__}")
    model = unwrapped(model)
    if isinstance(model, DynamicNetwork):
        raise InputError(
            f"{model.name} decides about its widths itself: to hold them fixed, give `evaluate` an "
            "assignment of its choices, or `at_widths` the model that it was made of"
        )
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise InputError(
            f"{type(model).__name__} has no weights, on the device meta: accuracy needs them"
        )
    return model


def _at_widths(workload: Workload, policy: WidthPolicy) -> Workload:
    """The layers at their widths, all that read the image at those that pixels have."""
    settled = workload.with_widths({"*": FULL}).with_widths(policy)
    return replace(settled, layers=tuple(map(_with_pixels, settled.layers)))


def _with_pixels(layer: Layer) -> Layer:
    widths = layer.widths
    if not layer.reads_image or widths is None or widths.activation_bits > FULL.activation_bits:
        return layer
    if widths.full:
        return layer
    return replace(layer, widths=Precision(widths.weight_bits, IMAGE_BITS))


def _rounded(
    model: nn.Module,
    workload: Workload,
    layers: Mapping[ProductCall, tuple[str, ...]],
    seen: Mapping[str, list[SeenProduct]],
    batches: Iterable[Any],
    quantizers: Family,
) -> dict[str, RoundedProduct]:
    """How the products of each layer that is rounded are, by its name.

    Runs the model as it is on all batches, to see which activations are negative anywhere.
    """
    by_name = {layer.name: layer for layer in workload.layers}
    operands: dict[str, list[Operand]] = {}

    def note(call: ProductCall, product: Multiplication) -> Tensor | None:
        names = layers.get(call, ())
        wanted = [name for name in names if name and not computes_as_is(by_name[name].widths)]
        if not wanted:
            return None
        by_work = dict(zip(product.works, names, strict=True))
        depends = seen[call.path][call.number].from_input if len(names) == 1 else (True, True)

        def look(work: Work, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, float]:
            name = by_work[work]
            if name in wanted:
                bits = operand_bits(by_name[name], (depends[0], depends[1]))
                before = operands.get(name)
                operands[name] = [
                    Operand(
                        bits[at],
                        None if depends[at] else one,
                        bool((one < 0).any()) or (before is not None and before[at].signed),
                        one.device,
                    )
                    for at, one in enumerate((left, right))
                ]
            return left, right, 1.0

        return product.computed(look)

    with torch.no_grad():
        for batch in batches:
            args, kwargs = arguments_of(inputs_of(batch))
            with _on_a_batch():
                Products(model, note).run(*args, **kwargs)
    return {name: RoundedProduct(found, quantizers) for name, found in operands.items()}


def run_on(model: nn.Module, batch: Any) -> Any:
    """What a model gives for the inputs of a batch.

    Raises:
        InputError: if it is no pair of inputs and labels, or the model does not run on it.
    """
    args, kwargs = arguments_of(inputs_of(batch))
    with _on_a_batch():
        return model(*args, **kwargs)


@contextmanager
def _on_a_batch() -> Iterator[None]:
    """Say so if a model does not run on a batch.

    Raises:
        InputError: with PyTorch's reason.
    """
    try:
        yield
    except DfsHwError:
        raise
    except (IndexError, RuntimeError, TypeError, ValueError) as error:  # PyTorch's for other shapes
        raise InputError(f"the model does not run on a batch: {reason_of(error)}") from error


def inputs_of(batch: Any) -> Any:
    """What a model is called with, of a pair of inputs and labels.

    Raises:
        InputError: if a batch is no such pair.
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0]
    what = f"{len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__
    raise InputError(f"a batch is a pair of inputs and labels, as a loader gives it, not {what}")


def _first_of(given: Any) -> Any:
    """Arguments with the first input of their batch alone."""
    if isinstance(given, Mapping):
        return {name: _first_of(one) for name, one in given.items()}
    if isinstance(given, tuple):
        return tuple(map(_first_of, given))
    return given[:1] if isinstance(given, Tensor) and given.ndim else given


def _key(name: str) -> str:
    return name.replace(".", "/")


__all__ = ["FixedWidths", "at_widths", "run_on"]
