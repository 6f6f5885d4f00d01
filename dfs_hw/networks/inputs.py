"""What a network is called with: images, or numbers of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from accel_models.errors import InputError

TOKEN_NUMBERS = 2
"""Numbers that random tokens have; any vocabulary has as many."""


def input_size(given: Sequence[int]) -> tuple[int, ...]:
    """Channels, height and width of images, or how many tokens, as they were given.

    Raises:
        InputError: if it is neither.
    """
    if isinstance(given, Tensor):
        raise InputError(
            f"image is the size of one input, such as {tuple(given.shape[1:])}, not a tensor "
            f"{list(given.shape)}"
        )
    size = tuple(given)
    if len(size) not in (1, 3) or any(not isinstance(one, int) or one < 1 for one in size):
        raise InputError(
            "image is channels, height and width, such as (3, 224, 224), or for a model of tokens "
            f"how many there are, such as (128,): got {given!r}"
        )
    return size


def empty_input(size: Sequence[int]) -> Tensor:
    """One input without contents, on the device "meta"."""
    kind = torch.float32 if len(size) == 3 else torch.long
    return torch.empty((1, *size), dtype=kind, device="meta")


def random_inputs(count: int, size: Sequence[int]) -> Tensor:
    """Images of normally distributed pixels [count, C, H, W], or tokens [count, tokens]."""
    if len(size) == 3:
        return torch.randn(count, *size)
    return torch.randint(TOKEN_NUMBERS, (count, *size))


def require_tensor(name: str, given: object) -> None:
    """Refuse what is not the one tensor that a network of this name reads.

    Raises:
        InputError: if it is something else, such as a pair of inputs and labels.
    """
    if not isinstance(given, Tensor):
        raise InputError(
            f"{name} takes one tensor of images or tokens, not {type(given).__name__}: labels, "
            "masks and named inputs are not among what it decides by"
        )


def input_batches(name: str, given: Iterable[Tensor], size: Sequence[int]) -> list[Tensor]:
    """Batches of inputs, to be gone through more than once.

    Args:
        name: of the network that reads them.
        given: tensors [N, C, H, W] of images, or [N, tokens].
        size: of one input, as `input_size` gives it.

    Raises:
        InputError: if there is none, or one has another number of dimensions.
    """
    batches = list(given)
    if not batches:
        raise InputError(f"{name} has no batch to be calibrated on: give at least one, [images]")
    for batch in batches:
        require_tensor(name, batch)
        if batch.ndim != len(size) + 1:
            raise InputError(
                f"{name} is calibrated on batches [N, {', '.join(map(str, size))}], not on "
                f"{list(batch.shape)}: one tensor of images is a list of one batch, [images]"
            )
    return batches


__all__ = ["empty_input", "input_batches", "input_size", "random_inputs", "require_tensor"]
