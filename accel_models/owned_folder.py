"""Folders that one run at a time has to itself, and that know which settings they are of."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from typing import Any

from accel_models.documents import read_json
from accel_models.errors import InputError, listed, reason_of
from accel_models.files import (
    made_folders,
    remove_empty,
    replaceable,
    whole_file,
    writable_folder,
)

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"
SETTINGS = "settings.json"
"""File that says what a folder is of: another run's results would be taken for its own."""
IDENTITY = "identity.json"
"""File that says which search of machines a folder is of; that one goes by other rules on what may
change."""
OF = {SETTINGS: "a run of another command", IDENTITY: "a search of machines"}
"""Whose a folder is that holds such a file."""
CHECKPOINT = ".safetensors"
REMEDY = "choose another folder, or overwrite this one (--overwrite)"


class FolderInUse(InputError):
    """A folder that another process works in."""


@contextmanager
def owned_folder(
    path: str | Path,
    settings: Mapping[str, Any],
    results: Iterable[str],
    *,
    growing: Iterable[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
    overwrite: bool = False,
) -> Iterator[Path]:
    """A folder for one run, or for going on with it, made if it is not there.

    Args:
        settings: all that tells the run from others, as JSON can hold it.
        results: names of the files that it ends with.
        growing: settings that are lists, to which a run may add; one that a folder does not name
            had no entries.
        defaults: settings that runs of an earlier version had not: one that a folder does not name
            was at its default.
        overwrite: take a folder of other settings; results in it go, but for checkpoints, which
            say themselves what they are of.

    Raises:
        FolderInUse: if another run works in it.
        InputError: if it is one of other settings, which are named, or of a search of machines, or
            something else than a file has a result's name; a folder that was made for it is gone
            again.
    """
    with made_folders() as made:
        folder = writable_folder(path)
        unlocked = not os.path.lexists(folder / LOCK)
        lock = lock_folder(folder)
        fresh = not os.path.exists(folder / SETTINGS)
        settled = False
        try:
            fault = departure(folder, settings, growing, defaults)
            _settle(folder, settings, tuple(results), fault, overwrite)
            settled = True
            yield folder
        except BaseException:
            remove_empty(made)  # those inside it
            if fresh and {file.name for file in folder.iterdir()} <= {LOCK, SETTINGS}:
                _remove((folder / LOCK, folder / SETTINGS))
                remove_empty(made)
            elif unlocked and not settled:  # somebody else's folder, to be left as it was
                _remove((folder / LOCK,))
            raise
        finally:
            os.close(lock)


def lock_folder(folder: Path) -> int:
    """Take a folder for this process alone: the lock goes with the process, however that ends.

    Returns:
        A file descriptor that holds the lock until it is closed.

    Raises:
        FolderInUse: if another process has it: names that one.
        InputError: if it cannot be locked.
    """
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"cannot lock the folder {folder}: {reason_of(error)}") from error
    try:
        _lock(handle)
        # Its last holder may have removed it since it was opened: such a one keeps nobody out.
        if not os.path.samestat(os.fstat(handle), os.stat(folder / LOCK)):
            raise BlockingIOError
        os.truncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
    except (BlockingIOError, FileNotFoundError) as error:
        holder = os.read(handle, 20).decode(errors="replace").strip()
        os.close(handle)
        raise FolderInUse(
            f"{folder} is in use by another run (process {holder or 'unknown'})"
        ) from error
    except OSError as error:
        os.close(handle)
        raise InputError(f"cannot lock the folder {folder}: {reason_of(error)}") from error
    return handle


def remove_locked(folder: Path, lock: int) -> None:
    """Remove a folder that this process alone has, as far as that can be done, and let it go.

    Args:
        lock: as `lock_folder` returned it.
    """
    rmtree(folder, ignore_errors=True)
    os.close(lock)
    if sys.platform == "win32":  # where a file that is open stays
        with suppress(OSError):
            (folder / LOCK).unlink()
            folder.rmdir()


def _lock(handle: int) -> None:
    """Lock a file that is open, for as long as it is.

    Raises:
        BlockingIOError: if another process has locked it.
    """
    if sys.platform == "win32":
        os.lseek(handle, 2**30, os.SEEK_SET)  # one byte far behind what others may still read
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_kind(folder: Path, own: str) -> None:
    """Refuse a folder that another kind of run has left.

    Args:
        own: name of the file that says what a folder is of, for this kind of run.

    Raises:
        InputError: naming the file that tells.
    """
    for name in sorted(OF.keys() - {own}):
        if os.path.lexists(folder / name):
            raise InputError(f"{folder} is of {OF[name]}, by its {name}: choose another folder")


def changed_settings(
    kept: Mapping[str, Any],
    wanted: Mapping[str, Any],
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Names and values of the settings that differ; "" if none does.

    Args:
        kept: as they came back from JSON.
        wanted: anything JSON can hold.
        defaults: as `owned_folder` has it; of settings that are tables, tables.
    """
    plain = json.loads(json.dumps(dict(wanted)))
    kept = _with_later(kept, plain, defaults)
    return ", ".join(
        f"{name} was {kept.get(name)}, is {plain.get(name)}"
        for name in sorted(kept.keys() | plain.keys())
        if kept.get(name) != plain.get(name)
    )


def _with_later(
    kept: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings that are kept, and those that came later at their defaults."""
    found = dict(kept)
    for name, default in defaults.items():
        if name not in wanted:
            continue
        if isinstance(default, Mapping):
            if isinstance(kept.get(name), dict) and isinstance(wanted[name], dict):
                found[name] = _with_later(kept[name], wanted[name], default)
        else:
            found.setdefault(name, default)
    return found


def departure(
    folder: Path,
    settings: Mapping[str, Any],
    growing: Iterable[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """What keeps a folder from being one of these settings, said of it; "" if nothing does, as
    where nobody has left any.

    Args:
        growing: as `owned_folder` has it.
        defaults: as `owned_folder` has it.
    """
    kept = _kept(folder / SETTINGS)
    if kept is None:
        return ""
    if not isinstance(kept, dict):
        return f"has a {SETTINGS} that is damaged"
    grown = {
        name: list(settings[name]) for name in growing if _holds(settings[name], kept.get(name, []))
    }
    changed = changed_settings(kept | grown, settings, defaults)
    return f"is of a run with other settings ({changed})" if changed else ""


def _settle(
    folder: Path,
    settings: Mapping[str, Any],
    results: Sequence[str],
    fault: str,
    overwrite: bool,
) -> None:
    """Write down what the folder is of, unless it is of something else, or cannot hold what is to
    come."""
    check_kind(folder, SETTINGS)
    left = [name for name in results if os.path.lexists(folder / name)]
    if left and not os.path.lexists(folder / SETTINGS):
        fault = f"holds {listed(left)}, and not the settings they were made with"
    if fault:
        if not overwrite:
            raise InputError(f"{folder} {fault}: {REMEDY}")
        for name in left:  # beside what is new they would be taken for it
            if not name.endswith(CHECKPOINT):
                _unlink(folder / name)
    for name in results:  # found out now, not when there is something to write
        replaceable(folder / name)
    with whole_file(folder / SETTINGS) as partial:
        partial.write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")


def _unlink(result: Path) -> None:
    try:
        replaceable(result).unlink()
    except OSError as error:
        raise InputError(f"cannot overwrite {result}: {reason_of(error)}") from error


def _holds(entries: Iterable[Any], kept: Any) -> bool:
    """Whether a list has all entries that it had."""
    return isinstance(kept, list) and all(entry in entries for entry in kept)


def _kept(path: Path) -> Any:
    """Settings as they were written down; None if they were not, "" if they cannot be read or are
    no table."""
    if not os.path.lexists(path):
        return None
    try:
        kept = read_json(path)
    except InputError:
        return ""
    return kept if isinstance(kept, dict) else ""


def _remove(files: Iterable[Path]) -> None:
    """Remove what tells of a run that left nothing."""
    for file in files:
        with suppress(OSError):
            file.unlink()
