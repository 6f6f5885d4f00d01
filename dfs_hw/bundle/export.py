"""A network that decides, written as files that anybody can run."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from accel_models.documents import read_json
from accel_models.errors import InputError
from accel_models.files import replaceable, whole_file, writable_folder
from dfs_hw.bundle.manifest import (
    FORMAT,
    MANIFEST,
    ZIP,
    BundledFile,
    BundledGate,
    BundledInput,
    GateSetting,
    Manifest,
)
from dfs_hw.bundle.marked import END, MarkedNetwork
from dfs_hw.data import Splits
from dfs_hw.gates import TableGate
from dfs_hw.networks.branches import executed
from dfs_hw.networks.checkpoint import digest
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.inputs import empty_input
from dfs_hw.onnx_export import exported
from dfs_hw.provenance import versions

OPSET = 20
"""Version of ONNX's operators in the files."""


@torch.no_grad()
def export_bundle(
    network: DynamicNetwork,
    out: Path | str,
    *,
    price: float | None = None,
    splits: Splits | None = None,
) -> Manifest:
    """Write a network as one ONNX file for each branch of a unit, each gate and exit, and each
    piece between units, with a manifest that says how they go together.

    All files take one input at a time. They compute what evaluation computes, on whole numbers held
    as floats: the same but for the rounding of floats.

    Args:
        network: calibrated or trained; it stays as it is.
        out: a folder that is new, empty, or holds an earlier bundle, which is replaced; or a file
            that ends in ``.zip``.
        price: of cost, 0 to 1, that a network with a knob goes by unless its user says otherwise.
        splits: what it was trained on: mean, deviation and names of classes go along.

    Returns:
        What the bundle says of itself.

    Raises:
        InputError: if a package is missing, PyTorch cannot export the model, it cannot be cut
            between its units, a price is missing or not expected, or the place cannot be written.
    """
    out = Path(out)
    gate = _gate(network, price)
    _require_place(out)
    whole = MarkedNetwork(network)
    example = torch.zeros_like(empty_input(network.image), device="cpu")
    model = exported(whole, (example,), whole.asks(), network.name, out, OPSET)
    from dfs_hw.bundle.cutting import Cutting  # onnx, which is there by now
    from dfs_hw.bundle.pieces import MarkedGraph

    cutting = Cutting(network, graph := MarkedGraph(model), whole.asks())
    units, after = cutting.units(), cutting.after()
    manifest = Manifest(
        network=network.name,
        weights=digest(network),
        input=_input(example, splits),
        logits=graph.shape(END),
        class_names=() if splits is None else splits.classes,
        choices=tuple(map(str, network.choices)),
        widths={
            str(one): None if one.full else (one.weight_bits, one.activation_bits)
            for one in executed(network.choices)
        },
        units=units,
        after=after,
        gate=gate,
        files={name: BundledFile.of(content) for name, content in cutting.contents.items()},
        versions={**versions(), "onnx": version("onnx"), "opset": str(OPSET)},
    ).sealed()
    _write(out, {**cutting.contents, MANIFEST: manifest.to_json()})
    return manifest


def _gate(network: DynamicNetwork, price: float | None) -> BundledGate:
    """What decides.

    Raises:
        InputError: if the price is not one, or there is none and should be, or the reverse.
    """
    gate, family = network.gate, network.design.gate
    if isinstance(gate, TableGate):
        if price is not None:
            raise InputError(f"{network.name} has no knob for a price of cost: its table is")
        rows = zip(gate.cost.tolist(), gate.accuracy.tolist(), gate.table.tolist(), strict=True)
        settings = tuple(
            GateSetting(cost, accuracy, tuple(map(tuple, table))) for cost, accuracy, table in rows
        )
        return BundledGate(family, None, settings, int(gate.point))
    if gate.knob and price is None:
        raise InputError(f"{network.name} has a knob: give the price of cost that it goes by")
    if price is not None and not gate.knob:
        raise InputError(f"{network.name} has no knob: it cannot follow a price of cost")
    if price is not None and not 0 <= price <= 1:
        raise InputError(f"a price of cost is from 0 to 1, got {price}")
    return BundledGate(family, price)


def _input(example: torch.Tensor, splits: Splits | None) -> BundledInput:
    shape, kind = tuple(example.shape), str(example.numpy().dtype)
    if splits is None:
        return BundledInput(shape, kind)
    data = splits.train
    return BundledInput(shape, kind, tuple(data.mean.tolist()), tuple(data.std.tolist()))


def _require_place(out: Path) -> None:
    """Refuse a place with something in it that is no bundle, before work begins."""
    if out.suffix.lower() == ZIP:
        replaceable(out)
    elif any(writable_folder(out).iterdir()) and not _holds_bundle(out):
        raise InputError(f"the folder {out} holds something else than a bundle: name another")


def _holds_bundle(folder: Path) -> bool:
    try:
        said = read_json(folder / MANIFEST)
    except InputError:
        return False
    return isinstance(said, Mapping) and said.get("format") == FORMAT


def _write(out: Path, contents: Mapping[str, bytes]) -> None:
    """Write files; the manifest is the last of them, and of an earlier bundle nothing stays."""
    if out.suffix.lower() == ZIP:
        with whole_file(out) as partial, zipfile.ZipFile(partial, "w") as file:
            for name, content in contents.items():
                # A date of its own would make equal bundles unequal.
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(entry, content)
        return
    for old in (out / MANIFEST, *out.glob("*.onnx"), *out.glob("unit*/*.onnx")):
        old.unlink(missing_ok=True)
    for name, content in contents.items():
        with whole_file(out / name) as partial:
            partial.write_bytes(content)


__all__ = ["export_bundle"]
