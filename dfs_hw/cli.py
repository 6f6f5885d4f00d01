"""The command line: each command is one step of the chain, and prints what to do next."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from accel_models.errors import DfsHwError, InputError
from dfs_hw import show
from dfs_hw.train_config import TrainConfig, recipe

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

Data = Annotated[str, typer.Option(help="digits (bundled) or cifar10 (DFS_HW_DATA, or download).")]
Network = Annotated[
    str, typer.Option(help="resnet8, resnet14, resnet20, resnet38, ...; default suits the data.")
]
Choices = Annotated[
    str,
    typer.Option(help="What a block may do: skip, bits, or weight/activation bits such as 4/8."),
]
Machine = Annotated[
    str, typer.Option(help="A machine of `dfs-hw accelerators`, or a path to your own .toml.")
]
Metric = Annotated[str, typer.Option(help="What the budget limits: energy, latency, edp, bitops.")]
Budget = Annotated[
    str,
    typer.Option(help="Mean cost per input: a share (0.6, 60%) of the highest precision, or 45uJ."),
]
Seed = Annotated[int, typer.Option(help="Drives data, initial weights and order of training.")]
Out = Annotated[Path, typer.Option(help="Folder for everything the command writes.")]
Epochs = Annotated[
    int | None, typer.Option(help="Epochs of the backbone and of the joint stage, each.", min=1)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]

DEFAULTS = TrainConfig()
COMPARED_NETWORK, DEPARTURES_NETWORK = "resnet20", "resnet38"
COMPARED_BITS = (8, 4, 2)
IMAGE_SIDE = 32
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


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


@app.command()
def demo(
    data: Data = DEFAULTS.data,
    network: Network = "",
    choices: Choices = DEFAULTS.choices,
    accelerator: Machine = DEFAULTS.accelerator,
    metric: Metric = DEFAULTS.metric,
    budget: Budget = DEFAULTS.budget,
    seed: Seed = DEFAULTS.seed,
    epochs: Epochs = None,
    out: Out = Path("out/demo"),
    quiet: Quiet = False,
) -> None:
    """The whole chain on real images: train, record, replay, compare with baselines, report.

    Ends with a table, and a page to open: OUT/report.html.
    """
    from dfs_hw.experiment import run_experiment
    from dfs_hw.report import write_report
    from dfs_hw.report.facts import gather

    config = _config(data, network, choices, accelerator, metric, budget, seed, epochs)
    run_experiment(config, out, progress=not quiet)
    page = write_report(out)
    show.comparison(gather(out))
    show.line(f"The report, with its figures and every constant: {page}")


@app.command()
def train(
    data: Data = DEFAULTS.data,
    network: Network = "",
    choices: Choices = DEFAULTS.choices,
    accelerator: Machine = DEFAULTS.accelerator,
    metric: Metric = DEFAULTS.metric,
    budget: Budget = DEFAULTS.budget,
    seed: Seed = DEFAULTS.seed,
    epochs: Epochs = None,
    out: Out = Path("out/train"),
    quiet: Quiet = False,
) -> None:
    """Train a gated network under a hardware budget, in the three stages of DFS."""
    from dfs_hw.train import train as run_training

    config = _config(data, network, choices, accelerator, metric, budget, seed, epochs)
    trained = run_training(config, out, progress=not quiet)
    chosen, fraction = trained.chosen, trained.budget.fraction
    met = "meets" if trained.meets_budget else "does NOT meet"
    show.line(
        f"Validation accuracy {chosen.validation_accuracy:.1%} at {chosen.validation_cost:.1%} of "
        f"the highest precision's {metric}; that {met} the budget of {fraction:.1%}."
    )
    show.line(f"Next: dfs-hw record {out / 'network.safetensors'} --out {out / 'trace.parquet'}")


@app.command()
def record(
    checkpoint: Annotated[Path, typer.Argument(help="A network.safetensors that training left.")],
    out: Annotated[Path, typer.Option(help="The trace to write.")] = Path("trace.parquet"),
    split: Annotated[str, typer.Option(help="Which inputs: train, validation or test.")] = "test",
) -> None:
    """Record what a trained network chooses for every input, as a Parquet gate trace."""
    from dfs_hw.experiment import record_checkpoint

    trace = record_checkpoint(checkpoint, out, split)
    show.line(f"{len(trace)} inputs, accuracy {trace.accuracy:.1%}: {out}")
    show.line(f"Next: dfs-hw replay {out}")


@app.command()
def replay(
    trace: Annotated[Path, typer.Argument(help="A gate trace.")],
    accelerator: Annotated[
        str, typer.Option(help="Machine to replay on; default: the one it was trained for.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write energy and latency of every input as Parquet.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recorded trace through a machine: energy and latency of every input."""
    from accel_models import cost_table, load_accelerator
    from accel_models.replay import replay as run_replay
    from accel_models.trace import GateTrace

    recorded = GateTrace.read(trace)
    header = recorded.header
    if not (accelerator or header.accelerator):
        raise InputError(f"{trace} names no machine: say which with --accelerator")
    machine = load_accelerator(accelerator or header.accelerator)
    table = cost_table(header.workload, machine, header.choices, always=header.always)
    outcome = run_replay(recorded, table)
    if out is not None:
        outcome.write(out)
    if as_json:
        _print_json(show.replay_facts(outcome))
    else:
        show.replay_summary(outcome)


@app.command()
def simulate(
    network: Annotated[
        str, typer.Argument(help="resnet20, resnet38, ... or a CSV of layers (SCALE-Sim's too).")
    ],
    accelerator: Machine = DEFAULTS.accelerator,
    precision: Annotated[
        list[str] | None, typer.Option(help="Bits of every layer; repeat to compare. Default 8.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Inputs processed together.", min=1)] = 1,
    image: Annotated[
        int, typer.Option(help="Side of the square input images.", min=8)
    ] = IMAGE_SIDE,
    explain: Annotated[
        str, typer.Option(metavar="LAYER", help="Take one layer apart: why it costs what it does.")
    ] = "",
    pareto: Annotated[
        bool, typer.Option("--pareto", help="With --explain: every mapping worth having.")
    ] = False,
    objective: Annotated[
        str,
        typer.Option(
            help="Best mapping by latency, energy, edp or latency-then-energy, instead of what "
            "the machine's file says."
        ),
    ] = "",
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="How far off energy may be, and what moves it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a network costs at fixed precisions, layer by layer."""
    from accel_models import load_accelerator
    from accel_models import simulate as run_simulation

    if pareto and not explain:
        raise InputError("--pareto goes with --explain LAYER")
    machine = load_accelerator(accelerator)
    if objective:
        machine = machine.configured(mapping__objective=objective)
    workload = _workload(network, image)
    runs = {
        bits: run_simulation(workload, machine, bits, batch=batch, uncertainty=uncertainty)
        for bits in precision or ["8"]
    }
    if explain:
        _explain(runs, explain, pareto, as_json)
    elif as_json:
        _print_json({bits: show.simulation_facts(run) for bits, run in runs.items()})
    else:
        show.simulations(runs)


@app.command()
def validate(
    table: Annotated[
        Path | None,
        typer.Argument(help="CSV of published results; default: the 305 that come along."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute a table of published Bit Fusion results; exit status 0 only if all are exact."""
    from accel_models.published import compare_with_eyeriss
    from accel_models.validate import PUBLISHED, validate_table

    outcome = validate_table(table or PUBLISHED)
    against = compare_with_eyeriss() if table is None else None
    if as_json:
        extra = asdict(against) if against else {}
        _print_json({**asdict(outcome), "exact": outcome.exact, **extra})
    else:
        show.validation(outcome, against)
    if not outcome.all_exact:
        raise typer.Exit(1)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder that `dfs-hw demo` wrote.")],
) -> None:
    """Write the report of a finished run again, from its trace."""
    from dfs_hw.report import write_report

    show.line(str(write_report(run)))


@app.command()
def accelerators(
    names: Annotated[
        list[str] | None, typer.Argument(help="Machines, or paths to .toml files; none: list all.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Put the named machines side by side.")
    ] = False,
    departures: Annotated[
        bool,
        typer.Option("--departures", help="What each difference from its base machine changes."),
    ] = False,
    network: Annotated[
        str, typer.Option(help="What to run on them: resnet20, resnet38, ... or a CSV of layers.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """The library of machines; the data sheet of one, with every constant and its source.

    dfs-hw accelerators --compare bitfusion stripes --network resnet38
    """
    from accel_models import list_accelerators, load_accelerator
    from accel_models.spec import spec_sheet
    from dfs_hw import show_machines as machines

    if compare and departures:
        raise InputError("--compare and --departures answer different questions: ask for one")
    if network and not (compare or departures):
        raise InputError("--network goes with --compare or --departures")
    chosen = [load_accelerator(name) for name in names or list_accelerators()]
    if compare:
        _compare(chosen if names else [], network or COMPARED_NETWORK, as_json)
    elif departures:
        _departures(chosen if names else [], network or DEPARTURES_NETWORK, as_json)
    elif as_json:
        _print_json([machines.sheet_facts(spec_sheet(machine), machine) for machine in chosen])
    elif names:
        for machine in chosen:
            machines.machine(spec_sheet(machine))
    else:
        machines.machine_list([spec_sheet(machine) for machine in chosen])


def main() -> None:
    """Entry point: errors meant for people end in one sentence and exit status 2."""
    try:
        app()
    except DfsHwError as error:
        print(f"dfs-hw: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print("dfs-hw: interrupted; the same command goes on from here", file=sys.stderr)
        raise


def _config(
    data: str,
    network: str,
    choices: str,
    accelerator: str,
    metric: str,
    budget: str,
    seed: int,
    epochs: int | None,
) -> TrainConfig:
    changes: dict[str, Any] = {"network": network} if network else {}
    if epochs is not None:
        changes |= {"backbone_epochs": epochs, "joint_epochs": epochs}
    return recipe(
        data,
        choices=choices,
        accelerator=accelerator,
        metric=metric,
        budget=budget,
        seed=seed,
        **changes,
    )


def _explain(runs: dict[str, Any], layer: str, pareto: bool, as_json: bool) -> None:
    from accel_models.explain import explain, pareto_set
    from dfs_hw import show_layer

    found = {
        bits: (explain(run, layer), pareto_set(run, layer) if pareto else ())
        for bits, run in runs.items()
    }
    if as_json:
        _print_json({bits: show_layer.explanation_facts(*one) for bits, one in found.items()})
        return
    for number, one in enumerate(found.values()):
        if number:
            show.line("")
        show_layer.explanation(*one)


def _compare(machines: list[Any], network: str, as_json: bool) -> None:
    from accel_models.spec import compare
    from dfs_hw import show_comparison

    if len(machines) < 2:
        raise InputError("--compare needs two machines or more")
    compared = compare(machines, _workload(network, IMAGE_SIDE), COMPARED_BITS)
    if as_json:
        _print_json(show_comparison.comparison_facts(compared, machines))
    else:
        show_comparison.comparison(compared)


def _departures(machines: list[Any], network: str, as_json: bool) -> None:
    from accel_models.departures import effects
    from dfs_hw import show_comparison

    if len(machines) != 1:
        raise InputError("--departures needs one machine, such as bitfusion")
    workload = _workload(network, IMAGE_SIDE)
    found = effects(machines[0], workload, COMPARED_BITS)
    if as_json:
        _print_json(show_comparison.departure_facts(found, workload.name, COMPARED_BITS))
    else:
        show_comparison.departures(found, workload.name, COMPARED_BITS)


def _workload(network: str, image: int) -> Any:
    if network.endswith(".csv"):
        from accel_models.layer_csv import read_layers

        return read_layers(network)
    from dfs_hw.networks import build_network
    from dfs_hw.workload import workload_of

    built = build_network(network, DEFAULTS.choices, classes=10, in_channels=3)
    return workload_of(built, (image, image)).without_gates()


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2))
