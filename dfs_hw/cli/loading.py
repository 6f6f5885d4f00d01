"""What commands are given by name or as text, read alike in all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from accel_models.documents import parse_json
from accel_models.errors import InputError
from accel_models.workloads.csv_rows import MAX_DIGITS
from dfs_hw.cli.options import DEFAULTS, IMAGE_SIDE
from dfs_hw.cli.own_model import names_own_model, own_workload, register_own_model
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.recipes import read_setting, recipe

if TYPE_CHECKING:  # NumPy and all that simulates, which `--help` need not wait for
    from accel_models import Accelerator, Workload
    from accel_models.trace import TraceHeader

CLASSES = 10

Number = TypeVar("Number", int, float)


def load_machine(name: str, settings: list[str] | None = None, *, plugin: str = "") -> Accelerator:
    """A machine of the library or of a file, with fields changed as FIELD=VALUE says; `plugin` is
    that of which it is said to be.

    Raises:
        InputError: if there is no such machine or field, or the value is none for it.
    """
    from accel_models import load_accelerator

    machine = load_accelerator(name, plugin=plugin)
    return machine.configured(**dict(map(_field, settings))) if settings else machine


def load_traced_machine(
    trace: Path, header: TraceHeader, asked: str, settings: list[str] | None = None
) -> Accelerator:
    """The machine that is asked for, or else the one that a trace names.

    Raises:
        InputError: if neither is.
    """
    if not (asked or header.accelerator):
        raise InputError(f"{trace} names no machine: say which with --accelerator")
    if asked:
        return load_machine(asked, settings)
    return load_machine(header.accelerator, settings, plugin=header.plugin)


def load_workload(
    network: str,
    side: int | None = None,
    widths: Path | None = None,
    sizes: list[str] | None = None,
) -> Workload:
    """The layers that `named_workload` finds, at the widths that a file gives them by name, which
    `Workload.assumed` then says.

    Raises:
        InputError: as `named_workload`; or naming the file of widths, if it cannot be read or
            names no layer.
    """
    workload = named_workload(network, side, sizes)
    if widths is None:
        return workload
    from accel_models.workloads.widths import given_to
    from accel_models.workloads.widths_file import read_widths

    policy = read_widths(widths)
    settled = len(given_to(workload.layers, workload.name, policy))
    said = (
        f"widths that {widths.name} gives hold whatever is asked for: {settled} of "
        f"{len(workload.layers)} layers"
    )
    return replace(workload.with_widths(policy), assumed=(*workload.assumed, said))


def named_workload(
    network: str, side: int | None = None, sizes: list[str] | None = None
) -> Workload:
    """The layers of a network by name, without gates, for square colour images in 10 classes; those
    of a layer list that comes with the package; those of a model of one's own; or those of a CSV or
    ONNX file.

    Args:
        network: such as ``resnet20`` or ``resnet50``, a function that gives a model and an example
            as ``module:function``, or the path of a file that ends in ``.csv`` or ``.onnx``.
        side: of the images, in pixels; by default `IMAGE_SIDE`.
        sizes: that an ONNX file leaves open, as NAME=N.

    Raises:
        InputError: if a file is given a side, or cannot be read, or sizes are given for something
            else than an ONNX file.
    """
    if network.endswith(".onnx"):
        from accel_models.workloads.onnx_file import read_onnx

        if side is not None:
            raise InputError(f"{network} states the sizes of its input: --image cannot apply")
        return read_onnx(network, dict(map(_size, sizes or [])))
    if sizes:
        raise InputError(f"{network} is no .onnx file, the only one whose sizes --size gives")
    if network.endswith(".csv"):
        from accel_models.workloads.layer_csv import read_layers

        if side is not None:
            raise InputError(f"{network} states the sizes of its layers: --image cannot apply")
        return read_layers(network)
    if names_own_model(network):
        if side is not None:
            raise InputError(f"{network} gives an example of its input: --image cannot apply")
        return own_workload(network)
    from accel_models.workloads.layer_csv import listed_input, listed_network, listed_networks

    if network in listed_networks():
        if side is not None:
            given = listed_input(network)
            raise InputError(f"the layer list of {network} is for {given}: --image cannot apply")
        return listed_network(network)
    side = side or IMAGE_SIDE
    from accel_models.workloads.cifar_resnet import NAMES, cifar_resnet

    if network in NAMES:  # layers alone: loading PyTorch takes longer than all that is asked for
        return cifar_resnet(NAMES[network], classes=CLASSES, image_size=(side, side))
    from dfs_hw.networks import build_network
    from dfs_hw.networks.workload_of import workload_of

    built = build_network(network, DEFAULTS.choices, classes=CLASSES, in_channels=3)
    return workload_of(built, (side, side)).without_gates()


def load_network(name: str) -> Workload:
    """The layers of a network by name only: a space file has a word of its own for CSV files.

    Raises:
        InputError: if it is a CSV file, or no network has that name.
    """
    if name.endswith(".csv"):
        raise InputError(f"'{name}' is a file of layers: name it as layers, not as a network")
    return load_workload(name)


_GOES_WITH: dict[str, tuple[str, Any]] = {
    "temperature": ("estimator", "gumbel"),
    "top_price": ("knob", True),
    "controller": ("knob", False),
    "beta": ("knob", False),
}
"""What other setting some settings have an effect with alone."""


def training_config(
    data: str,
    style: str,
    epochs: int | None,
    settings: list[str] | None,
    *,
    several: bool = False,
    **given: Any,
) -> TrainConfig:
    """The recipe for the data, changed by what was given on the command line.

    Args:
        data: see `dfs_hw.load_dataset`.
        style: one of `recipes.STYLES`.
        epochs: of every stage that is long.
        settings: others, as NAME=VALUE.
        several: whether networks with a knob and without are trained.
        given: fields of `TrainConfig`; None leaves one as the recipe has it.

    Raises:
        InputError: if settings cannot be used, or one would have no effect.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    if epochs is not None:
        stages = ("backbone", "supernet", "joint") if style != "paper" else ("backbone", "joint")
        for stage in stages:
            changes |= {f"{stage}_epochs": epochs, f"{stage}_steps": 0}
    named = dict(read_setting(text) for text in settings or [])
    config = recipe(data, style, **changes | named)
    for name in named.keys() & _GOES_WITH.keys():
        other, needed = _GOES_WITH[name]
        if getattr(config, other) != needed and not (several and other == "knob"):
            raise InputError(
                f"{name} has no effect with {other}={str(getattr(config, other)).lower()}: "
                f"it goes with {other}={str(needed).lower()}"
            )
    register_own_model(config.network)
    return config


def words(text: str) -> list[str]:
    """What stands between the commas of a list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """What an option of this name takes: numbers with commas between them.

    Raises:
        InputError: if something else stands there.
    """
    try:
        return [kind(part) for part in words(text)]
    except ValueError as error:
        raise InputError(
            f"--{option} takes numbers with commas between them, got '{text}'"
        ) from error


def _size(text: str) -> tuple[str, int]:
    """Name and size of a dimension."""
    name, _, size = text.rpartition("=")
    if not (name and size.strip().isdecimal() and len(size.strip()) <= MAX_DIGITS):
        raise InputError(f"--size {text}: write NAME=N, such as batch=1")
    return name.strip(), int(size)


def _field(text: str) -> tuple[str, Any]:
    """Field and value as `Accelerator.configured` takes them."""
    path, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--machine-set {text}: write FIELD=VALUE, such as storage.weights=copies")
    name = path.strip().replace(".", "__")
    try:
        json.loads(value)
    except (ValueError, RecursionError):  # a word, which stands without quotes here
        return name, value.strip()
    return name, parse_json(value, f"--machine-set {path.strip()}")
