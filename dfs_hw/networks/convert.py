"""Layers of a model replaced by those whose precision is set from outside."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from torch import nn

from accel_models.precision import Precision
from dfs_hw.networks.design import Design
from dfs_hw.networks.observed import Survey
from dfs_hw.quantize import QUANTIZER_FAULTS, family
from dfs_hw.quantize.activation_products import ProductQuantizers, quantize_products
from dfs_hw.quantize.layers import Dial, PrecisionNorm, QuantizedConv2d, QuantizedLinear


class Converter:
    """Replaces layers by those that read a dial, as the survey saw them.

    Args:
        model: as it was surveyed.
        seen: the survey of the model.
        design: names the quantisers.
    """

    def __init__(self, model: nn.Module, seen: Survey, design: Design) -> None:
        self.seen = {
            module: seen.modules[path]
            for path, module in model.named_modules()
            if path in seen.modules
        }
        self._products = {model.get_submodule(path): signs for path, signs in seen.products.items()}
        faults = frozenset(design.faults)
        self.quantizers = family(design.quantizer, faults & frozenset(QUANTIZER_FAULTS))
        self.shared_norm = "shared-norm" in faults
        self._replaced: dict[nn.Module, nn.Module] = {}  # some modules have several names

    def convert(
        self,
        module: nn.Module,
        precisions: tuple[Precision, ...],
        dial: Dial | None = None,
        outside: Collection[nn.Module] = (),
    ) -> None:
        """Replace the layers in a module, in place, and have it multiply by quantisers.

        Args:
            module: whose children are replaced, and theirs.
            precisions: what the layers can run at.
            dial: that the layers read; by default each has its own.
            outside: modules in it to leave as they are.
        """
        if signs := self._products.pop(module, None):
            products = ProductQuantizers(signs, precisions, dial or Dial(), self.quantizers)
            quantize_products(module, products)
        for name, child in list(module._modules.items()):
            if child is None or child in outside:
                continue
            _keep_input(child)
            if child not in self._replaced and (new := self._layer(child, precisions, dial)):
                _freeze_alike(child, new)
                self._replaced[child] = _with_activation(child, new)
            if child in self._replaced:
                setattr(module, name, self._replaced[child])
            else:
                self.convert(child, precisions, dial, outside)

    def _layer(
        self, layer: nn.Module, precisions: tuple[Precision, ...], dial: Dial | None
    ) -> nn.Module | None:
        dial = dial or Dial()
        if isinstance(layer, nn.BatchNorm2d):
            return PrecisionNorm(layer, len(precisions), dial, self.shared_norm)
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            return None
        facts = self.seen[layer]
        if isinstance(layer, nn.Conv2d):
            return QuantizedConv2d(
                layer,
                precisions,
                dial,
                self.quantizers,
                signed=facts.signed,
                reads_image=facts.reads_image,
            )
        return QuantizedLinear.converted(
            layer, precisions, dial, self.quantizers, signed=facts.signed
        )


def replace_everywhere(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in place of another, under all names that it has."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new


def computes_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of a kind of layer, or of a class derived from it that computes no
    otherwise."""
    functions = ("forward", "_conv_forward", "__call__", "__getattr__")
    alike = all(getattr(type(module), one, None) is getattr(kind, one, None) for one in functions)
    return isinstance(module, kind) and alike and not hasattr(module, "parametrizations")


def is_norm_and_activation(module: nn.Module) -> bool:
    """Whether a module is timm's batch norm that ends in a dropout and an activation."""
    return type(module).__name__ == "BatchNormAct2d" and isinstance(module, nn.BatchNorm2d)


def _with_activation(old: nn.Module, norm: nn.Module) -> nn.Module:
    """What replaces a layer, and what the layer did afterwards."""
    if not is_norm_and_activation(old):
        return norm
    after = dict(old.named_children())
    for module in old.modules():
        _keep_input(module)
    return nn.Sequential(OrderedDict(norm=norm, **after))


def _keep_input(module: nn.Module) -> None:
    """Keep a module from overwriting its input: that of a block is needed again, by its other
    branches."""
    if hasattr(module, "inplace"):
        setattr(module, "inplace", False)  # noqa: B010 (not all modules have it)


def _freeze_alike(old: nn.Module, new: nn.Module) -> None:
    """Let weights learn if they did before: what was frozen, or not there, stays as it is."""
    for name in ("weight", "bias"):
        before, after = getattr(old, name), getattr(new, name)
        if after is not None:
            after.requires_grad_(before is not None and before.requires_grad)
