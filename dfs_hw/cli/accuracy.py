"""The command that says what widths by layer cost a model in accuracy, beside what they save."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfs_hw.cli.app import app, print_json
from dfs_hw.cli.loading import load_machine
from dfs_hw.cli.options import DEFAULTS, Accelerator, AsJson, MachineSettings, Plugins

OwnModel = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION", help="A function that gives your trained model and an example."
    ),
]
OwnData = Annotated[
    str,
    typer.Option(
        help="digits, cifar10, cifar100, folder:PATH or folder@SIDE:PATH, or MODULE:FUNCTION that "
        "gives batches to calibrate and train on, and batches to evaluate on."
    ),
]
Policies = Annotated[
    list[Path],
    typer.Option(
        "--widths",
        metavar="FILE",
        help="Widths by layer: .toml of pattern = bits, .csv of name and precision, or .json, also "
        "of other tools; the last match wins. Repeat to compare.",
    ),
]
Quantizer = Annotated[str, typer.Option(help="How operands round: normal, lsq, nested or minmax.")]
Calibrated = Annotated[int, typer.Option("--calibration", help="Batches of calibration.", min=1)]
TrainedFor = Annotated[
    int, typer.Option("--epochs", help="Train each of them further for so many epochs.", min=0)
]
Rate = Annotated[float, typer.Option("--rate", help="Learning rate of training further.")]
OnnxOut = Annotated[
    Path | None,
    typer.Option("--onnx", help="Write the model at its widths; of several, those named last."),
]
OnnxForm = Annotated[
    str, typer.Option("--form", help="Of that file: qdq, or qonnx for widths other than 4, 8, 16.")
]
AnyBatch = Annotated[
    bool, typer.Option("--any-batch", help="Leave open how many inputs that file takes at once.")
]
BatchSize = Annotated[int, typer.Option(help="Images in a batch of --data by name.", min=1)]


@app.command()
def accuracy(
    model: OwnModel,
    widths: Policies,
    data: OwnData = DEFAULTS.data,
    quantizer: Quantizer = "normal",
    calibration: Calibrated = 8,
    epochs: TrainedFor = 0,
    rate: Rate = 1e-4,
    batch: BatchSize = 64,
    onnx: OnnxOut = None,
    form: OnnxForm = "qdq",
    any_batch: AnyBatch = False,
    accelerator: Accelerator = DEFAULTS.accelerator,
    machine_settings: MachineSettings = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy of your model at widths by layer, beside its price.

    dfs-hw accuracy nets:trained --widths widths.toml --data folder:photos
    """
    from accel_models.workloads.widths_file import read_widths
    from dfs_hw.cli.own_model import own_batches, own_model
    from dfs_hw.cli.show import accuracy as show
    from dfs_hw.fixed_widths.comparison import compare_policies

    machine = load_machine(accelerator, machine_settings)
    names = [path.name for path in widths]
    policies = {
        path.name if names.count(path.name) == 1 else str(path): read_widths(path)
        for path in widths
    }
    network, _ = own_model(model)
    found = compare_policies(
        network,
        policies,
        *own_batches(data, batch),
        machine,
        quantizer=quantizer,
        batches=calibration,
        epochs=epochs,
        learning_rate=rate,
        name=model.partition(":")[2],
    )
    if as_json:
        print_json(show.accuracy_facts(found))
    else:
        show.accuracies(found)
    if onnx is not None:
        from dfs_hw.fixed_widths.onnx_nodes import write_onnx

        write_onnx(found[-1].network, onnx, form, any_batch=any_batch)
        if not as_json:
            show.written(onnx, found[-1].name)
