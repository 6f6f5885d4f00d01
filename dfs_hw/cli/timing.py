"""The command that shows what a machine does, cycle by cycle, for single inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accel_models.errors import InputError
from dfs_hw.cli.app import app, print_json
from dfs_hw.cli.loading import load_traced_machine, words
from dfs_hw.cli.options import (
    AsJson,
    MachineSettings,
    NoSettings,
    Plugins,
    Prefetch,
    Trace,
    TracedOn,
)
from dfs_hw.cli.show import tables as show

if TYPE_CHECKING:  # pyarrow, which `--help` need not wait for
    from accel_models.replay import Replay


@app.command()
def timeline(
    trace: Trace,
    accelerator: TracedOn = "",
    machine_settings: MachineSettings = None,
    inputs: Annotated[
        str, typer.Option(help="cheapest, dearest, or numbers of the trace's inputs.")
    ] = "cheapest,dearest",
    prefetch: Prefetch = "none",
    perfetto: Annotated[
        Path | None, typer.Option(help="Write all events for ui.perfetto.dev.")
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="FROM:TO", help="With --perfetto: only these microseconds.")
    ] = "",
    picture: Annotated[Path | None, typer.Option(help="Draw them, as .png, .svg or .pdf.")] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
    _: NoSettings = None,
) -> None:
    """Run single inputs of a trace through a machine, event by event.

    dfs-hw timeline trace.parquet --inputs cheapest,dearest --picture timeline.png
    """
    from accel_models import cost_table
    from accel_models.reference_machine.events.timeline import Player
    from accel_models.replay import Policy, replay
    from accel_models.trace import GateTrace
    from dfs_hw.cli.show import timeline as show_timeline

    if window and perfetto is None:
        raise InputError("--window goes with --perfetto FILE")
    window_s = _window(window) if window else None
    _check_places(trace, perfetto, picture)
    policy = Policy(prefetch=prefetch)  # type: ignore[arg-type]
    recorded = GateTrace.read(trace)
    header = recorded.header
    machine = load_traced_machine(trace, header, accelerator, machine_settings)
    table = cost_table(header.workload, machine, header.choices, always=header.always)
    outcome = replay(recorded, table, policy)
    rows = _rows(inputs, outcome)
    player = Player(table, outcome.policy)
    shown = {title: player.play(recorded.choices[row], draw=True) for title, row in rows.items()}
    if perfetto is not None:
        from accel_models.reference_machine.events.perfetto import write_perfetto

        write_perfetto(perfetto, shown, window_s=window_s)
    if picture is not None:
        from accel_models.reference_machine.events.picture import write_timeline_picture

        write_timeline_picture(picture, shown)
    if as_json:
        print_json({title: show_timeline.timeline_facts(one) for title, one in shown.items()})
        return
    show_timeline.timelines(shown, outcome, rows)
    for path, how in ((perfetto, "open it in ui.perfetto.dev"), (picture, "a picture")):
        if path is not None:
            show.line(f"{path}: {how}")


def _rows(inputs: str, outcome: Replay) -> dict[str, int]:
    """Rows of the trace by what they are called."""
    rows = {}
    for word in words(inputs):
        if word in ("cheapest", "dearest"):
            energy = outcome.energy_j
            row = int(energy.argmin() if word == "cheapest" else energy.argmax())
        elif word.isdecimal() and int(word) < len(outcome.trace):
            row = int(word)
        else:
            raise InputError(
                f"--inputs takes cheapest, dearest or numbers from 0 to {len(outcome.trace) - 1}, "
                f"got '{word}'"
            )
        chosen = [str(outcome.table.choices[index]) for index in outcome.trace.choices[row]]
        taken = " ".join("–" if choice == "skip" else choice for choice in chosen)
        rows[f"{word}: {taken}"] = row
    if not rows:
        raise InputError("--inputs names no input")
    return rows


def _check_places(*paths: Path | None) -> None:
    """What is read and what is written are files of their own."""
    places = [path.resolve() for path in paths if path is not None]
    if len(set(places)) < len(places):
        raise InputError("the trace, --perfetto and --picture are different files")


def _window(text: str) -> tuple[float, float]:
    """Seconds from microseconds."""
    try:
        start, end = (float(part) * 1e-6 for part in text.split(":"))
    except ValueError as error:
        raise InputError(f"--window takes FROM:TO in microseconds, got '{text}'") from error
    return start, end
