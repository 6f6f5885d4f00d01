"""Commands that tell what networks can win by deciding, and hold them against what they have to
beat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfs_hw.cli.app import app
from dfs_hw.cli.loading import numbers, training_config, words
from dfs_hw.cli.options import (
    DEFAULTS,
    PRICES,
    Budget,
    Choices,
    Data,
    Device,
    Epochs,
    Metric,
    Network,
    Out,
    Overwrite,
    Plugins,
    Prices,
    Quiet,
    Settings,
    Style,
    TrainedFor,
)
from dfs_hw.cli.own_model import register_own_model
from dfs_hw.cli.show import tables as show

Seeds = Annotated[str, typer.Option(help="Everything is trained once for each.")]
Contenders = Annotated[
    str,
    typer.Option(
        help="Of static, best-static, smaller, dfs, skipnet, dfq, knob, static-exits, exits, "
        "cascade, and smaller-exits, error, feedforward, upfront, supervised, shaped, dfs-exits."
    ),
]
Smaller = Annotated[
    str | None,
    typer.Option(
        help="Smaller static networks: names, x0.5 for half the channels, or none; default: all "
        "CIFAR ResNets of fewer blocks, x0.75 and x0.5.",
        show_default=False,
    ),
]
DfqChoices = Annotated[
    str, typer.Option(help="Choices of DFQ, as far as the machine supports them.")
]
Points = Annotated[
    str, typer.Option(help="Multiples of the budget to train DFS for beside the knob's curve.")
]
Grid = Annotated[
    str, typer.Option(help="Multiples of the budget to set thresholds and the knob for.")
]
Shuffles = Annotated[
    int, typer.Option(help="How often decisions are dealt to other inputs.", min=1)
]


@app.command()
def compare(
    data: Data = DEFAULTS.data,
    style: Style = "modern",
    network: Network = None,
    choices: Choices = None,
    accelerator: TrainedFor = None,
    metric: Metric = None,
    budget: Budget = None,
    seeds: Seeds = "0,1,2",
    contenders: Contenders = (
        "static,best-static,smaller,dfs,skipnet,dfq,knob,static-exits,exits,cascade"
    ),
    smaller: Smaller = None,
    dfq: DfqChoices = "4/3,4/4,4/6",
    points: Points = "0.75,1.5",
    grid: Grid = "0.5,0.75,1.25,1.5",
    prices: Prices = PRICES,
    shuffles: Shuffles = 5,
    epochs: Epochs = None,
    settings: Settings = None,
    device: Device = "cpu",
    out: Out = Path("out/compare"),
    overwrite: Overwrite = False,
    plugins: Plugins = None,
    quiet: Quiet = False,
) -> None:
    """Adaptive networks against static ones, all trained alike, at matched cost, over seeds.

    Ends with a table that says whether deciding per input earned its keep; OUT has it as JSON, CSV,
    Markdown and a picture. The same command goes on where it was stopped.
    """
    config = training_config(
        *(data, style, epochs, settings),
        several=True,
        network=network,
        choices=choices,
        accelerator=accelerator,
        metric=metric,
        budget=budget,
    )
    from dfs_hw.baselines import Study
    from dfs_hw.baselines import compare as run_comparison
    from dfs_hw.cli.show.findings import comparison

    sizes = None if smaller is None else tuple(_sizes(smaller))
    wanted = Study(
        config,
        tuple(numbers("seeds", seeds, int)),
        tuple(words(contenders)),
        dfq,
        tuple(numbers("points", points, float)),
        tuple(numbers("prices", prices, float)),
        shuffles,
        sizes,
        tuple(numbers("grid", grid, float)),
    )
    findings = run_comparison(wanted, out, device=device, progress=not quiet, overwrite=overwrite)
    comparison(findings)
    show.line(f"As Markdown, CSV, JSON and a picture: {out / 'compare.md'}")


@app.command()
def headroom(
    network: Annotated[
        str | None,
        typer.Argument(
            metavar="NETWORK",
            help="resnet8, resnet14, resnet20, ..., or MODULE:FUNCTION that gives your own; "
            "default suits the data.",
            show_default=False,
        ),
    ] = None,
    data: Data = DEFAULTS.data,
    style: Style = "modern",
    choices: Choices = None,
    accelerator: TrainedFor = None,
    metric: Metric = None,
    budget: Budget = None,
    seeds: Annotated[
        str, typer.Option(help="Of the networks, two or more: some choose, another is judged.")
    ] = "0,1,2",
    assignments: Annotated[
        int, typer.Option(help="To choose from, at most: as many passes over the inputs.", min=2)
    ] = 64,
    trained: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Of a comparison with the same settings, to take its networks.",
            show_default=False,
        ),
    ] = None,
    epochs: Epochs = None,
    settings: Settings = None,
    device: Device = "cpu",
    out: Out = Path("out/headroom"),
    overwrite: Overwrite = False,
    plugins: Plugins = None,
    quiet: Quiet = False,
) -> None:
    """What any gate could win, before one is trained: an oracle chooses by some networks and is
    judged by another.

    Trains a network at all widths from each seed. Ends with one sentence; OUT has a picture, JSON
    and CSV. The same command goes on where it was stopped.
    """
    config = training_config(
        *(data, style, epochs, settings),
        network=network,
        choices=choices,
        accelerator=accelerator,
        metric=metric,
        budget=budget,
    )
    from dfs_hw.cli.show.findings import headroom as show_headroom
    from dfs_hw.headroom import HeadroomStudy
    from dfs_hw.headroom import headroom as look_for_headroom

    study = HeadroomStudy(config, tuple(numbers("seeds", seeds, int)), assignments)
    found = look_for_headroom(
        study, out, trained=trained, device=device, progress=not quiet, overwrite=overwrite
    )
    show_headroom(found)
    show.line(f"As a picture, JSON and CSV: {out / 'headroom.png'}")


def _sizes(text: str) -> list[str]:
    """Smaller networks by name, those of one's own made known."""
    names = [] if text.strip() == "none" else words(text)
    for name in names:
        register_own_model(name)
    return names
