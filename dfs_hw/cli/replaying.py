"""The command that replays recorded traces."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accel_models.errors import InputError
from accel_models.files import same_file
from dfs_hw.cli.app import app, print_json
from dfs_hw.cli.loading import load_traced_machine
from dfs_hw.cli.options import (
    AsJson,
    MachineSettings,
    NoSettings,
    Plugins,
    Prefetch,
    Trace,
    TracedOn,
)

if TYPE_CHECKING:
    from accel_models import CostTable, Precision
    from accel_models.reference_machine.check import Check
    from accel_models.replay import Policy, Summary
    from accel_models.trace import TraceHeader

BATCH = 16
LOAD = 0.5
PLAYED = 100

Guess = Annotated[
    str,
    typer.Option(help="What modal fetches: a choice for each unit, separated by commas."),
]
Switches = Annotated[bool, typer.Option(help="The array waits when operands change their width.")]
Batching = Annotated[
    str,
    typer.Option(
        help="single, grouped by choice in each unit, max (the batch's highest choice: another "
        "network), or sorted by cost beforehand (a bound)."
    ),
]
Batch = Annotated[
    int,
    typer.Option(help=f"Inputs of a batch, also with --ablate; default {BATCH}.", min=0),
]
Arrivals = Annotated[
    str,
    typer.Option(help="When inputs arrive: none (as asked for), poisson, or recorded."),
]
Load = Annotated[
    float | None,
    typer.Option(help=f"Of poisson: share of time that is busy; default {LOAD:g}."),
]
Seed = Annotated[int | None, typer.Option(help="Of poisson; default 0.", min=0)]
IdleGating = Annotated[
    bool, typer.Option("--idle-gating", help="No leakage while waiting for arrivals.")
]
Ablate = Annotated[
    bool, typer.Option("--ablate", help="Switch each effect by itself, and print the table.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Write energy and latency of every input as Parquet; a replay that was stopped "
        "goes on where it was."
    ),
]
Played = Annotated[
    int,
    typer.Option(
        help="How many of the first inputs, at most the first row group, are also played event "
        "by event.",
        min=0,
    ),
]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Leave out what cannot be read of the trace.")
]


@app.command()
def replay(
    trace: Trace,
    accelerator: TracedOn = "",
    machine_settings: MachineSettings = None,
    prefetch: Prefetch = "none",
    guess: Guess = "",
    switches: Switches = True,
    batching: Batching = "single",
    batch: Batch = 0,
    arrivals: Arrivals = "none",
    load: Load = None,
    seed: Seed = None,
    idle_gating: IdleGating = False,
    ablate: Ablate = False,
    out: Out = None,
    timeline: Played = PLAYED,
    skip_damaged: SkipDamaged = False,
    plugins: Plugins = None,
    as_json: AsJson = False,
    _: NoSettings = None,
) -> None:
    """Run a recorded trace through a machine: energy and latency of every input.

    dfs-hw replay traces/digits-resnet14-bitfusion.parquet --ablate
    """
    from accel_models.replay import Policy
    from accel_models.trace import TraceFile

    if ablate and (out is not None or skip_damaged or timeline != PLAYED):
        raise InputError(
            "--ablate prints a table: it does not go with --out, --skip-damaged or --timeline"
        )
    if load is not None and arrivals != "poisson":
        raise InputError("--load goes with --arrivals poisson")
    if idle_gating and arrivals == "none":
        raise InputError("--idle-gating goes with --arrivals poisson or --arrivals recorded")
    drawn = arrivals == "poisson" or (ablate and arrivals == "none" and batching != "sorted")
    if seed is not None and not drawn:
        raise InputError("--seed goes with --arrivals poisson, or with an --ablate that tries it")
    options: dict[str, Any] = {
        "prefetch": prefetch,
        "switches": switches,
        "batching": batching,
        "batch": _batch(batching, 0 if ablate and batching == "single" else batch),
        "arrivals": arrivals,
        "load": LOAD if load is None else load,
        "seed": seed or 0,
        "idle_gating": idle_gating,
    }
    with TraceFile(trace) as file:
        header = file.header
    policy = Policy(**options, guess=_guess(guess, header.choices))
    ready = _prepared(trace, header, accelerator, machine_settings, policy.batch)
    if ablate:
        _ablate(ready, policy, batch or BATCH, as_json)
        return
    found = _replayed(ready, policy, out, skip_damaged)
    _report(found, ready, timeline, as_json)


def _batch(batching: str, asked: int) -> int:
    return asked or (1 if batching == "single" else BATCH)


@dataclass(frozen=True)
class _Ready:
    trace: Path
    header: TraceHeader
    table: CostTable


def _prepared(
    trace: Path, header: TraceHeader, accelerator: str, settings: list[str] | None, batch: int
) -> _Ready:
    from accel_models import cost_table

    machine = load_traced_machine(trace, header, accelerator, settings)
    table = cost_table(
        header.workload, machine, header.choices, always=header.always, max_group=batch
    )
    return _Ready(trace, header, table)


def _guess(text: str, choices: Sequence[Precision]) -> tuple[int, ...] | None:
    from accel_models import Precision

    if not text:
        return None
    wanted = [Precision.parse(word) for word in text.split(",")]
    unknown = [str(choice) for choice in wanted if choice not in choices]
    if unknown:
        raise InputError(f"--guess names {unknown[0]}, which the trace has no choice of")
    return tuple(choices.index(choice) for choice in wanted)


def _replayed(ready: _Ready, policy: Policy, out: Path | None, skip_damaged: bool) -> Summary:
    from accel_models.replay import replay as run_replay
    from accel_models.replay import replay_file, summarise, write_rows
    from accel_models.trace import GateTrace

    if policy.batching != "sorted":
        with _Bar() as bar:
            return replay_file(
                ready.trace,
                ready.table,
                policy,
                out=out,
                skip_damaged=skip_damaged,
                progress=bar.show,
            )
    if skip_damaged:
        raise InputError("--skip-damaged does not go with batches sorted by cost")
    if out is not None and same_file(ready.trace, out):
        raise InputError(f"{out} is the trace itself: write somewhere else")
    outcome = run_replay(GateTrace.read(ready.trace), ready.table, policy)
    if out is not None:
        write_rows(outcome, out)
    return summarise(outcome)


class _Bar:
    """Progress over row groups, on a terminal and where there are several."""

    def __enter__(self) -> _Bar:
        self._bar: Any = None
        return self

    def show(self, done: int, of: int) -> None:
        from tqdm import tqdm

        if self._bar is None:
            quiet = of < 2 or not sys.stderr.isatty()
            self._bar = tqdm(total=of, desc="row groups", leave=False, disable=quiet)
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _report(found: Summary, ready: _Ready, inputs: int, as_json: bool) -> None:
    from accel_models.replay.summary.comparison import compare_replay
    from dfs_hw.cli.show import replay as show_replay

    beside, played = compare_replay(found, ready.header), _checked(found, ready.trace, inputs)
    if as_json:
        print_json(show_replay.replay_facts(found, beside, played))
    else:
        show_replay.replay_summary(found, beside, played)


def _checked(found: Summary, trace: Path, inputs: int) -> Check | None:
    """The first inputs of a trace on the event timeline; None if none are wanted, or if the first
    row group is damaged."""
    from accel_models.reference_machine.check import check
    from accel_models.trace import TraceFile

    if inputs == 0 or any(one.group == 0 for one in found.damaged):
        return None
    with TraceFile(trace) as file:
        first = file.first(inputs)
    return check(first, found.plan)


def _ablate(ready: _Ready, policy: Policy, batch: int, as_json: bool) -> None:
    from accel_models.replay.summary.ablation import ablate
    from accel_models.trace import GateTrace
    from dfs_hw.cli.show import replay as show_replay

    effects = ablate(GateTrace.read(ready.trace), ready.table, policy, batch)
    if as_json:
        print_json(show_replay.ablation_facts(effects, ready.table, policy))
    else:
        show_replay.ablation(effects, ready.table)
