"""Curves of training, for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

import torch
from torch import Tensor

from accel_models.errors import InputError
from accel_models.files import writable_folder
from accel_models.precision import Precision


class Log(Protocol):
    """Takes points of curves."""

    def add(self, points: Mapping[str, float], step: int) -> None:
        """Add a point to each of several curves, named like ``joint/loss``."""


class TensorBoardLog:
    """Event files that ``tensorboard --logdir FOLDER`` shows.

    A stage that is resumed adds to the curves it has begun.

    Args:
        folder: of the event files; several runs go into folders side by side.

    Raises:
        InputError: if tensorboard is not installed, or the folder cannot be written to.
    """

    def __init__(self, folder: Path | str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                "logs need the package tensorboard: pip install 'dfs-hw[logs]'"
            ) from error
        self._folder = writable_folder(folder)
        self._writer = SummaryWriter(str(self._folder))

    def add(self, points: Mapping[str, float], step: int) -> None:
        """Add a point to each of several curves, and write it at once.

        Raises:
            InputError: if the folder cannot be written to.
        """
        try:
            for name, value in points.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()
        except OSError as error:
            raise InputError(
                f"cannot write to the folder {self._folder}: {error.strerror or error}"
            ) from error

    def close(self) -> None:
        """Write whatever is still missing."""
        self._writer.close()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def choice_shares(
    choices: Tensor, units: Sequence[str], options: Sequence[Precision]
) -> dict[str, float]:
    """Share of the inputs that make each choice, for each unit: ``block2/skip`` and so on.

    Args:
        choices: int64 [N, units], indices into `options`.
    """
    made = torch.nn.functional.one_hot(choices, len(options)).double().mean(0)
    return {
        f"{unit}/{option}": share
        for unit, shares in zip(units, made.tolist(), strict=True)
        for option, share in zip(options, shares, strict=True)
    }
