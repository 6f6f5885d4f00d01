"""Networks written as a bundle, and what the runtime of bundle.md makes of them."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deciding import SIDE, images, trained
from pages import ran
from places import ROOT
from torch import Tensor, nn

from accel_models.errors import InputError
from dfs_hw.bundle import export_bundle, read_manifest
from dfs_hw.bundle.manifest import MANIFEST, BundledFile
from dfs_hw.data import Dataset, Splits
from dfs_hw.gates import POINTS, ConfidenceGate, ErrorGate
from dfs_hw.gates.confidence import ALWAYS, NEVER_SURE
from dfs_hw.gates.estimated_error import UNCHANGED
from dfs_hw.networks import Design, DynamicNetwork, make_dynamic
from dfs_hw.networks.checkpoint import save_checkpoint
from dfs_hw.training.config import TrainConfig

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow

Runtime = Callable[..., Any]
SHARE = 0.01
"""How far logits may lie apart, of the largest: a number halfway between levels may be rounded to
the other one."""
SETTING = 20


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.norm(self.conv(x))).relu()


class Pooled(nn.Module):
    """Two blocks with a pool between them.

    Args:
        around: whether what is before the first block is read behind the second one, too.
    """

    def __init__(self, around: bool) -> None:
        super().__init__()
        self.around = around
        self.stem, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 5)
        self.first, self.second = Block(), Block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.second(nn.functional.max_pool2d(self.first(x), 2)).mean((2, 3))
        return self.head(y + x.mean((2, 3)) if self.around else y)


def pooled(around: bool, choices: str, **design: Any) -> DynamicNetwork:
    torch.manual_seed(0)
    made = Design(first_block=True, **design)
    network = make_dynamic(
        Pooled(around), choices, image=(1, SIDE, SIDE), blocks=Block, design=made
    )
    network.calibrate([images(24)])
    return network.eval()


def confident() -> DynamicNetwork:
    """A network with an exit before its last unit, and thresholds amid what its inputs reach."""
    network = pooled(False, "4,8,exit", gate="confidence", exits=("second",))
    gate, four, eight, leave = network.gate, 0, 1, 2
    assert isinstance(gate, ConfidenceGate)
    with torch.no_grad():
        network.exits["1"].classes.weight.mul_(20)
        beliefs, _ = network.all_beliefs(images(64), network.uniform("8"))
        reached = gate.confidence(1, beliefs[:, 0])
        table = torch.full((POINTS, 2, 3), NEVER_SURE)
        table[:, 0, eight] = table[:, 1, eight] = ALWAYS
        for point, share in enumerate(torch.linspace(0.3, 0.9, POINTS)):
            table[point, 1, leave] = reached.quantile(share)
            table[point, 1, four] = reached.quantile(share - 0.3)
        gate.adopt(table, torch.linspace(0, 1, POINTS), torch.linspace(0, 1, POINTS))
    gate.point.fill_(SETTING)
    return network


def by_error() -> DynamicNetwork:
    """A network whose table charges what its estimates of the inputs at hand lie around."""
    network = pooled(False, "skip,4,8", gate="error")
    gate = network.gate
    assert isinstance(gate, ErrorGate)
    gate.know(torch.tensor([[0.0, -1.0, UNCHANGED]]), torch.tensor([[3.0, 2.0, 0.0]]))
    with torch.no_grad():
        skipped, narrowed, _ = gate.error(0, network.model.stem(images(64)).relu()).median(0).values
    rows = torch.zeros(POINTS, 2, 3)
    rows[1:] = torch.stack([skipped * 0, skipped - narrowed, skipped * 0.99]).float()
    gate.adopt(rows, torch.linspace(0, 1, POINTS), torch.linspace(0, 1, POINTS))
    gate.point.fill_(SETTING)
    return network


def splits() -> Splits:
    data = Dataset("d", torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1), *torch.tensor([[0.5], [2]]))
    return Splits(data, data, data, tuple("abcde"))


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page defines, run in a folder of its own on a network that goes by confidence."""
    return {"network": confident(), "splits": splits(), "images": images(1)}


@pytest.fixture(scope="module")
def written(page: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = [said for _, said in ran(ROOT / "docs" / "bundle.md", page)]
    assert said[-1].startswith("class ")
    return folder / "bundle"


def check_alike(
    network: DynamicNetwork, bundle: Runtime, x: Tensor, price: float | None = None
) -> set[str]:
    """Decisions, classes and logits of every input; returns all choices that inputs have made."""
    prices = None if price is None else torch.full((len(x),), price)
    with torch.no_grad():
        ours = network.eval()(x, price=prices)
    near, made = SHARE * float(ours.logits.abs().max()), set[str]()
    for image, logits, choices in zip(x.numpy(), ours.logits.numpy(), ours.choices, strict=True):
        theirs, chosen = bundle(image[None])
        words = [str(network.choices[choice]) for choice in choices]
        assert chosen == words[: words.index("exit") + 1 if "exit" in words else None]
        assert theirs.argmax() == logits.argmax()
        np.testing.assert_allclose(theirs[0], logits, rtol=0, atol=near)
        made |= set(chosen)
    return made


@pytest.mark.parametrize("setting", [None, 0])
def test_a_network_that_goes_by_confidence_leaves_the_house(
    page: dict[str, Any], written: Path, setting: int | None
) -> None:
    network = page["network"]
    network.gate.point.fill_(SETTING if setting is None else setting)
    assert check_alike(network, page["Bundle"](written, setting=setting), images(40)) == {
        *("4", "8", "exit")
    }
    manifest = read_manifest(written)
    assert manifest.gate.setting == SETTING
    assert (manifest.input.mean, manifest.input.std) == ((0.5,), (2.0,))
    assert [unit.exit for unit in manifest.units] == [None, "unit1/exit.onnx"]
    assert [unit.before for unit in manifest.units] == ["unit0/before.onnx", "unit1/before.onnx"]


def test_a_network_that_goes_by_estimated_error_leaves_the_house(
    page: dict[str, Any], written: Path, tmp_path: Path
) -> None:
    network = by_error()
    export_bundle(network, tmp_path / "b")
    made = check_alike(network, page["Bundle"](tmp_path / "b"), images(40))
    assert len(made) > 1
    network.gate.point.fill_(0)  # where all is free
    assert check_alike(network, page["Bundle"](tmp_path / "b", setting=0), images(10)) == {"8"}


def test_a_network_with_a_memory_and_a_knob_leaves_the_house(
    page: dict[str, Any],
    written: Path,
    tmp_path: Path,
    printed: Callable[..., str],
    refused: Callable[..., str],
) -> None:
    network = trained("skip,2,exit", "resnet8", gate="lstm", knob=True)
    with torch.no_grad():  # so that each is chosen, and less at a higher price
        network.shift.copy_(torch.tensor([[1, -0.5, 0], [2, -0.5, 0]]))
        network.price_shift[:, 1] = 3
    facts = {"kind": "static", "stage": "at 2 bits", "config": asdict(TrainConfig())}
    kept, path = tmp_path / "n.safetensors", tmp_path / "bundle.zip"
    save_checkpoint(kept, network, facts)
    assert "holds no gated network, but the one of stage 'at 2 bits'" in refused("bundle", kept)
    with pytest.raises(InputError, match="has a knob: give the price"):
        export_bundle(network, path)
    save_checkpoint(kept, network, {**facts, "kind": "joint", "price": 0.5})
    said = printed("bundle", kept, "--out", path)
    manifest = read_manifest(path)
    assert f"2 blocks in {len(manifest.files)} ONNX files" in said
    assert manifest.class_names == tuple("0123456789")
    assert len(manifest.input.mean) == len(manifest.input.std) == 1
    made = check_alike(network, page["Bundle"](path), images(40), price=0.5)
    made |= check_alike(network, page["Bundle"](path, price=0.0), images(20), price=0.0)
    assert made == {"skip", "2", "exit"}


def test_networks_that_cannot_be_cut_are_refused(tmp_path: Path) -> None:
    why = "Pooled cannot be cut into files: what it puts out is made of the network's input, too"
    with pytest.raises(InputError, match=why):
        export_bundle(pooled(True, "2", gate="feedforward"), tmp_path / "b")
    assert not any((tmp_path / "b").iterdir())


def test_a_folder_of_something_else_stays_as_it_is(page: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_text("kept")
    with pytest.raises(InputError, match="holds something else than a bundle"):
        export_bundle(page["network"], tmp_path)
    assert (tmp_path / "mine.onnx").read_text() == "kept"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda b: (b / "unit1" / "8.onnx").unlink(), "it has no 'unit1/8.onnx'"),
        (lambda b: flip(b / "unit1" / "8.onnx"), "unit1/8.onnx does not match its digest"),
        (lambda b: say(b, "choices", ["8", "4", "exit"]), "does not match its digest"),
        (lambda b: say(b, "version", 2), "is of version 2, and 1 is what is read"),
        (lambda b: say(b, "format", "other"), "is not that of a dfs-hw bundle"),
        (lambda b: (b / "manifest.json").write_text("{"), "is not valid JSON"),
    ],
)
def test_damaged_bundles_are_refused(
    written: Path, damage: Callable[[Path], Any], why: str, tmp_path: Path
) -> None:
    copy = shutil.copytree(written, tmp_path / "b")
    damage(copy)
    with pytest.raises(InputError, match=why):
        read_manifest(copy)


@pytest.mark.parametrize("name", ["../outside.bin", "/etc/hostname"])
def test_a_bundle_is_of_what_lies_inside_it(written: Path, name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(written, tmp_path / "b")
    (tmp_path / "outside.bin").write_bytes(b"not ours")
    said = read_manifest(copy)
    more = {**said.files, name: BundledFile.of(b"not ours")}
    (copy / MANIFEST).write_bytes(replace(said, files=more).sealed().to_json())
    with pytest.raises(InputError, match="which is not inside the bundle"):
        read_manifest(copy)


def test_a_flipped_bit_of_an_archive_is_found_in_a_sentence(written: Path, tmp_path: Path) -> None:
    place = tmp_path / "flipped.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
        for path in written.rglob("*"):
            file.write(path, path.relative_to(written))
    whole, said = place.read_bytes(), read_manifest(place)
    draw = random.Random(0)
    for _ in range(200):
        content = bytearray(whole)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        place.write_bytes(content)
        with contextlib.suppress(InputError):  # a bit of a date, say, changes nothing
            assert read_manifest(place) == said


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no bundle"):
        read_manifest(tmp_path / "none")
    (tmp_path / "b.zip").write_bytes(b"PK and no more")
    with pytest.raises(InputError, match="is damaged, or no bundle"):
        read_manifest(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as file:
        file.writestr("other.txt", "")
    with pytest.raises(InputError, match=r"it has no 'manifest\.json'"):
        read_manifest(tmp_path / "c.zip")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def say(bundle: Path, name: str, value: object) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
