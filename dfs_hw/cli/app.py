"""The program that commands are part of, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer

from accel_models.errors import DfsHwError

app = typer.Typer(
    help=(
        "Train networks that choose their precision per input, at the price a bit-flexible "
        "accelerator would really charge."
    ),
    epilog="Start with: dfs-hw demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

STOPPED = (130, 143)
"""Exit status after Ctrl-C and after SIGTERM, as shells have them."""
INTERRUPTED = "dfs-hw: interrupted; the same command goes on from here"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dfs-hw {version('dfs-hw')}")
        raise typer.Exit


@app.callback()
def dfs_hw(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which, end.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Entry point: errors meant for people end in one sentence and exit status 2."""
    _let_threads_sleep()
    try:
        app()
    except DfsHwError as error:
        print(f"dfs-hw: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemError as error:
        if not _came_of_ctrl_c(error):
            raise
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(STOPPED[0])
    except SystemExit as stop:
        if stop.code in STOPPED:
            print(INTERRUPTED, file=sys.stderr)
        raise


def _let_threads_sleep() -> None:
    """Have OpenMP's threads sleep while they wait, unless the user has said how they are to wait.

    By default they spin, for milliseconds after every convolution, which gains a little on a
    quiet machine. Where two commands share the cores, each computes against the idle threads of the
    other, and both are several times slower. OpenMP reads this when PyTorch loads it: so it is
    said here, before any command runs, and no command's file imports PyTorch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _came_of_ctrl_c(error: BaseException | None) -> bool:
    """Whether an error is what Python makes of Ctrl-C while code compiled by Numba runs, which
    returns a result nonetheless."""
    while isinstance(error, SystemError):
        error = error.__cause__
    return isinstance(error, KeyboardInterrupt)


def print_json(content: Any) -> None:
    """Print plain data as JSON."""
    print(json.dumps(content, indent=2))
