"""The command that lists networks whose layers are known by name, and writes them as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accel_models.errors import InputError
from dfs_hw.cli.app import app, print_json
from dfs_hw.cli.loading import load_workload
from dfs_hw.cli.options import IMAGE_SIDE, AsJson, OpenSizes, WidthsFile


@app.command()
def networks(
    name: Annotated[
        str, typer.Argument(help="One of the list, a .csv or .onnx file, or module:function.")
    ] = "",
    csv: Annotated[
        Path | None, typer.Option(help="Write its layers as a table that simulate reads.")
    ] = None,
    sizes: OpenSizes = None,
    widths: WidthsFile = None,
    as_json: AsJson = False,
) -> None:
    """Networks known by name; the layers of one, or of a model of your own, as a table.

    dfs-hw networks mynets:small --csv small.csv
    """
    from accel_models.files import ending_in
    from accel_models.workloads.cifar_resnet import NAMES
    from accel_models.workloads.layer_csv import listed_input, listed_networks
    from accel_models.workloads.write_csv import write_layers
    from dfs_hw.cli.show import networks as show

    if not name and (csv or widths or sizes):
        option = "--csv" if csv else "--widths" if widths else "--size"
        raise InputError(f"{option} goes with a network: dfs-hw networks NAME {option} ...")
    if not name:
        # Where both have a name, the layer list is what the name stands for.
        known = dict.fromkeys([*listed_networks(), *NAMES])
        small = f"image of {IMAGE_SIDE} x {IMAGE_SIDE}"
        inputs = {one: listed_input(one) if one in listed_networks() else small for one in known}
        found = {one: load_workload(one) for one in known}
        if as_json:
            print_json([show.network_facts(found[one]) | {"input": inputs[one]} for one in known])
        else:
            show.network_list([(found[one], inputs[one]) for one in known])
        return
    workload = load_workload(name, widths=widths, sizes=sizes)
    if csv is not None:
        write_layers(workload, ending_in(csv, ".csv", "tables of layers"))
    if as_json:
        print_json(show.network_facts(workload) | {"layers": show.layer_facts(workload)})
        return
    show.network(workload)
    if csv is not None:
        show.written(csv)
