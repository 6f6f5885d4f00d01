"""Widths as a list in the order of a network's layers, as HAQ's search prints its policy.

HAQ (Wang et al., CVPR 2019; github.com/mit-han-lab/haq) gives every convolution and linear layer
``[weight bits, activation bits]``, in the order of PyTorch's ``modules()``, and the first one -1
for activations, as "input image is already 8 bit" (``lib/env/linear_quantize_env.py``,
``_build_index`` and ``_keep_first_last_layer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accel_models.errors import InputError, quoted
from accel_models.precision import Precision
from accel_models.workloads.layer import Layer
from accel_models.workloads.widths import WidthRules

IMAGE = -1
"""What stands for the activations of a layer that reads the image."""
PIXEL_BITS = 8
DOWNSAMPLE = ".downsample."
"""Shortcuts of torchvision's ResNets, the ones that HAQ takes: last in their block's ``modules()``,
whenever they run."""


@dataclass(frozen=True)
class WidthsInOrder(WidthRules):
    """Widths of the layers with weights, one after the other; other layers get none.

    Args:
        where: what errors call the list.
        precisions: one for each layer.
    """

    where: str
    precisions: tuple[Precision, ...]

    @classmethod
    def parse(cls, entries: Sequence[Any], where: str) -> WidthsInOrder:
        """Read ``[weight bits, activation bits]`` of each layer.

        Raises:
            InputError: if an entry is anything else, by its number.
        """
        numbered = enumerate(entries, start=1)
        return cls(where, tuple(_of_entry(one, number, where) for number, one in numbered))

    def by_name(self, layers: Sequence[Layer], network: str) -> dict[str, Precision]:
        """Widths by layer name.

        Raises:
            InputError: if there are more layers or fewer, or a shortcut's name does not say where
                in its block it was defined.
        """
        listed = [layer for layer in layers if layer.on_array and layer.weights]
        listed = [layer for layer in listed if not layer.decides]
        if len(listed) != len(self.precisions):
            raise InputError(
                f"{self.where} lists widths of {len(self.precisions)} layers: '{network}' has "
                f"{len(listed)} with weights"
            )
        for layer in listed:
            if layer.role == "shortcut" and DOWNSAMPLE not in layer.name:
                raise InputError(
                    f"{self.where}: which entry is that of shortcut '{layer.name}' of '{network}' "
                    "depends on how the model was defined: give widths by name"
                )
        names = _as_defined([layer.name for layer in listed])
        return dict(zip(names, self.precisions, strict=True))


def _of_entry(entry: Any, number: int, where: str) -> Precision:
    called = f"{where}: entry {number}"
    pair = isinstance(entry, list) and len(entry) == 2
    if not pair or any(type(bits) is not int for bits in entry):
        raise InputError(f"{called} must be [weight bits, activation bits], got {quoted(entry)}")
    weight, activation = entry
    if number == 1 and activation == IMAGE:
        activation = PIXEL_BITS
    if min(weight, activation) < 1:
        raise InputError(f"{called} must be at least 1 bit each, got {quoted(entry)}")
    try:
        return Precision(weight, activation)
    except InputError as error:
        raise InputError(f"{called}: {error}") from error


def _as_defined(names: list[str]) -> list[str]:
    """Names in the order of execution, each shortcut moved behind its block."""
    moved = list(names)
    for name in names:
        block, found, _ = name.partition(DOWNSAMPLE)
        if found:
            moved.remove(name)
            inside = [i for i, other in enumerate(moved) if other.startswith(f"{block}.")]
            moved.insert(inside[-1] + 1 if inside else names.index(name), name)
    return moved


__all__ = ["WidthsInOrder"]
