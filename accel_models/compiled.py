"""Modules that numba compiles, kept on disk under a digest of everything that they compile in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from accel_models.files import user_cache

PACKAGE = Path(__file__).parent


def compiled(module: str, files: Sequence[str], package: Path = PACKAGE) -> Any:
    """Import a compiled module; numba itself is first imported here.

    Numba notices that a file has changed, but not that another one has which it calls. So compiled
    code is kept under a digest of all files that are compiled, in their package or, where that is
    read-only, in the user's cache.

    Args:
        module: its full name.
        files: all that it compiles, or whose constants it compiles in, from the package's folder.
        package: the folder.
    """
    config: Any = import_module("numba.core.config")

    digest = hashlib.sha256(b"".join((package / name).read_bytes() for name in files))
    home = package / "__pycache__" if os.access(package, os.W_OK) else user_cache()
    before = config.CACHE_DIR
    config.CACHE_DIR = str(home / f"compiled-{digest.hexdigest()[:16]}")
    try:
        return import_module(module)
    finally:
        config.CACHE_DIR = before
