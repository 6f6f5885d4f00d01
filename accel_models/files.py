"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from accel_models.errors import InputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A partial file to write to, renamed to `path` at the end or removed on any failure.

    Raises:
        InputError: if the place cannot be written to, or the disk is full.
    """
    path = replaceable(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # the folder itself may be what is wrong
            partial.unlink(missing_ok=True)


def replaceable(path: str | Path) -> Path:
    """A path that a file can be renamed to without harm: nothing is there, or a regular file.

    Raises:
        InputError: if it is a folder or a device, which a rename would put a file in place of.
    """
    # These, unlike `Path.exists`, leave names that are too long to whoever opens the file.
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "no regular file"
        raise InputError(f"cannot write {path}: it is {kind}")
    return Path(path)


def same_file(path: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file that is there."""
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def writable_folder(path: str | Path) -> Path:
    """Create a folder, so that long work does not find out at its end that it cannot be kept.

    Raises:
        InputError: if it cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the folder {path}: {error.strerror or error}") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"cannot write to the folder {path}: permission denied")
    return path


def user_cache() -> Path:
    """The folder for what can be computed again: ``DFS_HW_CACHE``, or one in the user's cache.

    Raises:
        RuntimeError: if neither is set and the user has no home.
    """
    own = os.environ.get("DFS_HW_CACHE")
    if own:
        return Path(own)
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not shared.is_absolute():  # the XDG specification has such ones ignored
        shared = Path.home() / ".cache"
    return shared / "dfs-hw"
