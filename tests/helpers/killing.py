"""Commands of dfs-hw in processes of their own, to be killed without warning."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "dfs_hw", *map(str, words)]


def kill_when(happened: Callable[[], bool], *words: str | Path) -> None:
    """Start a command, and kill it as soon as something has happened."""
    process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL)
    while not happened():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
