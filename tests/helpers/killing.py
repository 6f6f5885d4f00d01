"""Commands of dfs-hw, and functions, in processes of their own, to be killed without warning."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from forks import FORKS

from accel_models.files import whole_file


def kill_when(happened: Callable[[], bool], run: Callable[..., object], *given: Any) -> None:
    """Start a function in a process of its own, and kill it as soon as something has happened."""
    process = FORKS.Process(target=run, args=given)
    process.start()
    while not happened():
        assert process.is_alive(), "it ended before it was killed"
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def command(*words: str | Path) -> None:
    """Run a command, which prints into the void."""
    from dfs_hw.cli import main  # PyTorch with it

    sys.argv = ["dfs-hw", *map(str, words)]
    with open(os.devnull, "w", encoding="utf-8") as void, redirect_stdout(void):
        main()


def killed_while_writing(path: Path) -> Path:
    """The partial file that a process leaves which is killed as it writes a file."""
    before = {*path.parent.iterdir()}
    process = FORKS.Process(target=_write_and_die, args=(path,))
    process.start()
    process.join()
    (left,) = {*path.parent.iterdir()} - before
    return left


def _write_and_die(path: Path) -> None:
    with whole_file(path):
        os.kill(os.getpid(), signal.SIGKILL)
