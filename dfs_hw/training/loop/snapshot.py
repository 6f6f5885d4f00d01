"""A stage of training in one file, to go on from as if it had never stopped.

Tensors are kept as safetensors and everything else as JSON in its header, all of it under
checksums. The file is replaced in one step, so a process killed at any time leaves a whole one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from accel_models.errors import InputError
from accel_models.files import remove_left_by_killed
from dfs_hw.tensor_file import read_tensors, write_tensors

_OLD_KEY = "dfs-hw-snapshot"


@dataclass(frozen=True)
class Snapshot:
    """State of a stage between two steps."""

    parts: dict[str, dict[str, Tensor]]
    """Tensors by part (such as the network) and name."""
    facts: dict[str, Any]
    """Step, history, settings and controller, as plain JSON."""


def snapshot_path(result: Path) -> Path:
    """Where the snapshot of a stage lies while `result` is in the making."""
    return result.with_suffix(".resume.safetensors")


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write or replace a snapshot.

    Raises:
        InputError: if it cannot be written; one that was there before stays.
    """
    tensors = {
        f"{part}/{name}": tensor
        for part, named in snapshot.parts.items()
        for name, tensor in named.items()
    }
    write_tensors(path, "snapshot", tensors, snapshot.facts)


def read_snapshot(path: Path) -> Snapshot | None:
    """The snapshot at `path`, on the CPU; None if there is none.

    Raises:
        InputError: if it is damaged, or no snapshot.
    """
    if not os.path.lexists(path):  # what leads nowhere is no snapshot, and refused
        return None
    try:
        tensors, facts = read_tensors(path, "snapshot", _OLD_KEY)
    except InputError as error:
        raise InputError(
            f"{error}: training should go on from it; delete it to start the stage anew"
        ) from error
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = tensor
    return Snapshot(parts, facts)


def discard_snapshot(path: Path) -> None:
    """Remove a snapshot, if there is one, and what killed processes left unfinished beside it.

    Raises:
        InputError: if it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {path}: {error.strerror or error}") from error
    remove_left_by_killed(path)
