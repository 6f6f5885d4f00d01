"""Folders of what is finished of a replay, beside the file that it is to become.

Each is one replay's at a time, by a lock that goes with its process, and named after everything
that its parts depend on: what a replay that was killed had finished is found again, and what others
are at is left to them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from accel_models.errors import InputError
from accel_models.files import replaceable, writable_folder
from accel_models.owned_folder import LOCK, lock_folder, remove_locked

DIGITS = 16
"""Length of the digest in a folder's name."""


@contextmanager
def parts_folder(out: str | Path, digest: str) -> Iterator[Path]:
    """A folder for the parts of a file. It goes when that is complete, with those that were left of
    the same file by replays of other things.

    Args:
        digest: of everything that the parts depend on, `DIGITS` long.

    Raises:
        FolderInUse: if another process is at the same replay.
        InputError: if the folder cannot be made or locked.
    """
    target = replaceable(out)
    folder = writable_folder(target.parent / f".{target.name}.{digest}.parts")
    lock = lock_folder(folder)
    try:
        yield folder
    except BaseException:
        if os.listdir(folder) == [LOCK]:  # what is finished stays for the next time
            remove_locked(folder, lock)
        else:
            os.close(lock)
        raise
    remove_locked(folder, lock)
    for other in _left_of(target):
        with suppress(InputError):  # somebody is at it
            remove_locked(other, lock_folder(other))


def _left_of(target: Path) -> list[Path]:
    """Folders of the parts of a file."""
    named = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{{DIGITS}}}\.parts")
    with suppress(OSError), os.scandir(target.parent) as entries:
        return [
            Path(entry)
            for entry in entries
            if named.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    return []
