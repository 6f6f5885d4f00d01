from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from models import (
    IMAGE,
    MODELS,
    basic_resnet,
    bottleneck_resnet,
    counted_macs,
    mobilenet_v2,
)
from torch import Tensor, nn
from torch.nn import functional

from accel_models import Workload, cost_table, load_accelerator, simulate
from accel_models.errors import InputError
from accel_models.workloads.workload import Ends
from dfs_hw.networks import Design, DynamicNetwork, build_network, make_dynamic
from dfs_hw.networks.workload_of import workload_of

ARCHITECTURES = (*MODELS, "dfs")
CHOICES = "skip,2,4/8,8"


@cache
def network(name: str, choices: str = CHOICES) -> DynamicNetwork:
    if name == "dfs":
        return build_network("resnet8", choices, 5, image_size=IMAGE[1:], widths=(4, 8, 12))
    build, blocks = MODELS[name]
    torch.manual_seed(0)
    return make_dynamic(build(), choices, image=IMAGE, blocks=blocks)


@cache
def workload(name: str, size: tuple[int, int] | None = None) -> Workload:
    return workload_of(network(name), size)


@cache
def cifar_resnet38() -> Workload:
    return workload_of(build_network("resnet38", "skip,4,8", 10))


@pytest.mark.slow
def test_macs_of_resnet38_are_those_published_for_dfs() -> None:
    bare = cifar_resnet38().without_gates()
    assert round(bare.macs / 1e6, 2) == 83.28
    gated = sum(layer.macs for layer in bare.layers if layer.unit)
    assert round(100 * gated / bare.macs, 2) == 93.80


def test_macs_equal_a_count_from_first_principles() -> None:
    stage = [(16, 32), (32, 16), (64, 8)]
    total = 32 * 32 * 16 * 27 + 64 * 10
    before = 16
    for width, side in stage:
        total += side * side * width * 9 * (before + 11 * width)
        total += side * side * width * before if before != width else 0
        before = width
    assert cifar_resnet38().without_gates().macs == total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "gmacs", "parameters"),
    # GMACs (there called GFLOPS) and parameters of resnet18, resnet50 and mobilenet_v2 at 224 x 224
    # for 1000 classes: https://pytorch.org/vision/stable/models.html. 300 million MACs are also in
    # the paper on MobileNetV2 (Sandler et al., CVPR 2018, table 4).
    [
        (
            lambda: basic_resnet(
                embedding_size=64, hidden_sizes=[64, 128, 256, 512], num_labels=1000
            ),
            1.81,
            11_689_512,
        ),
        (
            lambda: bottleneck_resnet(
                embedding_size=64,
                hidden_sizes=[256, 512, 1024, 2048],
                depths=[3, 4, 6, 3],
                num_labels=1000,
            ),
            4.09,
            25_557_032,
        ),
        (lambda: mobilenet_v2(depth_multiplier=1.0, num_labels=1000), 0.30, 3_504_872),
    ],
    ids=["resnet-18", "resnet-50", "mobilenet-v2"],
)
def test_macs_and_weights_at_full_size_are_those_published(
    build: Callable[[], nn.Module], gmacs: float, parameters: int
) -> None:
    model = build()
    made = make_dynamic(model, "skip,4,8", image=IMAGE)
    bare = workload_of(made, (224, 224)).without_gates()
    assert round(bare.macs / 1e9, 2) == gmacs
    others = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 1)
    assert sum(layer.weights for layer in bare.layers) + others == parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(32, 32), (45, 38)])
def test_macs_of_any_architecture_and_size_are_those_pytorch_counts(
    name: str, size: tuple[int, int]
) -> None:
    bare = workload(name, size).without_gates()
    assert bare.macs == counted_macs(MODELS[name][0](), (3, *size))


def short(workload: Workload, unit: str) -> list[tuple[str, str, set[str], tuple[bool, ...]]]:
    """Name, role, producers and ends of each layer of a unit, in order, without the gate."""
    return [
        (
            layer.name.removeprefix(f"{unit}."),
            layer.role,
            {name.removeprefix(f"{unit}.") for name in workload.graph.predecessors(layer.name)},
            tuple(workload.ends[layer.name]),
        )
        for layer in workload.layers
        if layer.unit == unit and layer.role != "gate"
    ]


FIRST, INNER, LAST = Ends(True, False), Ends(False, False), Ends(False, True, True)
SHORTCUT, PLAIN_LAST = Ends(True, True), Ends(False, True)


def test_a_block_of_resnet_18_adds_its_shortcut() -> None:
    stages = "resnet.encoder.stages"
    before = f"{stages}.1.layers.1.layer.1.convolution"
    assert short(workload("basic"), f"{stages}.2.layers.0") == [
        ("layer.0.convolution", "body", {before}, FIRST),
        ("shortcut.convolution", "shortcut", {before}, SHORTCUT),
        (
            "layer.1.convolution",
            "body",
            {"layer.0.convolution", "shortcut.convolution"},
            LAST,
        ),
    ]
    before = f"{stages}.2.layers.0.layer.1.convolution"
    assert short(workload("basic"), f"{stages}.2.layers.1") == [
        ("layer.0.convolution", "body", {before}, FIRST),
        ("layer.1.convolution", "body", {"layer.0.convolution", before}, LAST),
    ]


def test_a_block_of_resnet_50_has_its_shortcut_before_what_adds_it() -> None:
    stages = "resnet.encoder.stages"
    before = f"{stages}.0.layers.1.layer.2.convolution"
    found = {name: rest for name, *rest in short(workload("bottleneck"), f"{stages}.1.layers.0")}
    assert list(found) == [
        "layer.0.convolution",
        "layer.1.convolution",
        "shortcut.convolution",
        "layer.2.convolution",
    ]
    assert found["shortcut.convolution"] == ["shortcut", {before}, SHORTCUT]
    assert found["layer.1.convolution"] == ["body", {"layer.0.convolution"}, INNER]
    wanted = {"layer.1.convolution", "shortcut.convolution"}
    assert found["layer.2.convolution"] == ["body", wanted, LAST]


@pytest.mark.slow
def test_inverted_residuals_add_their_input_where_they_keep_its_shape() -> None:
    layers = "mobilenet_v2.layer"
    before = f"{layers}.2.reduce_1x1.convolution"
    assert short(workload("mobilenet"), f"{layers}.3") == [
        ("expand_1x1.convolution", "body", {before}, FIRST),
        ("conv_3x3.convolution", "body", {"expand_1x1.convolution"}, INNER),
        ("reduce_1x1.convolution", "body", {"conv_3x3.convolution", before}, LAST),
    ]
    assert short(workload("mobilenet"), f"{layers}.2")[-1] == (
        "reduce_1x1.convolution",
        "body",
        {"conv_3x3.convolution"},
        PLAIN_LAST,
    )


def test_only_the_first_layer_reads_the_image_also_where_it_is_padded_by_hand() -> None:
    for name in ARCHITECTURES:
        first, *others = workload(name).layers
        assert first.reads_image
        assert not any(layer.reads_image for layer in others)
        assert not list(workload(name).graph.predecessors(first.name))


def test_signed_inputs_have_signed_quantisers() -> None:
    model = network("mobilenet").model.mobilenet_v2
    block = model.layer[3].block
    low = {
        name: getattr(block, name).convolution.activations.levels[-1].low
        for name in ("expand_1x1", "conv_3x3", "reduce_1x1")
    }
    assert low == {"expand_1x1": -127, "conv_3x3": 0, "reduce_1x1": 0}
    assert model.conv_stem.conv_3x3.convolution.activations.levels[0].low == 0
    assert model.conv_1x1.convolution.activations.levels[0].low == -127
    gate = network("mobilenet").gate
    assert gate.embed[0].linear.activations.levels[0].low == -127
    assert network("basic").gate.embed[0].linear.activations.levels[0].low == 0


def test_gates_read_their_unit_and_what_they_remember() -> None:
    found = workload("dfs")
    layers = {layer.name: layer for layer in found.layers}
    assert found.units == ("block2", "block3")
    lstm = layers["block3.gate.lstm"]
    assert (lstm.role, lstm.unit, lstm.macs) == ("gate", "block3", 20 * 40)
    assert set(found.graph.predecessors("block3.gate.embed")) == {"block2.conv2"}
    assert set(found.graph.predecessors("block3.gate.lstm")) == {
        "block3.gate.embed",
        "block2.gate.lstm",
    }
    assert set(found.graph.predecessors("block2.conv2")) == {"block2.conv1", "block2.shortcut.0"}


def test_a_gate_that_decides_all_at_once_runs_before_the_first_unit() -> None:
    made = build_network("resnet14", "skip,8", 5, design=Design(gate="upfront"))
    gates = [layer for layer in workload_of(made).layers if layer.role == "gate"]
    assert [layer.unit for layer in gates] == ["block2", "block2"]
    assert gates[-1].out_channels == 5 * 2


def test_a_first_block_may_be_decided_from_the_image_itself() -> None:
    made = make_dynamic(Images(), "skip,8", image=(3, 8, 8), blocks="block")
    gate, *_ = (layer for layer in workload_of(made).layers if layer.role == "gate")
    assert not list(workload_of(made).graph.predecessors(gate.name))


def test_a_network_that_decides_is_asked_about_inputs_that_it_reads() -> None:
    network = build_network("resnet8", "4,8", 10, 1, image_size=(8, 8), widths=(4, 4, 4))
    wanted = workload_of(network, (12, 12)).macs
    assert wanted == workload_of(network, torch.empty(1, 1, 12, 12)).macs
    assert wanted == workload_of(network, torch.empty(1, 12, 12)).macs
    for other in (torch.empty(1, 3, 12, 12), torch.empty(12, 12)):
        with pytest.raises(InputError, match=r"resnet8 reads inputs as \[1, 1, 8, 8\], not as"):
            workload_of(network, other)


class Images(nn.Module):
    """A block that reads the image, and linear layers that read several positions."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.mix = nn.Linear(3, 6)
        self.columns = nn.Linear(48, 7)
        self.head = nn.Linear(7, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.mix(self.block(images).permute(0, 2, 3, 1))
        return self.head(self.columns(x.flatten(2)).mean(1))


def test_a_linear_layer_at_several_positions_is_a_convolution_over_them() -> None:
    made = make_dynamic(Images(), "2,8", image=(3, 8, 8), blocks="block")
    found = workload_of(made).without_gates()
    sizes = {layer.name: layer.out_size for layer in found.layers}
    assert sizes == {
        "block.0": (8, 8),
        "mix": (8, 8),
        "columns": (8, 1),
        "mean": (1, 1),
        "head": (1, 1),
    }
    assert found.macs == counted_macs(Images(), (3, 8, 8))


class Branches(nn.Module):
    """Two branches, a long and a short one, beside the input; and functions that only look at
    the shape of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a1, self.a2 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.b1, self.b2 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.a2(self.a1(x).relu())
        second = self.b2(functional.relu(self.b1(x)) + torch.zeros_like(first))
        out = torch.add(first, second).view_as(first) + x
        return self.last(functional.max_pool2d(out, 3, 1, 1).type_as(second))


class Branched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 4, 1), Branches()
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.block(self.stem(images)).mean((2, 3)))


def test_tensors_are_followed_through_all_functions_to_where_they_are_added() -> None:
    made = make_dynamic(Branched(), "2,8", image=(3, 8, 8), blocks="block")
    found = workload_of(made).without_gates()
    assert [layer.name for layer in found.layers] == [
        "stem",
        "block.a1",
        "block.a2",
        "block.b1",
        "block.sum",
        "block.b2",
        "block.sum_2",
        "block.max_pool",
        "block.last",
        "mean",
        "head",
    ]
    producers = {name: set(found.graph.predecessors(name)) for name in found.graph}
    assert producers == {
        "stem": set(),
        "block.a1": {"stem"},
        "block.a2": {"block.a1"},
        "block.b1": {"stem"},
        "block.sum": {"block.b1", "block.a2"},
        "block.b2": {"block.sum", "block.a2"},  # reads the sum, and adds the other
        "block.sum_2": {"block.b2", "stem"},
        "block.max_pool": {"block.sum_2"},
        "block.last": {"block.max_pool"},
        "mean": {"block.last"},
        "head": {"mean"},
    }
    assert found.operands["block.b2"].added == ("block.a2",)


def macs_by_layer(model: nn.Module) -> dict[str, int]:
    """Outputs times weights of each: a count that knows nothing of geometry."""
    found: dict[str, int] = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):

            def hook(layer: nn.Module, _: object, out: Tensor, path: str = path) -> None:
                found[path] = out.numel() * layer.weight[0].numel()

            module.register_forward_hook(hook)
    with torch.no_grad():
        model.eval()(torch.zeros(1, *IMAGE))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_bitops_of_an_assignment_are_those_of_a_count_from_first_principles(name: str) -> None:
    made, machine = network(name), load_accelerator("bitfusion")
    generator = torch.Generator().manual_seed(1)
    weights = made.offered.float()
    assignment = torch.multinomial(weights, 1, generator=generator)[:, 0]
    precisions = {
        unit: made.choices[index] for unit, index in zip(made.units, assignment, strict=True)
    }
    total = 0
    for index, (path, macs) in enumerate(macs_by_layer(MODELS[name][0]()).items()):
        unit = next((u for u in made.units if path.startswith(f"{u}.")), None)
        shortcut = unit and path.removeprefix(f"{unit}.").startswith("shortcut")
        precision = precisions[unit] if unit else made.choices[-1]
        if precision.is_skip and shortcut:
            precision = made.choices[-1]
        pixels = 8 if index == 0 else precision.activation_bits
        total += macs * precision.weight_bits * pixels
    gates = sum(layer.macs for layer in workload(name).layers if layer.role == "gate")
    simulated = simulate(workload(name), machine, precisions, always="8")
    assert simulated.bitops == total + gates * 64


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_has_its_costs_on_a_machine(name: str) -> None:
    made, machine = network(name), load_accelerator("bitfusion")
    table = cost_table(workload(name), machine, made.choices)
    fixed, units = table.costs("energy")
    assert units.shape == tuple(made.offered.shape)
    assert fixed > 0
    # More bits, more energy; skipping is cheapest where it is offered.
    assert (np.diff(units[:, 1:], axis=1) > 0).all()
    static = workload(name).without_gates()
    assert (
        simulate(static, machine, "2", always="8").energy_j
        < simulate(static, machine, "8").energy_j
    )
