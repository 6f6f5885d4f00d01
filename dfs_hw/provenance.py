"""What made a result: versions, commit and machine, for every file this package writes."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from accel_models.accelerators.plugins import outside_families
from accel_models.files import whole_file

PACKAGES = ("dfs-hw", "torch", "numpy", "numba", "pyarrow")


def provenance() -> dict[str, object]:
    """Versions, families of arrays from outside, git commit (if this is a checkout), platform and
    time, ready for JSON."""
    return {
        "versions": versions(),
        "families": outside_families(),
        "commit": _commit(),
        "platform": platform.platform(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Versions of everything that shapes a result."""
    return {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file in one piece."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def _commit() -> str:
    """HEAD of the checkout this package runs from, marked if it was changed since."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "none: installed package"
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: git did not answer"


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()
