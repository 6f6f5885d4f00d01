"""Commands that look for machines: explore, cross and codesign."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from accel_models.errors import InputError
from dfs_hw.cli.app import AsJson, Quiet, app, print_json
from dfs_hw.cli.comparing import PRICES, Prices, numbers
from dfs_hw.cli.show import tables as show

IMAGE_SIDE = 32
CHOICES = "skip,2,4,8"

SpaceFile = Annotated[Path, typer.Argument(metavar="SPACE.toml", help="What may change, and why.")]
Sampler = Annotated[
    str, typer.Option(help="nsga2, tpe, random or grid by Optuna; sweep: every machine.")
]
Trials = Annotated[
    int, typer.Option(help="Machines to try, those of earlier runs included; a sweep tries all.")
]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)]
Batch = Annotated[int, typer.Option(help="Machines proposed at a time.", min=1)]
Workers = Annotated[
    int, typer.Option(help="Processes here; 0: one for each core.", min=0, show_default="all cores")
]
Dask = Annotated[
    str, typer.Option(metavar="tcp://HOST:8786", help="Scheduler of a Dask cluster to work on.")
]
Storage = Annotated[
    str, typer.Option(metavar="URL", help="Database for Optuna; default: a file in OUT.")
]


@app.command()
def explore(
    space: SpaceFile,
    trace: Annotated[
        list[Path] | None,
        typer.Option(help="A gate trace to run, beside the space's workloads; repeat for more."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the study.")] = Path("out/explore"),
    sampler: Sampler = "nsga2",
    trials: Trials = 200,
    seed: Seed = 0,
    batch: Batch = 16,
    workers: Workers = 0,
    dask: Dask = "",
    storage: Storage = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search machines for the best ones under recorded traces, and say what matters.

    OUT gets study.html, trials.parquet, study.json and chosen.toml. The same command goes on where
    it was stopped.
    """
    from accel_models.exploration import explore as run_exploration
    from accel_models.exploration.report import write_outputs
    from dfs_hw.cli.show.exploration import exploration
    from dfs_hw.provenance import provenance

    found = run_exploration(
        space,
        trace or (),
        out=out,
        networks=_network,
        progress=not quiet,
        sampler=sampler,
        trials=trials,
        seed=seed,
        batch=batch,
        workers=workers or os.cpu_count() or 1,
        dask=dask,
        storage=storage,
    )
    record = write_outputs(found, provenance())
    if as_json:
        print_json(record)
        return
    exploration(found, record)


@app.command()
def cross(
    traces: Annotated[list[Path], typer.Argument(help="Gate traces of one network's policies.")],
    machine: Annotated[
        list[str] | None,
        typer.Option(help="Machine to run on; repeat. Default: those of the traces."),
    ] = None,
    metric: Annotated[str, typer.Option(help="energy, latency, p95 or edp.")] = "energy",
    out: Annotated[Path | None, typer.Option(help="Folder for cross.html and cross.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Policies trained for some machines, run on others: what it costs not to have one's own."""
    from accel_models.exploration import cross_table
    from accel_models.exploration.report import write_cross_table
    from dfs_hw.cli.show.exploration import crossed
    from dfs_hw.provenance import provenance

    table = cross_table(traces, {name: name for name in machine or ()} or None)
    table.loss(metric)
    if out is not None:
        write_cross_table(table, out, provenance())
    if as_json:
        print_json(table.to_dict())
        return
    crossed(table, metric)
    if out is not None:
        show.line(f"As a heat map: {out / 'cross.html'}")


@app.command()
def codesign(
    space: SpaceFile,
    checkpoints: Annotated[
        list[Path], typer.Argument(help="Networks with a knob: train with --set knob=true.")
    ],
    floor: Annotated[float, typer.Option(help="Accuracy on validation inputs to be kept.")],
    prices: Prices = PRICES,
    out: Annotated[Path, typer.Option(help="Folder for all of it.")] = Path("out/codesign"),
    sampler: Sampler = "nsga2",
    trials: Trials = 200,
    seed: Seed = 0,
    batch: Batch = 16,
    workers: Workers = 0,
    dask: Dask = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Choose a machine and set the gates' knob for each other, under one floor on accuracy.

    Says what both gain over each alone. The same command goes on where it was stopped.
    """
    from dataclasses import asdict

    from dfs_hw.cli.show.exploration import codesigned
    from dfs_hw.codesign.codesign import codesign as run_codesign

    outcome = run_codesign(
        space,
        checkpoints,
        floor=floor,
        out=out,
        prices=numbers("prices", prices, float),
        progress=not quiet,
        sampler=sampler,
        trials=trials,
        seed=seed,
        batch=batch,
        workers=workers or os.cpu_count() or 1,
        dask=dask,
    )
    if as_json:
        print_json(asdict(outcome))
        return
    codesigned(outcome)
    show.line(f"The machine, as a file: {out / 'chosen.toml'}")


def _network(name: str) -> Any:
    """Layers of a network by name, for 32 x 32 colour images in 10 classes."""
    from dfs_hw.networks import build_network
    from dfs_hw.networks.workload_of import workload_of

    if name.endswith(".csv"):
        raise InputError(f"'{name}' is a file of layers: name it as layers, not as a network")
    built = build_network(name, CHOICES, classes=10, in_channels=3)
    return workload_of(built, (IMAGE_SIDE, IMAGE_SIDE)).without_gates()
