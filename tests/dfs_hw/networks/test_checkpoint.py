"""Networks on disk."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from trainings import Mine, equal_states

from accel_models.errors import InputError
from dfs_hw.networks import Design, DynamicNetwork, build_network, make_dynamic
from dfs_hw.networks.checkpoint import load_checkpoint, read_facts, save_checkpoint
from dfs_hw.networks.cifar_resnet import BasicBlock


def mine(features: int = 4, seed: int = 0) -> DynamicNetwork:
    torch.manual_seed(seed)
    return make_dynamic(Mine(features), "skip,2,8", image=(1, 8, 8), blocks=BasicBlock)


@pytest.mark.parametrize(
    "design", [Design(), Design(gate="upfront", quantizer="lsq", first_block=True, knob=True)]
)
def test_checkpoints_come_back_as_they_were(tmp_path: Path, design: Design) -> None:
    network = build_network(
        "resnet8", "skip,4/8,8", 3, 2, image_size=(8, 8), widths=(4, 5, 6), design=design, seed=2
    )
    network.shift.add_(torch.rand(network.shift.shape))
    path = save_checkpoint(tmp_path / "deep" / "n.safetensors", network, {"note": "hello"})
    saved = load_checkpoint(path)
    assert equal_states(network, saved.network)
    assert (saved.network.choices, saved.network.design) == (network.choices, design)
    assert saved.facts["note"] == read_facts(path)["note"] == "hello"
    assert "torch" in saved.facts["versions"]
    assert saved.price is None
    assert not saved.network.training
    assert [file.name for file in path.parent.iterdir()] == ["n.safetensors"]


def test_the_price_of_a_knob_comes_back(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "n.safetensors", mine(), {"price": 0.25})
    assert load_checkpoint(path, mine()).price == 0.25


def test_a_network_made_elsewhere_fills_one_made_alike(tmp_path: Path) -> None:
    network, other = mine(seed=1), mine(seed=2)
    path = save_checkpoint(tmp_path / "mine.safetensors", network, {})
    assert read_facts(path)["shape"] == {}
    assert not equal_states(network, other)
    assert load_checkpoint(path, other).network is other
    assert equal_states(network, other)
    with pytest.raises(InputError, match="made elsewhere"):
        load_checkpoint(path)


def test_a_network_that_does_not_fit_stays_as_it_is(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "mine.safetensors", mine(4), {})
    wide, before = mine(5), mine(5)
    with pytest.raises(InputError, match=r"does not fit Mine: .* is \[\d.* in the file, \[\d"):
        load_checkpoint(path, wide)
    assert equal_states(wide, before)
    tensors = load_file(path)
    del tensors["shift"]
    save_file(tensors, path, {"dfs-hw": json.dumps({"shape": {}})})
    with pytest.raises(InputError, match="'shift' is not in the file"):
        load_checkpoint(path, mine(4))


def test_damaged_and_foreign_files_are_told_apart(tmp_path: Path) -> None:
    network = build_network("resnet8", "skip,8", 3, 1, image_size=(8, 8), widths=(4, 4, 4))
    whole = save_checkpoint(tmp_path / "whole.safetensors", network, {})
    short = tmp_path / "short.safetensors"
    short.write_bytes(whole.read_bytes()[:-100])
    text = tmp_path / "text.safetensors"
    text.write_text("not a network")
    files = {
        "foreign": ({"a": torch.zeros(2)}, None),
        "list": ({"a": torch.zeros(2)}, {"dfs-hw": "[]"}),
        "other": (
            dict(network.state_dict()),
            {"dfs-hw": json.dumps({"shape": {**network.shape, "classes": 4}})},
        ),
        "newer": (
            dict(network.state_dict()),
            {"dfs-hw": json.dumps({"shape": {**network.shape, "colour": "blue"}})},
        ),
    }
    for name, (tensors, metadata) in files.items():
        save_file(tensors, tmp_path / f"{name}.safetensors", metadata)
    for name, complaint in (
        ("absent", "there is no checkpoint"),
        ("short", "short.safetensors is damaged"),
        ("text", "text.safetensors is damaged"),
        ("foreign", "no dfs-hw checkpoint"),
        ("list", "no dfs-hw checkpoint"),
        ("other", "does not fit resnet8"),
        ("newer", "of another version.*colour"),
    ):
        with pytest.raises(InputError, match=complaint):
            load_checkpoint(tmp_path / f"{name}.safetensors")
