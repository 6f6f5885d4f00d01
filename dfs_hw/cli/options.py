"""Options that several commands have, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accel_models.errors import InputError
from accel_models.metrics import budgeted, names
from dfs_hw.budgets.paper import PAPER
from dfs_hw.training.config import TrainConfig

DEFAULTS = TrainConfig()
IMAGE_SIDE = 32
"""Pixels, where nothing is said of an image."""
PRICES = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1"

# Machines

_ACCELERATOR = ("--accelerator", "--machine")
_MACHINES = "A machine of `dfs-hw accelerators`, or a path to your own .toml."

Accelerator = Annotated[str, typer.Option(*_ACCELERATOR, help=_MACHINES)]
TrainedFor = Annotated[
    str | None,
    typer.Option(*_ACCELERATOR, help=_MACHINES, show_default=DEFAULTS.accelerator),
]
TracedOn = Annotated[
    str, typer.Option(*_ACCELERATOR, help="Machine to run on; default: the one of the trace.")
]
Accelerators = Annotated[
    list[str] | None,
    typer.Option(*_ACCELERATOR, help="Machine to run on; repeat. Default: those of the traces."),
]
MachineSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--machine-set",
        metavar="FIELD=VALUE",
        help="A field of the machine, such as storage.weights=copies or dram.gb_per_s=24; repeat "
        "for more.",
    ),
]


def _loaded(given: list[str] | None) -> list[str] | None:
    if given:
        from accel_models import load_plugin

        for name in given:
            load_plugin(name)
    return given


Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="Where a machine's arithmetic is defined, if not here: a module, or a path to a .py; "
        "repeat for more.",
        callback=_loaded,
    ),
]

# Gate traces: always arguments

Trace = Annotated[Path, typer.Argument(metavar="TRACE", help="A gate trace.")]
Traces = Annotated[
    list[Path], typer.Argument(metavar="TRACE", help="Gate traces of one network's policies.")
]
MoreTraces = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="TRACE",
        help="Gate traces to run, beside the space's workloads.",
        show_default=False,
    ),
]
Prefetch = Annotated[
    str,
    typer.Option(
        help="What loads while a gate decides: none, modal (the most frequent choice), planes "
        "(from the top), or oracle (a bound)."
    ),
]

# Networks whose precision is fixed

Precisions = Annotated[
    list[str] | None, typer.Option(help="Bits of every layer; repeat to compare. Default 8.")
]
WidthsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Widths by layer, whatever --precision says: .toml of pattern = bits, .csv of name "
        "and precision, or .json, also of other tools. The last match wins.",
    ),
]
ImageSide = Annotated[
    int | None,
    typer.Option(help=f"Side of the square input images. Default {IMAGE_SIDE}.", min=8),
]

OpenSizes = Annotated[
    list[str] | None,
    typer.Option("--size", help="Of an .onnx file: a size that it leaves open, as batch=1."),
]

# Training

Data = Annotated[
    str,
    typer.Option(
        help="digits (bundled), cifar10 or cifar100 (DFS_HW_DATA, or download), folder:PATH."
    ),
]
Style = Annotated[
    str,
    typer.Option(
        help="modern: DFS, by what works best here; exits: static networks that inputs leave "
        "early; paper: DFS to the constant."
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        help="resnet8, resnet14, resnet20, resnet38, ..., or MODULE:FUNCTION that gives your own; "
        "default suits the data."
    ),
]
OwnNetwork = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="MODULE:FUNCTION",
        help="What gave the network, if it is your own.",
        show_default=False,
    ),
]
Choices = Annotated[
    str | None,
    typer.Option(
        help="What a block may do: skip, bits, weight/activation bits such as 4/8, or full.",
        show_default=DEFAULTS.choices,
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help=f"What the budget limits: {names(budgeted(), PAPER)}.",
        show_default=DEFAULTS.metric,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        help="Mean cost per input: a share (0.6, 60%) of the highest precision, or 45uJ; "
        "45uJ@p95 for all but 5% of the inputs.",
        show_default=DEFAULTS.budget,
    ),
]
TrainingSeed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Drives data, initial weights and order of training.",
        show_default=str(DEFAULTS.seed),
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Epochs of backbone, supernet and joint stage, each; of exits, --set exit_epochs=N.",
        min=1,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting of TrainConfig, such as joint_lr=0.02; repeat for more.",
    ),
]
Device = Annotated[str, typer.Option(help="Where to train: cpu or cuda.")]
Logs = Annotated[
    Path | None, typer.Option("--tensorboard", help="Folder for curves; none by default.")
]
Prices = Annotated[
    str, typer.Option(help="Of cost, 0 to 1, at which a network with a knob is looked at.")
]

# Exploration

SpaceFile = Annotated[Path, typer.Argument(metavar="SPACE.toml", help="What may change, and why.")]
Sampler = Annotated[
    str, typer.Option(help="nsga2, tpe, random or grid by Optuna; sweep: every machine.")
]
MachinesTried = Annotated[
    int,
    typer.Option(
        "--trials", help="Machines to try, those of earlier runs included; a sweep tries all."
    ),
]
SamplingSeed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.", min=0)]
ProposedAtATime = Annotated[
    int, typer.Option("--batch", help="Machines proposed at a time.", min=1)
]
Workers = Annotated[
    int, typer.Option(help="Processes here; 0: one for each core.", min=0, show_default="all cores")
]
Dask = Annotated[
    str, typer.Option(metavar="tcp://HOST:8786", help="Scheduler of a Dask cluster to work on.")
]

# What a command says and leaves

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Out = Annotated[Path, typer.Option(help="Folder for everything the command writes.")]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Take OUT from a run with other settings; what fits is used again."
    ),
]

# What other words say now


def _not_here(given: list[str] | None) -> list[str] | None:
    if given:
        raise InputError(
            f"--set is for settings of training: a field of the machine is --machine-set {given[0]}"
        )
    return given


def _an_argument(given: list[str] | None) -> list[str] | None:
    if given:
        raise InputError(f"traces are arguments: dfs-hw explore SPACE.toml {' '.join(given)}")
    return given


NoSettings = Annotated[list[str] | None, typer.Option("--set", hidden=True, callback=_not_here)]
NoTraceOption = Annotated[
    list[str] | None, typer.Option("--trace", hidden=True, callback=_an_argument)
]
