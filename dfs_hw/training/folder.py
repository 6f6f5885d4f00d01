"""The folder of a training: one run at a time, of one setup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from accel_models.owned_folder import owned_folder
from dfs_hw.distributed import on_first
from dfs_hw.training.config import DEFAULTS
from dfs_hw.training.setup import TrainingSetup

RESULTS = (
    *("network.safetensors", "run.json", "trace.parquet", "report.html"),
    *("compare.json", "compare.csv", "compare.md", "compare.png"),
)
"""Files that trainings end with, those of an experiment and of a comparison among them: gone before
other settings are written beside them."""


@contextmanager
def training_folder(setup: TrainingSetup, path: Path | str, overwrite: bool) -> Iterator[Path]:
    """The folder of a training, for all of its processes; see `owned_folder`.

    Raises:
        InputError: if another run works in it, or it is one of other settings.
    """
    settings = {
        **setup.settings,
        "network and images": setup.fingerprint,
        "costs": setup.prices,
    }
    with ExitStack() as stack:
        on_first(
            lambda: stack.enter_context(
                owned_folder(path, settings, RESULTS, defaults=DEFAULTS, overwrite=overwrite)
            )
        )
        yield Path(path)
