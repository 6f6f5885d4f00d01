"""Digests of files that a report was made of."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digests(*files: Path) -> dict[str, str]:
    """SHA-256 of files by name, without those that are not there."""
    return {path.name: _sha256(path) for path in files if path.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
