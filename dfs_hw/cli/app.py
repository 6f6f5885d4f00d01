"""The program that commands are part of, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from accel_models.errors import DfsHwError, decimal_comma, printable, quoted, reason_of
from accel_models.files import made_folders, remove_empty
from dfs_hw.cli.terminal import (
    open_closed_streams,
    turn_off,
    use_plain_spellings,
    use_short_warnings,
)

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
WrongCommand: type[Exception] = typer.BadParameter.__bases__[0]
"""Any error of the option parser, whichever it is that comes with Typer."""
NO_MEMORY = "can't allocate memory"
EXITED = "the code of a model, of its data or of a plug-in has called exit"
INTERRUPTED = "dfs-hw: interrupted; the same command goes on from what was finished"


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
    """Entry point: whatever is wrong ends in one sentence and exit status 2."""
    _let_threads_sleep()
    open_closed_streams()
    use_plain_spellings()
    use_short_warnings()
    with made_folders() as made:
        status = _run()
    if status in STOPPED:
        print(INTERRUPTED, file=sys.stderr)
    if status:
        remove_empty(made)
    sys.exit(status)


def _run() -> int:
    """Do what the command line says; returns the exit status."""
    try:
        status: int = app(standalone_mode=False)
        sys.stdout.flush()
    except WrongCommand as error:
        return _refused(error)
    except DfsHwError as error:
        return _said(str(error))
    except OSError as error:
        return _of_system(error)
    except (MemoryError, RuntimeError) as error:  # PyTorch has no error of its own for memory
        if not (isinstance(error, MemoryError) or NO_MEMORY in str(error)):
            raise
        return _said("there is not enough memory for this")
    except SystemError as error:
        if not _came_of_ctrl_c(error):
            raise
        return STOPPED[0]
    except SystemExit as stop:
        return _exited(stop)
    return status


def _said(sentence: str) -> int:
    """Say what is wrong; returns the exit status that goes with it."""
    print(f"dfs-hw: {printable(sentence)}", file=sys.stderr)
    return 2


def _refused(error: Any) -> int:
    """Say what is wrong with a command line, in our style; where nothing is asked, help is."""
    if type(error).__name__ == "NoArgsIsHelpError":  # as Typer itself tells it
        error.show()
        return 2
    sentence = error.format_message().strip().rstrip(".")
    command = error.ctx.command_path if error.ctx is not None else "dfs-hw"
    sentence = sentence.replace("Input should be", "it must be")
    if isinstance(error.__cause__, ValidationError):
        given = error.__cause__.errors()[0]["input"]
        sentence += f", got {quoted(given)}{decimal_comma(given)}"
    return _said(f"{sentence[:1].lower()}{sentence[1:]} (see {command} --help)")


def _of_system(error: OSError) -> int:
    """Say what the system refused. A pipe that nobody reads any more ends in silence."""
    turn_off()
    if error.errno == errno.EPIPE:
        return 1
    where = error.filename if error.filename is not None else "the output"
    return _said(f"{where}: {reason_of(error)}")


def _exited(stop: SystemExit) -> int:
    """Status of what has exited. Training that is stopped does, as the signal would have it, and so
    does the option parser where a pipe has no reader. A model or its data that do are not done,
    whatever their status."""
    if stop.code in STOPPED:
        return int(stop.code)
    if isinstance(stop.__context__, OSError):
        return _of_system(stop.__context__)
    return _said(f"{EXITED} (status {stop.code})")


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
