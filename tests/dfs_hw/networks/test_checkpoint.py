"""Networks on disk."""

import json
import math
import random
import struct
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from trainings import Mine, equal_states

from accel_models.errors import DfsHwError, InputError
from dfs_hw.networks import Design, DynamicNetwork, build_network, make_dynamic
from dfs_hw.networks.checkpoint import load_checkpoint, read_facts, save_checkpoint
from dfs_hw.networks.cifar_resnet import BasicBlock
from dfs_hw.networks.finite import why_not_finite
from dfs_hw.tensor_file import write_tensors


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
    write_tensors(path, "checkpoint", tensors, {"shape": {}})
    with pytest.raises(InputError, match="'shift' is not in the file"):
        load_checkpoint(path, mine(4))


def test_statistics_of_one_width_are_never_taken_for_those_of_another(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "mine.safetensors", mine(), {})
    for choices in ("skip,4,8", "8,2,skip"):  # tensors of the same names and shapes
        other = make_dynamic(Mine(4), choices, image=(1, 8, 8), blocks=BasicBlock)
        before = {name: value.clone() for name, value in other.state_dict().items()}
        with pytest.raises(InputError, match=f"choices skip,2,8, and the network has {choices}"):
            load_checkpoint(path, other)
        for name, value in other.state_dict().items():
            assert torch.equal(value.nan_to_num(), before[name].nan_to_num()), name


def test_damaged_and_foreign_files_are_told_apart(tmp_path: Path) -> None:
    network = build_network("resnet8", "skip,8", 3, 1, image_size=(8, 8), widths=(4, 4, 4))
    whole = save_checkpoint(tmp_path / "whole.safetensors", network, {})
    short = tmp_path / "short.safetensors"
    short.write_bytes(whole.read_bytes()[:-100])
    text = tmp_path / "text.safetensors"
    text.write_text("not a network")
    foreign = {"foreign": None, "list": {"dfs-hw": "[]"}, "deep": {"dfs-hw": "[" * 10**5}}
    for name, metadata in foreign.items():
        save_file({"a": torch.zeros(2)}, tmp_path / f"{name}.safetensors", metadata)
    for name, change in (("other", {"classes": 4}), ("newer", {"colour": "blue"})):
        facts = {"shape": network.shape | change}
        place = tmp_path / f"{name}.safetensors"
        write_tensors(place, "checkpoint", network.state_dict(), facts)
    for name, complaint in (
        ("absent", "there is no checkpoint"),
        ("short", "short.safetensors is damaged"),
        ("text", "text.safetensors is damaged"),
        ("foreign", "no dfs-hw checkpoint"),
        ("list", "no dfs-hw checkpoint"),
        ("deep", "no dfs-hw checkpoint"),
        ("other", "does not fit resnet8"),
        ("newer", "of another version.*colour"),
    ):
        with pytest.raises(InputError, match=complaint):
            load_checkpoint(tmp_path / f"{name}.safetensors")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = build_network("resnet8", "skip,8", 3, 1, image_size=(8, 8), widths=(2, 2, 2), seed=1)
    folder = tmp_path_factory.mktemp("small")
    return save_checkpoint(folder / "n.safetensors", network, {"price": 0.5})


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_flipped_bit_is_refused(small: Path, tmp_path: Path) -> None:
    content, path = small.read_bytes(), tmp_path / "flipped.safetensors"
    (header,) = struct.unpack("<Q", content[:8])
    about = json.loads(content[8 : 8 + header])
    drawn = random.Random(0)
    for _ in range(400):
        byte = drawn.choice(
            (drawn.randrange(8 + header), drawn.randrange(8 + header, len(content)))
        )
        path.write_bytes(flipped(content, 8 * byte + drawn.randrange(8)))
        hit = [
            name
            for name, one in about.items()
            if name != "__metadata__"
            and one["data_offsets"][0] <= byte - 8 - header < one["data_offsets"][1]
        ]
        said = f"tensor '{hit[0]}' does not match its checksum" if hit else "flipped.safetensors"
        with pytest.raises(InputError, match=said):
            load_checkpoint(path)


def test_tensors_cannot_change_places_names_or_types(small: Path, tmp_path: Path) -> None:
    tensors, path = load_file(small), tmp_path / "n.safetensors"
    with safe_open(small, "pt") as file:
        metadata = file.metadata()
    first, other = [name for name in tensors if tensors[name].ndim == 4][:2]
    swapped = tensors | {first: tensors[other], other: tensors[first]}
    renamed = {f"{name}_" if name == first else name: value for name, value in tensors.items()}
    for changed in (
        swapped,
        renamed,
        {name: value for name, value in tensors.items() if name != first},
        tensors | {first: tensors[first].view(torch.int32)},
        tensors | {first: tensors[first].reshape(-1, 1)},
    ):
        save_file(changed, path, metadata)
        with pytest.raises(InputError, match=f"damaged: .*'{first}"):
            load_checkpoint(path)
    save_file(tensors, path, metadata)
    load_checkpoint(path)


def test_a_checkpoint_of_0_1_is_read_with_a_warning_and_written_with_checksums(
    tmp_path: Path,
) -> None:
    network, path = mine(seed=1), tmp_path / "old.safetensors"
    facts = {"dfs-hw": json.dumps({"shape": {}, "price": 0.5})}
    save_file({name: x.clone() for name, x in network.state_dict().items()}, path, facts)
    with pytest.warns(
        UserWarning, match=r"old\.safetensors is of version 0\.1 and has no checksums"
    ):
        saved = load_checkpoint(path, mine(seed=2))
    assert equal_states(saved.network, network)
    assert saved.price == 0.5
    save_checkpoint(path, saved.network, saved.facts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_checkpoint(path, mine(seed=2)).price == 0.5


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("classes", -1, "classes must be 1 to"),
        ("in_channels", 10**18, "in_channels must be 1 to"),
        ("choices", 5, "a choice set has several choices"),
        ("widths", "wide", "describes a network of another version"),
        ("depth", 3, "describes a network of another version"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*has no checksums")
def test_a_shape_that_no_network_has_is_refused(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    path = tmp_path / "old.safetensors"
    shape = build_network("resnet8", "2,8", 10).shape | {field: value}
    save_file({}, path, {"dfs-hw": json.dumps({"shape": shape})})
    with pytest.raises(InputError, match=said):
        load_checkpoint(path)


@pytest.mark.filterwarnings("ignore:.*has no checksums")
def test_choices_of_a_checkpoint_are_words(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({}, path, {"dfs-hw": json.dumps({"shape": {}, "choices": 5})})
    with pytest.raises(InputError, match="choices"):
        load_checkpoint(path, mine())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_neither_written_nor_read(
    tmp_path: Path, value: float
) -> None:
    network, path = mine(), tmp_path / "n.safetensors"
    parameter = next(name for name, _ in network.named_parameters())
    network.get_parameter(parameter).data.view(-1)[0] = value
    with pytest.raises(DfsHwError, match=f"'{parameter}' is not finite, its training diverged"):
        save_checkpoint(path, network, {})
    assert not path.exists()
    write_tensors(path, "checkpoint", network.state_dict(), {"shape": {}})
    other, before = mine(seed=2), mine(seed=2)
    with pytest.raises(InputError, match=f"'{parameter}' is not finite, its training diverged"):
        load_checkpoint(path, other)
    assert equal_states(other, before)
    assert "its training diverged" in why_not_finite(network)


def test_what_activations_were_not_seen_yet_is_no_divergence(tmp_path: Path) -> None:
    for quantizer in ("normal", "lsq", "nested", "minmax"):
        network = build_network(
            "resnet8", "skip,2,8", 3, 1, image_size=(8, 8), design=Design(quantizer=quantizer)
        )
        assert any(tensor.isnan().any() for tensor in network.state_dict().values())
        assert "has not been trained" in why_not_finite(network)
        load_checkpoint(save_checkpoint(tmp_path / quantizer, network, {}))
