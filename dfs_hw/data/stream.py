"""Training batches without state: any step can be had at any time, on any number of processes.

A run that is resumed at a step, or spread over processes, sees the batches it would have seen.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.data.dataset import Dataset


def generator_for(seed_words: str, *numbers: int) -> torch.Generator:
    """A generator on the CPU that depends on nothing but its arguments.

    Args:
        seed_words: what is drawn, and for which run: ``0/weights/noise``.
        numbers: which of many, such as a step.
    """
    words = "/".join([seed_words, *map(str, numbers)])
    return torch.Generator().manual_seed(zlib.crc32(words.encode()))


class TrainingStream:
    """Augmented batches of a data set in random order, numbered by step from 0.

    A pass visits every image at most once: an incomplete last batch is left out.

    Args:
        dataset: on the network's device.
        batch: images a step, over all processes together; all of them if there are fewer.
        seed_words: drive order and augmentation.
        with_replacement: draw every step from all images, as the released code of DFS does
            (Shen et al., 2020). Images of one batch still differ.

    Raises:
        InputError: if there are no images, or the batch has none.
    """

    def __init__(
        self, dataset: Dataset, batch: int, seed_words: str, *, with_replacement: bool = False
    ) -> None:
        if batch < 1:
            raise InputError(f"a batch needs at least 1 image, got {batch}")
        if not len(dataset):
            raise InputError(f"the data set '{dataset.name}' holds no image to train on")
        self.dataset = dataset
        self.batch_size = min(batch, len(dataset))
        self.seed_words = seed_words
        self.with_replacement = with_replacement
        self._order: tuple[int, Tensor] | None = None
        """Number and order of the pass last asked for, kept for speed alone."""

    @property
    def steps_per_pass(self) -> int:
        return len(self.dataset) // self.batch_size

    def batch(self, step: int, share: tuple[int, int] = (0, 1)) -> tuple[Tensor, Tensor]:
        """The batch of a step, or one process's part of it; waits for no device.

        Args:
            step: from 0.
            share: rank of the process and how many there are. Their parts, one after another in
                the order of ranks, are the batch that one process alone would see.

        Returns:
            Normalised images float32 [n, C, H, W] and labels int64 [n].

        Raises:
            InputError: if the batch cannot be shared evenly, or there is no such step or rank.
        """
        if step < 0:
            raise InputError(f"steps are numbered from 0, got {step}")
        mine = self._rows(share)
        data, augmentation = self.dataset, self.dataset.augmentation
        generator = generator_for(f"{self.seed_words}/augmentation", step)
        draws = augmentation.draw(self.batch_size, generator)[mine]
        pixels, labels = data.gather(self._images(step)[mine])
        return data.normalized(augmentation.apply(pixels, draws)), labels

    def _images(self, step: int) -> Tensor:
        """Which images the step takes, int64 [batch]."""
        steps = 1 if self.with_replacement else self.steps_per_pass
        number, place = divmod(step, steps)
        if self._order is None or self._order[0] != number:
            generator = generator_for(f"{self.seed_words}/order", number)
            self._order = number, torch.randperm(len(self.dataset), generator=generator)
        return self._order[1][place * self.batch_size :][: self.batch_size]

    def _rows(self, share: tuple[int, int]) -> slice:
        rank, world = share
        if not 0 <= rank < world:
            raise InputError(f"of {world} processes none has the rank {rank}")
        if self.batch_size % world:
            # averaging the gradients of uneven parts would weigh images differently
            raise InputError(
                f"a batch of {self.batch_size} images cannot be shared evenly by {world} "
                f"processes: choose a multiple of {world}"
            )
        each = self.batch_size // world
        return slice(rank * each, (rank + 1) * each)
