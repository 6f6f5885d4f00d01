"""Other people's models made dynamic: they compute what they did, and every layer is converted."""

import copy
import importlib
from typing import Any

import pages
import pytest
import torch
from models import (
    IMAGE,
    MODELS,
    SMALL,
    Plain,
    PlainBlock,
    basic_resnet,
    images,
    lived_in,
    logits_of,
    plain,
)
from places import ROOT
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.networks import NETWORKS, build_network, make_dynamic, register_network
from dfs_hw.networks.statistics import settle
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.quantize import PrecisionNorm, QuantizedConv2d, QuantizedLinear


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_at_full_precision_a_network_computes_what_its_model_does(name: str) -> None:
    build, blocks = MODELS[name]
    torch.manual_seed(0)  # logits near 0, of some weights in many, differ by more than their share
    model = lived_in(build()).eval()
    before = copy.deepcopy(model.state_dict())
    network = make_dynamic(model, "skip,4,full", image=IMAGE, blocks=blocks).eval()
    for size in ((32, 32), (41, 56)):
        x = images(3, (3, *size))
        outcome = network(x, network.uniform("full"))
        assert torch.allclose(outcome.logits, logits_of(model, x), rtol=1e-5, atol=1e-6)
    network.train()(x)
    settle(network)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(isinstance(m, QuantizedConv2d | PrecisionNorm) for m in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_converted_and_every_block_but_the_first_decided(name: str) -> None:
    build, blocks = MODELS[name]
    model = build()
    network = make_dynamic(model, "skip,4,8", image=IMAGE, blocks=blocks)
    kinds = {nn.Conv2d: QuantizedConv2d, nn.Linear: QuantizedLinear, nn.BatchNorm2d: PrecisionNorm}
    converted = dict(network.model.named_modules())
    for path, layer in model.named_modules():
        unit = next((u for u in network.units if path.startswith(f"{u}.")), None)
        if type(layer) in kinds:
            new = converted[path if unit is None else path.replace(unit, f"{unit}.block", 1)]
            assert type(new) is kinds[type(layer)]
            rows = 1 if unit is None else 2
            assert len(new.pending if isinstance(new, PrecisionNorm) else new.precisions) == rows
    wanted = {"basic": 7, "bottleneck": 5, "mobilenet": 15, "plain": 3}
    assert len(network.units) == wanted[name]
    assert network.name == type(model).__name__


def test_three_lines_make_a_network_that_decides() -> None:
    network = make_dynamic(basic_resnet(), image=IMAGE)
    outcome = network(images())
    assert outcome.logits.shape == (3, 5)
    assert outcome.choices.shape == (3, 7)
    assert [str(choice) for choice in network.choices] == ["skip", "2", "4", "8"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_gates_and_weights_learn_in_every_architecture(name: str) -> None:
    build, blocks = MODELS[name]
    network = make_dynamic(build(), "skip,4,8", image=IMAGE, blocks=blocks)
    network.calibrate([images(6)])
    network.normalize_by_batch(False)
    functional.cross_entropy(network(images(6)).logits, torch.arange(6) % 5).backward()
    settle(network)
    for head in network.gate.heads():
        assert head.weight.grad is not None
        assert head.weight.grad.any()
    layer = next(m for m in network.model.modules() if isinstance(m, QuantizedConv2d))
    assert layer.weight.grad is not None
    assert layer.weight.grad.any()


def zoo(library: str, name: str) -> nn.Module:
    """A model of a library that is not needed otherwise, and may not fit this PyTorch."""
    try:
        models = importlib.import_module(library)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{library} does not import: {error}")
    build = getattr(models, "create_model", None)
    model: nn.Module = build(name) if build else getattr(models, name)()
    return model


@pytest.mark.parametrize(
    ("library", "name", "units", "gmacs"),
    # Published figures, see test_workload.py.
    [
        ("torchvision.models", "resnet18", 7, 1.81),
        ("torchvision.models", "resnet50", 15, 4.09),
        ("torchvision.models", "mobilenet_v2", 16, 0.30),
        ("timm", "resnet18", 7, 1.81),
        ("timm", "mobilenetv2_100", 15, 0.30),
    ],
)
@torch.no_grad()
def test_models_of_the_usual_libraries_work_as_they_are(
    library: str, name: str, units: int, gmacs: float
) -> None:
    model = zoo(library, name).eval()
    network = make_dynamic(model, "skip,4,full", image=IMAGE).eval()
    assert len(network.units) == units
    x = images(2)
    logits = network(x, network.uniform("full")).logits
    assert torch.allclose(logits, model(x), rtol=1e-4, atol=1e-4 * float(logits.std()))
    assert round(workload_of(network, (224, 224)).without_gates().macs / 1e9, 2) == gmacs


# --- What it makes of models in other conditions


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@torch.no_grad()
def test_models_of_any_float_type_become_float32(dtype: torch.dtype) -> None:
    model = lived_in(Plain()).to(dtype).eval()
    network = make_dynamic(model, "skip,full", image=SMALL, blocks=PlainBlock).eval()
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert next(model.parameters()).dtype == dtype
    x = images(2, SMALL)
    logits = network(x, network.uniform("full")).logits
    assert torch.allclose(logits, copy.deepcopy(model).float()(x), rtol=1e-5, atol=1e-6)


def test_a_network_starts_in_training_and_what_was_frozen_stays_so() -> None:
    model = Plain()
    model.stem.requires_grad_(False)
    model.first.bn1 = nn.BatchNorm2d(6, affine=False)
    model.eval()
    network = make_dynamic(model, "skip,8", image=SMALL, blocks=PlainBlock)
    assert all(module.training for module in network.modules())
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    norm = {"model.first.bn1.weight", "model.first.bn1.bias"}
    assert frozen == {"model.stem.0.weight", "model.stem.0.bias"} | norm
    assert not any(module.training for module in model.modules())


def test_making_a_network_leaves_the_random_numbers_to_the_gates() -> None:
    """The survey draws weights, images and dropout of its own."""
    states = []
    for model in (Plain(), nn.Sequential(Plain(), nn.Dropout())):
        torch.manual_seed(2)
        network = make_dynamic(model, "skip,8", image=SMALL, blocks=PlainBlock)
        states.append(network.gate.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value.nan_to_num(), states[1][name].nan_to_num())


@torch.no_grad()
def test_a_saved_state_fits_a_network_made_again() -> None:
    first, second = plain(), plain()
    first.calibrate([images(4, SMALL)])
    assert first.state_dict().keys() == second.state_dict().keys()
    assert "model.second.block.conv1.weight" in first.state_dict()
    second.load_state_dict(first.state_dict())
    twin = copy.deepcopy(first)
    x = images(5, SMALL)
    for other in (second, twin):
        assert torch.equal(other.eval()(x).logits, first.eval()(x).logits)
    assert [choice.shape for choice in (twin(x[:1]).choices,)] == [(1, 3)]


class Aliased(Plain):
    """Some of its parts have two names."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.ModuleList([self.fourth, self.third, self.second, self.first])
        self.last = self.head

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in reversed(self.all):
            x = block(x)
        return self.last(x.mean((2, 3)))


def test_parts_with_several_names_are_replaced_under_all_of_them() -> None:
    network = make_dynamic(Aliased(), "skip,8", image=SMALL, blocks=PlainBlock)
    model = network.model
    assert network.units == ("second", "third", "fourth")
    assert model.all[0] is model.fourth is network.blocks[-1]
    assert model.last is model.head
    assert isinstance(model.head, QuantizedLinear)
    names = [name for name, _ in network.named_parameters() if "head" in name]
    assert "model.head.weight" in names


def test_models_can_be_known_by_name() -> None:
    def build(classes: int, channels: int, widths: object) -> nn.Module:
        model = Plain()
        model.head = nn.Linear(8, classes)
        return model

    register_network("mine", build, PlainBlock)
    try:
        network = build_network("mine", "skip,8", 7, image_size=(12, 12))
        again = build_network(**network.shape)
        assert network(images(2, SMALL)).logits.shape == (2, 7)
    finally:
        del NETWORKS["mine"]
    assert network.units == again.units
    with pytest.raises(InputError, match="'mine'"):
        build_network("mine", "skip,8", 7)


@pytest.mark.slow
def test_the_examples_of_the_document_run() -> None:
    pytest.importorskip("transformers")
    page = ROOT / "docs" / "bring_your_own.md"
    names: dict[str, Any] = {}
    try:
        for block in (block for block in pages.blocks(page) if block.runs):
            exec("import dfs_hw\n" + block.code, names)
    finally:
        NETWORKS.pop("hf-resnet", None)
    assert len(names["by_path"].units) == 1
    assert names["network"].name == "hf-resnet"
