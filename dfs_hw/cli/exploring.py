"""Commands that look for machines: explore, cross and codesign."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from accel_models.metrics import named, names, replayed
from dfs_hw.cli.app import app, print_json
from dfs_hw.cli.loading import load_network, numbers
from dfs_hw.cli.options import (
    PRICES,
    Accelerators,
    AsJson,
    Dask,
    MachinesTried,
    MoreTraces,
    NoTraceOption,
    Overwrite,
    OwnNetwork,
    Plugins,
    Prices,
    ProposedAtATime,
    Quiet,
    Sampler,
    SamplingSeed,
    SpaceFile,
    Traces,
    Workers,
)
from dfs_hw.cli.own_model import register_own_model
from dfs_hw.cli.show import tables as show


@app.command()
def explore(
    space: SpaceFile,
    traces: MoreTraces = None,
    out: Annotated[Path, typer.Option(help="Folder for the study.")] = Path("out/explore"),
    sampler: Sampler = "nsga2",
    trials: MachinesTried = 200,
    seed: SamplingSeed = 0,
    batch: ProposedAtATime = 16,
    workers: Workers = 0,
    dask: Dask = "",
    storage: Annotated[
        str, typer.Option(metavar="URL", help="Database for Optuna; default: a file in OUT.")
    ] = "",
    quiet: Quiet = False,
    plugins: Plugins = None,
    as_json: AsJson = False,
    _: NoTraceOption = None,
) -> None:
    """Search machines for the best ones under recorded traces, and say what matters.

    OUT gets study.html, trials.parquet, study.json and chosen.toml. The same command goes on where
    it was stopped.
    """
    from accel_models.exploration import explore as run_exploration
    from dfs_hw.cli.show.exploration import exploration
    from dfs_hw.provenance import provenance

    found = run_exploration(
        space,
        traces or (),
        out=out,
        networks=load_network,
        progress=not quiet,
        sampler=sampler,
        trials=trials,
        seed=seed,
        batch=batch,
        workers=workers or os.cpu_count() or 1,
        dask=dask,
        storage=storage,
    )
    record = found.write(provenance())
    if as_json:
        print_json(record)
        return
    exploration(found, record)


@app.command()
def cross(
    traces: Traces,
    accelerator: Accelerators = None,
    metric: Annotated[str, typer.Option(help=f"{names(replayed())}.")] = "energy",
    out: Annotated[Path | None, typer.Option(help="Folder for cross.html and cross.json.")] = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Policies trained for some machines, run on others: what it costs not to have one's own."""
    from accel_models.exploration import cross_table
    from accel_models.exploration.report import write_cross_table
    from dfs_hw.cli.show.exploration import crossed
    from dfs_hw.provenance import provenance

    asked = named(metric, replayed()).name
    table = cross_table(traces, {name: name for name in accelerator or ()} or None)
    if out is not None:
        write_cross_table(table, out, provenance())
    if as_json:
        print_json(table.to_dict())
        return
    crossed(table, asked)
    if out is not None:
        show.line(f"As a heat map: {out / 'cross.html'}")


@app.command()
def codesign(
    space: SpaceFile,
    checkpoints: Annotated[
        list[Path], typer.Argument(help="Networks with a knob: train with --set knob=true.")
    ],
    floor: Annotated[float, typer.Option(help="Accuracy on validation inputs to be kept.")],
    network: OwnNetwork = None,
    prices: Prices = PRICES,
    out: Annotated[Path, typer.Option(help="Folder for all of it.")] = Path("out/codesign"),
    overwrite: Overwrite = False,
    sampler: Sampler = "nsga2",
    trials: MachinesTried = 200,
    seed: SamplingSeed = 0,
    batch: ProposedAtATime = 16,
    workers: Workers = 0,
    dask: Dask = "",
    quiet: Quiet = False,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Choose a machine and set the gates' knob for each other, under one floor on accuracy.

    Says what both gain over each alone. The same command goes on where it was stopped.
    """
    from dataclasses import asdict

    from dfs_hw.cli.show.exploration import codesigned
    from dfs_hw.codesign import codesign as run_codesign

    register_own_model(network or "")
    outcome = run_codesign(
        space,
        checkpoints,
        floor=floor,
        out=out,
        prices=numbers("prices", prices, float),
        progress=not quiet,
        overwrite=overwrite,
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
