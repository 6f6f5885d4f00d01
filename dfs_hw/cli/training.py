"""Commands that train, and that look at what was trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accel_models.errors import InputError
from accel_models.precision import EXIT
from accel_models.si import si
from dfs_hw.cli.app import app
from dfs_hw.cli.loading import training_config, words
from dfs_hw.cli.options import (
    DEFAULTS,
    Budget,
    Choices,
    Data,
    Device,
    Epochs,
    Logs,
    Metric,
    Network,
    Out,
    Overwrite,
    OwnNetwork,
    Plugins,
    Quiet,
    Settings,
    Style,
    TrainedFor,
    TrainingSeed,
)
from dfs_hw.cli.own_model import names_own_model, register_own_model
from dfs_hw.cli.show import tables as show

if TYPE_CHECKING:  # torch, which `--help` need not wait for
    from dfs_hw.logs import Log


DemoStyle = Annotated[
    str | None,
    typer.Option(
        "--style",
        help="exits: static networks that inputs leave early; modern: DFS, by what works best "
        "here; paper: DFS to the constant. Default: exits, or modern for choices without exit.",
        show_default=False,
    ),
]


@app.command()
def demo(
    data: Data = DEFAULTS.data,
    style: DemoStyle = None,
    network: Network = None,
    choices: Choices = None,
    accelerator: TrainedFor = None,
    metric: Metric = None,
    budget: Budget = None,
    seed: TrainingSeed = None,
    epochs: Epochs = None,
    settings: Settings = None,
    device: Device = "cpu",
    log: Logs = None,
    out: Out = Path("out/demo"),
    overwrite: Overwrite = False,
    plugins: Plugins = None,
    quiet: Quiet = False,
) -> None:
    """The whole chain on real images: train, record, replay, compare with baselines, report.

    By default inputs leave static networks early, by confidence (`--style exits`); choices without
    `exit` train DFS.

    Ends with a table, and a page to open: OUT/report.html.
    """
    config = training_config(
        data,
        style or ("exits" if choices is None or EXIT in words(choices) else "modern"),
        epochs,
        settings,
        network=network,
        choices=choices,
        accelerator=accelerator,
        metric=metric,
        budget=budget,
        seed=seed,
    )
    from dfs_hw.experiment import run_experiment
    from dfs_hw.provenance import provenance
    from dfs_hw.report import report_of, write_report

    with _training(device, log) as (place, curves, first):
        run_experiment(
            config, out, device=place, progress=not quiet, log=curves, overwrite=overwrite
        )
    if first:
        found = replace(report_of(out), command=f"dfs-hw report {out}", made=dict(provenance()))
        (page,) = write_report(found, out)
        show.comparison(found)
        show.line(f"The report, with its figures and every constant: {page}")


@app.command()
def train(
    data: Data = DEFAULTS.data,
    style: Style = "modern",
    network: Network = None,
    choices: Choices = None,
    accelerator: TrainedFor = None,
    metric: Metric = None,
    budget: Budget = None,
    seed: TrainingSeed = None,
    epochs: Epochs = None,
    settings: Settings = None,
    device: Device = "cpu",
    log: Logs = None,
    out: Out = Path("out/train"),
    overwrite: Overwrite = False,
    plugins: Plugins = None,
    quiet: Quiet = False,
) -> None:
    """Train a gated network under a hardware budget, in the three stages of DFS.

    On several processes: torchrun --nproc-per-node 2 -m dfs_hw train ...
    """
    config = training_config(
        data,
        style,
        epochs,
        settings,
        network=network,
        choices=choices,
        accelerator=accelerator,
        metric=metric,
        budget=budget,
        seed=seed,
    )
    from dfs_hw.training.run import train as run_training

    with _training(device, log) as (place, curves, first):
        trained = run_training(
            config, out, device=place, progress=not quiet, log=curves, overwrite=overwrite
        )
    if not first:
        return
    outcome, budgeted = trained.outcome, trained.budget
    under = "stays below" if outcome.cost < budgeted.fraction else "does NOT meet"
    verdict = "meets" if trained.meets_budget else under
    verdict += f" the budget of {budgeted.fraction:.1%}"
    if config.floor:
        verdict = f"is the least that keeps to an accuracy of {config.floor:.1%}"
    at = "" if outcome.price is None else f" at a price of cost of {outcome.price:.3g}"
    show.line(
        f"Validation accuracy {outcome.accuracy:.1%} at {outcome.cost:.1%} of the highest "
        f"precision's {config.metric}{at}; that {verdict}."
    )
    if outcome.feasibility and not outcome.feasibility["kept"]:
        lost = outcome.feasibility["accuracy_before"] - outcome.feasibility["accuracy_after"]
        show.line(
            f"Shifting the gates' logits to the budget would have lost {lost:.1%} accuracy, "
            "and was not done."
        )
    own = f" --network {config.network}" if names_own_model(config.network) else ""
    kept, trace = out / "network.safetensors", out / "trace.parquet"
    show.line(f"Next: dfs-hw record {kept} --out {trace}{own}")


@app.command()
def record(
    checkpoint: Annotated[Path, typer.Argument(help="A network.safetensors that training left.")],
    out: Annotated[Path, typer.Option(help="The trace to write.")] = Path("trace.parquet"),
    split: Annotated[str, typer.Option(help="Which inputs: train, validation or test.")] = "test",
    then: Annotated[
        Path | None,
        typer.Option(
            help="Network of another training, which runs where the first is not sure: a cascade.",
            show_default=False,
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            help="Of the validation inputs, 0 to 1, that go on to the second network.",
            show_default=False,
        ),
    ] = None,
    sure: Annotated[
        float | None,
        typer.Option(
            help="In place of a share: probability, 0 to 1, of the class predicted, from which on "
            "an input does not go on.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="What gave the network, if it is your own; of two, once for each.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Record what a trained network chooses for every input, as a Parquet gate trace.

    Of two networks in a row (--then), static or gated, as one: docs/exits.md.
    """
    if then is None and (share is not None or sure is not None):
        raise InputError("a share, or how sure, needs a second network: --then")
    for own in network or ():
        register_own_model(own)
    if then is None:
        from dfs_hw.experiment import record_checkpoint

        trace = record_checkpoint(checkpoint, out, split)
    else:
        from dfs_hw.cascade import record_cascade

        trace = record_cascade(checkpoint, then, out, split, share=share, sure=sure)
    show.line(f"{len(trace)} inputs, accuracy {trace.accuracy:.1%}: {out}")
    show.line(f"Next: dfs-hw replay {out}")


@app.command()
def bundle(
    checkpoint: Annotated[Path, typer.Argument(help="A network.safetensors that training left.")],
    out: Annotated[Path, typer.Option(help="Folder, or file that ends in .zip.")] = Path("bundle"),
    price: Annotated[
        float | None,
        typer.Option(
            help="Of cost, 0 to 1, for a network with a knob. Default: that of its budget.",
            show_default=False,
        ),
    ] = None,
    network: OwnNetwork = None,
) -> None:
    """Write a trained network as ONNX files that a runtime of fifty lines can execute.

    One for each branch of a block, each gate and exit, and a manifest that says how they go
    together: docs/bundle.md.
    """
    register_own_model(network or "")
    from dfs_hw.bundle import export_bundle
    from dfs_hw.data import load_dataset
    from dfs_hw.experiment import load_gated
    from dfs_hw.training.config import TrainConfig

    saved = load_gated(checkpoint)
    config = TrainConfig.from_dict(saved.facts["config"])
    price = saved.price if price is None else price
    splits = load_dataset(config.data, config.seed)
    written = export_bundle(saved.network, out, price=price, splits=splits)
    size = si(sum(file.size for file in written.files.values()), "B")
    show.line(f"{len(written.units)} blocks in {len(written.files)} ONNX files of {size}: {out}")
    show.line("Next: docs/bundle.md has a runtime of fifty lines")


@contextmanager
def _training(device: str, log: Path | None) -> Iterator[tuple[str, Log | None, bool]]:
    """Device, log and whether this is the first process, of as many as ``torchrun`` started."""
    from dfs_hw.distributed import join, world

    with join(device) as place:
        first = world()[0] == 0
        if log is None or not first:
            yield place, None, first
            return
        from dfs_hw.logs import TensorBoardLog

        with TensorBoardLog(log) as curves:
            yield place, curves, first
