"""The command that holds adaptive networks against what they have to beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from accel_models.errors import InputError
from dfs_hw.cli.app import DEFAULTS, MACHINE, Quiet, app
from dfs_hw.cli.show import tables as show
from dfs_hw.cli.training import (
    Budget,
    Choices,
    Data,
    Device,
    Epochs,
    Metric,
    Network,
    Out,
    Settings,
    Style,
    _config,
)

Prices = Annotated[
    str, typer.Option(help="Of cost, 0 to 1, at which a network with a knob is looked at.")
]
PRICES = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1"

Number = TypeVar("Number", int, float)


@app.command()
def compare(
    data: Data = DEFAULTS.data,
    style: Style = "modern",
    network: Network = None,
    choices: Choices = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", "--accelerator", help=MACHINE, show_default=DEFAULTS.accelerator),
    ] = None,
    metric: Metric = None,
    budget: Budget = None,
    seeds: Annotated[str, typer.Option(help="Everything is trained once for each.")] = "0,1,2",
    contenders: Annotated[
        str,
        typer.Option(
            help="Of static, best-static, dfs, skipnet, dfq, knob, and feedforward, upfront."
        ),
    ] = "static,best-static,dfs,skipnet,dfq,knob",
    dfq: Annotated[
        str, typer.Option(help="Choices of DFQ, as far as the machine supports them.")
    ] = "4/3,4/4,4/6",
    points: Annotated[
        str, typer.Option(help="Multiples of the budget to train DFS for beside the knob's curve.")
    ] = "0.75,1.5",
    prices: Prices = PRICES,
    shuffles: Annotated[
        int, typer.Option(help="How often decisions are dealt to other inputs.", min=1)
    ] = 5,
    epochs: Epochs = None,
    settings: Settings = None,
    device: Device = "cpu",
    out: Out = Path("out/compare"),
    quiet: Quiet = False,
) -> None:
    """Adaptive networks against static ones, all trained alike, at matched cost, over seeds.

    Ends with a table that says whether deciding per input earned its keep; OUT has it as JSON, CSV,
    Markdown and a picture. The same command goes on where it was stopped.
    """
    config = _config(
        data,
        style,
        epochs,
        settings,
        network=network,
        choices=choices,
        accelerator=machine,
        metric=metric,
        budget=budget,
    )
    from dfs_hw.baselines.compare import compare as run_comparison
    from dfs_hw.baselines.study import Study
    from dfs_hw.cli.show.findings import comparison

    wanted = Study(
        config,
        tuple(numbers("seeds", seeds, int)),
        tuple(_parts(contenders)),
        dfq,
        tuple(numbers("points", points, float)),
        tuple(numbers("prices", prices, float)),
        shuffles,
    )
    findings = run_comparison(wanted, out, device=device, progress=not quiet)
    comparison(findings)
    show.line(f"As Markdown, CSV, JSON and a picture: {out / 'compare.md'}")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(name: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """What an option of this name takes: numbers with commas between them."""
    try:
        return [kind(part) for part in _parts(text)]
    except ValueError as error:
        raise InputError(
            f"--{name} takes numbers with commas between them, got '{text}'"
        ) from error
