"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from accel_models.errors import InputError, reason_of

MOST_BYTES = 2**24
"""Size up to which files are read that are written by hand, or hold what a run found: what comes
of them takes some 30 times as much memory."""
CACHE = "DFS_HW_CACHE"
"""Environment variable that names the folder for what can be computed again."""
NOT_UTF8 = "under a name that is not UTF-8"
_PART = 2**24
"""Bytes that are read at a time."""
_PARTIAL = re.compile(r"([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}\.partial")
"""End of a partial file's name: whose process numbers, which process, and what nobody guesses."""
_FORGOTTEN_S = 7 * 86400
"""Seconds after which nobody elsewhere writes to a partial file any more that has not changed."""
_MADE: ContextVar[list[Path] | None] = ContextVar("_MADE", default=None)
"""Where folders that are made are noted."""


def readable(path: str | Path) -> Path:
    """A path that can be opened without waiting for ever: nothing is there, or a regular file.

    Raises:
        InputError: if it is a folder, a pipe or a device, or its name is not UTF-8.
    """
    if kind := _not_a_file(path):
        raise InputError(f"cannot read {path}: it is {kind}")
    return Path(path)


def read_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """Read a file of moderate size.

    Raises:
        InputError: if it is missing, no regular file, or has over `most` bytes.
    """
    too_large = f"{path} is too large: it may have {most} bytes"
    try:
        with open(readable(path), "rb") as file:
            if os.fstat(file.fileno()).st_size > most:  # before there is memory for it
                raise InputError(too_large)
            content = _up_to(file, most + 1)  # of some files the system states no size
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error
    if len(content) > most:
        raise InputError(too_large)
    return content


def _up_to(file: BinaryIO, most: int) -> bytes:
    """The beginning of a file, without room for more than there is."""
    parts: list[bytes] = []
    while most and (part := file.read(min(most, _PART))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


@contextmanager
def whole_file(path: str | Path, mode: int = 0o666) -> Iterator[Path]:
    """A partial file to write to, renamed to `path` at the end or removed on any failure; what
    killed runs left of the same file is removed, too.

    Args:
        mode: permissions, less what the process's mask takes away.

    Raises:
        InputError: if the place cannot be written to, or the disk is full.
    """
    path = replaceable(path)
    own = f"{process_numbers()}-{os.getpid()}-{token_hex(4)}"
    partial = path.with_name(f".{path.name}.{own}.partial")
    try:
        _make(path.parent)
        remove_left_by_killed(path)
        # Exclusively: a link that somebody put there is not followed.
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {reason_of(error)}") from error
    finally:
        with suppress(OSError):  # the folder itself may be what is wrong
            partial.unlink(missing_ok=True)


def remove_left_by_killed(path: Path) -> None:
    """Remove partial files of a file whose processes are no more: those of this host, and others'
    when they are forgotten."""
    start = f".{path.name}."
    with suppress(OSError):  # a folder that cannot be listed
        for name in os.listdir(path.parent):
            if name.startswith(start) and (end := _PARTIAL.fullmatch(name, len(start))):
                _remove_if_left(path.with_name(name), end[1], int(end[2]))


def _remove_if_left(partial: Path, numbers: str, pid: int) -> None:
    with suppress(OSError):  # another has removed it
        here = numbers == process_numbers()
        age_s = time.time() - os.lstat(partial).st_mtime
        if not is_running(pid) if here else age_s > _FORGOTTEN_S:
            partial.unlink()


@cache
def process_numbers() -> str:
    """Digest of where a number tells one process: this host and, on Linux, this container."""
    where = socket.gethostname()
    with suppress(OSError):
        where += os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(where.encode()).hexdigest()[:8]


def replaceable(path: str | Path) -> Path:
    """A path that a file can be renamed to without harm: nothing is there, or a regular file.

    Raises:
        InputError: if it is a folder or a device, which a rename would put a file in place of.
    """
    if kind := _not_a_file(path):
        raise InputError(f"cannot write {path}: it is {kind}")
    return Path(path)


def ending_in(path: str | Path, ending: str, what: str) -> Path:
    """A path whose name says what is written there.

    Raises:
        InputError: if it ends in something else.
    """
    if Path(path).suffix.lower() != ending:
        raise InputError(f"cannot write {path}: {what} are a file that ends in {ending}")
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
    if not is_utf8(path):
        raise InputError(f"cannot write to the folder {path}: it is {NOT_UTF8}")
    try:
        _make(path)
    except (FileExistsError, NotADirectoryError) as error:
        file = next((at for at in (path, *path.parents) if at.exists()), path)
        raise InputError(f"cannot write to the folder {path}: {file} is a file") from error
    except OSError as error:
        raise InputError(f"cannot write to the folder {path}: {reason_of(error)}") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"cannot write to the folder {path}: permission denied")
    return path


@contextmanager
def made_folders() -> Iterator[list[Path]]:
    """List of the folders that are made inside, the outer ones first."""
    made: list[Path] = []
    outside = _MADE.get()
    before = _MADE.set(made)
    try:
        yield made
    finally:
        _MADE.reset(before)
        if outside is not None:
            outside.extend(made)


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove those of some folders that are empty, or are when the later ones are gone."""
    for folder in reversed(folders):
        with suppress(OSError):  # it holds something, or is gone
            folder.rmdir()


def _make(folder: Path) -> None:
    """Create a folder and those above it, and note which were not there."""
    made = _MADE.get()
    if made is not None:
        places = (folder, *folder.parents)
        made.extend(reversed([place for place in places if not os.path.exists(place)]))
    folder.mkdir(parents=True, exist_ok=True)


def is_running(pid: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        if sys.platform == "win32":  # where `os.kill` would press its Ctrl-C
            import psutil

            return bool(psutil.pid_exists(pid))
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def is_utf8(path: str | Path) -> bool:
    """Whether libraries that write names as UTF-8 can open a path, as Arrow's and PyTorch's do."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_a_file(path: str | Path) -> str:
    """What lies at a path and is no regular file; nothing if it is one, or is not there."""
    if not is_utf8(path):
        return NOT_UTF8
    # These, unlike `Path.exists`, leave names that are too long to whoever opens the file.
    if not os.path.exists(path) or os.path.isfile(path):
        return ""
    return "a folder" if os.path.isdir(path) else "no regular file"


def user_cache() -> Path:
    """The folder for what can be computed again: ``DFS_HW_CACHE``, or one in the user's cache.

    Raises:
        InputError: if neither is set and the user has no home.
    """
    if named := os.environ.get(CACHE):
        return Path(named)
    try:
        return home_cache()
    except RuntimeError as error:
        raise InputError(
            f"there is no folder for what is kept between runs ({reason_of(error)}): name one in "
            f"the environment variable {CACHE}"
        ) from error


def home_cache() -> Path:
    """The folder in the user's cache.

    Raises:
        RuntimeError: if the user has no home.
    """
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not shared.is_absolute():  # the XDG specification has such ones ignored
        shared = Path.home() / ".cache"
    return shared / "dfs-hw"
