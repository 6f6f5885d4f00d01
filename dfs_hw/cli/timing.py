"""The command that shows what a machine does, cycle by cycle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from accel_models.errors import InputError
from dfs_hw.cli.app import app, print_json
from dfs_hw.cli.loading import load_machine, load_traced_machine, load_workload, words
from dfs_hw.cli.options import (
    DEFAULTS,
    AsJson,
    ImageSide,
    MachineSettings,
    NoSettings,
    Plugins,
    Precisions,
    Prefetch,
    TracedOn,
)
from dfs_hw.cli.show import tables as show

if TYPE_CHECKING:  # pyarrow, which `--help` need not wait for
    from accel_models.reference_machine import Timeline
    from accel_models.replay import Replay

INPUTS, NO_PREFETCH = "cheapest,dearest", "none"


class Played(NamedTuple):
    """Timelines by title, and how many cycles they are off from what was computed without."""

    timelines: dict[str, Timeline]
    off_by: int
    computed: str


@app.command()
def timeline(
    trace: Annotated[
        Path | None, typer.Argument(metavar="[TRACE]", help="A gate trace.", show_default=False)
    ] = None,
    network: Annotated[
        str, typer.Option(help="A static network instead: as simulate takes it.")
    ] = "",
    precision: Precisions = None,
    image: ImageSide = None,
    accelerator: TracedOn = "",
    machine_settings: MachineSettings = None,
    inputs: Annotated[
        str, typer.Option(help="cheapest, dearest, or numbers of the trace's inputs.")
    ] = INPUTS,
    prefetch: Prefetch = NO_PREFETCH,
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
    """Run single inputs of a trace, or a static network, through a machine, event by event.

    dfs-hw timeline trace.parquet --inputs cheapest,dearest --picture timeline.png
    dfs-hw timeline --network resnet20 --precision 8 --picture timeline.png
    """
    if window and perfetto is None:
        raise InputError("--window goes with --perfetto FILE")
    window_s = _window(window) if window else None
    _check_places(trace, perfetto, picture)
    if (trace is None) == (not network):
        raise InputError("say what to run: a TRACE, or --network NAME")
    if trace is not None:
        if precision or image:
            raise InputError("--precision and --image go with --network, a trace has its own")
        played = _of_trace(trace, accelerator, machine_settings, inputs, prefetch)
    else:
        if (inputs, prefetch) != (INPUTS, NO_PREFETCH):
            raise InputError("--inputs and --prefetch go with a trace: a network alone has none")
        machine = accelerator or DEFAULTS.accelerator
        played = _of_network(network, precision or ["8"], image, machine, machine_settings)
    _write(played, perfetto, window_s, picture)
    _print(played, perfetto, picture, as_json)


def _of_trace(
    trace: Path, accelerator: str, settings: list[str] | None, inputs: str, prefetch: str
) -> Played:
    """Inputs of a trace, beside the replay that adds up tables."""
    from accel_models import cost_table
    from accel_models.reference_machine.events.timeline import Player
    from accel_models.replay import Policy, replay
    from accel_models.trace import GateTrace

    policy = Policy(prefetch=prefetch)  # type: ignore[arg-type]
    recorded = GateTrace.read(trace)
    header = recorded.header
    machine = load_traced_machine(trace, header, accelerator, settings)
    table = cost_table(header.workload, machine, header.choices, always=header.always)
    outcome = replay(recorded, table, policy)
    rows = _rows(inputs, outcome)
    player = Player(table, outcome.policy)
    played = {title: player.play(recorded.choices[row], draw=True) for title, row in rows.items()}
    gaps = [abs(one.cycles - int(outcome.cycles[rows[title]])) for title, one in played.items()]
    return Played(played, max(gaps), "The table-based replay of these inputs")


def _of_network(
    network: str,
    precisions: list[str],
    image: int | None,
    accelerator: str,
    settings: list[str] | None,
) -> Played:
    """A network at fixed precisions, beside what `simulate` says of it."""
    from accel_models import simulate
    from accel_models.reference_machine import static_timeline

    machine, workload = load_machine(accelerator, settings), load_workload(network, image)
    played = {
        f"{network} at {bits} bits": static_timeline(workload, machine, bits, draw=True)
        for bits in precisions
    }
    cycles = [simulate(workload, machine, bits).cycles for bits in precisions]
    gaps = [abs(one.cycles - said) for one, said in zip(played.values(), cycles, strict=True)]
    return Played(played, max(gaps), "What simulate says, layer by layer,")


def _write(
    played: Played,
    perfetto: Path | None,
    window_s: tuple[float, float] | None,
    picture: Path | None,
) -> None:
    if perfetto is not None:
        from accel_models.reference_machine import write_perfetto

        write_perfetto(perfetto, played.timelines, window_s=window_s)
    if picture is not None:
        from accel_models.reference_machine import write_timeline_picture

        write_timeline_picture(picture, played.timelines)


def _print(played: Played, perfetto: Path | None, picture: Path | None, as_json: bool) -> None:
    from dfs_hw.cli.show import timeline as show_timeline

    shown = played.timelines
    if as_json:
        print_json({title: show_timeline.timeline_facts(one) for title, one in shown.items()})
        return
    show_timeline.timelines(shown, played.off_by, played.computed)
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
