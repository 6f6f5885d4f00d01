"""Where the curves of training go: any object with a method `add` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from accel_models.errors import InputError
from accel_models.files import writable_folder


class Log(Protocol):
    """Takes points of curves, after every epoch of every stage."""

    def add(self, points: Mapping[str, float], step: int) -> None:
        """Add a point to each of several curves, named like ``joint/loss``.

        An error that it raises ends the training, which goes on from its last snapshot when it is
        called again.

        Args:
            step: of the stage, whose name comes first; every stage begins at 0.
        """


class LightningLog:
    """Curves for a logger of Lightning, which knows W&B, MLflow, TensorBoard, CSV files and others.

    Args:
        logger: such as ``WandbLogger(project="mine")`` of ``lightning.pytorch.loggers``.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def add(self, points: Mapping[str, float], step: int) -> None:
        """Add a point to each of several curves, and have the logger write them."""
        self._logger.log_metrics(dict(points), step)
        self._logger.save()


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
