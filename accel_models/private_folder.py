"""Folders that this user alone can put files into, for what is believed when it is found again.

Machine code is unpickled, and a cost table is taken for what the model says: neither may come from
somebody else. A folder is private if it is this user's and nobody else may write to it, and nobody
else can put another one in its place: what lies above it is this user's or root's, and is not
everybody's to write to unless it is sticky, as ``/tmp`` is. On Windows, where all files seem to be
everybody's, lists of access that Python does not read keep a home its user's: folders are taken as
they are.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from pathlib import Path

from accel_models.errors import reason_of
from accel_models.files import CACHE, home_cache

GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH
OWN = 0o700
"""Mode of folders that are made."""


def private_cache() -> Path:
    """The user's cache, ``DFS_HW_CACHE``, or where others could write to that one in the home,
    which a warning says. It need not be there.

    Raises:
        OSError: if there is none.
    """
    named = os.environ.get(CACHE)
    fault = open_to_others(Path(named)) if named else ""
    if named and not fault:
        return Path(named)
    refused = f"the folder {named} that {CACHE} names is not used, since {fault}"
    try:
        home = home_cache()
        _close(home)
        _require_private(home)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        reason = f"there is no cache in the home: {reason_of(error)}"
        raise PermissionError(f"{refused}, and {reason}" if named else reason) from error
    if named:
        warnings.warn(f"{refused}: {home} is used instead", stacklevel=1)  # one place: said once
    return home


def private_folder(path: Path) -> Path:
    """Make a folder, or take one that is there, and from others what the user lets them do in it.

    Returns:
        Its path without symbolic links.

    Raises:
        OSError: if it cannot be made, or is not private.
    """
    path = Path(os.path.realpath(path))
    _close(path)
    _require_private(path)
    for place in reversed((path, *path.parents)):
        try:
            if not place.is_dir():
                place.mkdir(OWN)
        except FileExistsError as error:
            if not place.is_dir():
                raise PermissionError(f"{place} is no folder") from error
        except OSError as error:
            raise PermissionError(f"cannot make {place}: {reason_of(error)}") from error
    _require_private(path)  # in a sticky folder somebody may have been faster
    return path


def _close(path: Path) -> None:
    """Take from others what the user lets them do in a folder of this user's."""
    if path.is_dir() and is_own(path.stat()) and not is_own(path.stat(), GROUP_OR_OTHERS):
        path.chmod(OWN)


def _require_private(path: Path) -> None:
    if fault := open_to_others(path):
        raise PermissionError(fault)


def open_to_others(path: Path) -> str:
    """Why somebody else could put files into a folder, or another one in its place; "" if nobody
    can. One that is not there is one that this user makes."""
    path = Path(os.path.realpath(path))
    if sys.platform == "win32":
        return ""
    for place in (path, *path.parents):
        try:
            found = os.lstat(place)
        except OSError:
            continue
        sticky = found.st_mode & stat.S_ISVTX
        if place == path and not is_own(found):
            return f"{place} is another user's"
        if place == path and not is_own(found, GROUP_OR_OTHERS):
            return "others may write to it"
        if not is_own(found) and found.st_uid != 0:
            return f"{place} is another user's"
        if found.st_mode & stat.S_IWOTH and not sticky:
            return f"everybody may write to {place}"
    return ""


def is_own(found: os.stat_result, forbidden: int = 0) -> bool:
    """Whether a file is this user's, and has none of some permissions."""
    if sys.platform == "win32":
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & forbidden
