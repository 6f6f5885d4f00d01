"""Machine code on disk: as numba keeps it, but sealed, and only where nobody else can put any.

Numba unpickles what it finds. A file that is not exactly what was written, or that others may have
written, counts as none: its function is compiled anew, and the file replaced.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numba.core import caching, config

from accel_models.errors import InputError
from accel_models.files import whole_file
from accel_models.private_folder import GROUP_OR_OTHERS, is_own

_CONFIG: Any = config  # whose names are set when it runs
SEAL = hashlib.sha256().digest_size


@contextmanager
def kept_in(folder: Path | None) -> Iterator[None]:
    """Have functions that are decorated inside keep their machine code in a private folder, or
    nowhere."""
    changes: list[tuple[Any, str, Any]] = [
        (caching, "IndexDataCacheFile", Sealed if folder else Unkept),
        (caching.CacheImpl, "_locator_classes", [InFolder]),
        (_CONFIG, "CACHE_LOCATOR_CLASSES", ""),  # which the environment can set
        (_CONFIG, "CACHE_DIR", str(folder or "")),
    ]
    before = [(owner, name, getattr(owner, name, None)) for owner, name, _ in changes]
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: list[tuple[Any, str, Any]]) -> None:
    for owner, name, value in values:
        setattr(owner, name, value)


class InFolder(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """Where the machine code of a function lies."""

    def __init__(self, function: Any, source: str) -> None:
        self._py_file, self._lineno = source, function.__code__.co_firstlineno
        self._folder = os.path.join(_CONFIG.CACHE_DIR, Path(source).parent.name)

    def get_cache_path(self) -> str:
        """Folder of the function's files."""
        return self._folder

    def ensure_cache_path(self) -> None:
        """Nothing: the folder is made when there is something to keep."""


class Sealed(caching.IndexDataCacheFile):
    """Index and machine code of one function, each file after the SHA-256 of the rest of it."""

    def load(self, key: Any) -> Any:
        """Machine code of one signature; None if it has to be compiled."""
        found = super().load(key)
        return found[1] if found and found[0] == repr(key) else None

    def save(self, key: Any, data: Any) -> None:
        """Keep the machine code of one signature. Two processes at once may give two signatures the
        same file name, so each says whose it is."""
        super().save(key, (repr(key), data))

    def _load_index(self) -> dict[Any, str]:
        found = self._unsealed(self._index_path)
        if found is None or found[:2] != (self._version, self._source_stamp):
            return {}
        overloads: dict[Any, str] = found[2]
        return overloads

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._seal(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return self._unsealed(self._data_path(name))  # None: numba compiles, and saves it anew

    def _save_data(self, name: str, data: Any) -> None:
        self._seal(self._data_path(name), data)

    def _seal(self, path: str, data: Any) -> None:
        content = self._dump(data)
        # Without room on the disk it is compiled again the next time.
        with suppress(OSError, InputError):
            os.makedirs(self._cache_path, 0o700, exist_ok=True)
            with whole_file(path, 0o600) as partial:
                partial.write_bytes(hashlib.sha256(content).digest() + content)

    def _unsealed(self, path: str) -> Any:
        """What a file holds; None if there is none that is whole and nobody else's."""
        try:
            with open(path, "rb") as file:
                if not is_own(os.fstat(file.fileno()), GROUP_OR_OTHERS):
                    return None
                content = file.read()
        except OSError:
            return None
        if hashlib.sha256(content[SEAL:]).digest() != content[:SEAL]:
            return None
        return pickle.loads(content[SEAL:])  # this user's own, to the byte


class Unkept(caching.IndexDataCacheFile):
    """Machine code that nothing is kept of."""

    def load(self, key: Any) -> None:
        """Find nothing."""

    def save(self, key: Any, data: Any) -> None:
        """Keep nothing."""
