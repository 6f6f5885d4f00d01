import copy
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models import IMAGE, MODELS, Plain, PlainBlock, basic_resnet, lived_in, logits_of
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.networks import (
    NETWORKS,
    Design,
    DynamicNetwork,
    build_network,
    make_dynamic,
    register_network,
)
from dfs_hw.quantize import PrecisionNorm, QuantizedConv2d, QuantizedLinear
from dfs_hw.workload import workload_of

SMALL = (3, 12, 12)


def images(count: int = 3, image: tuple[int, int, int] = IMAGE, seed: int = 4) -> Tensor:
    return torch.randn(count, *image, generator=torch.Generator().manual_seed(seed))


def plain(choices: str = "skip,4,full", **changes: Any) -> DynamicNetwork:
    return make_dynamic(Plain(), choices, image=SMALL, blocks=PlainBlock, **changes)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_at_full_precision_a_network_computes_what_its_model_does(name: str) -> None:
    build, blocks = MODELS[name]
    model = lived_in(build()).eval()
    before = copy.deepcopy(model.state_dict())
    network = make_dynamic(model, "skip,4,full", image=IMAGE, blocks=blocks).eval()
    for size in ((32, 32), (41, 56)):
        x = images(3, (3, *size))
        outcome = network(x, network.uniform("full"))
        assert torch.allclose(outcome.logits, logits_of(model, x), rtol=1e-5, atol=1e-6)
    network.train()(x)
    network.commit(len(x))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(isinstance(m, QuantizedConv2d | PrecisionNorm) for m in model.modules())


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


@pytest.mark.parametrize("name", MODELS)
def test_gates_and_weights_learn_in_every_architecture(name: str) -> None:
    build, blocks = MODELS[name]
    network = make_dynamic(build(), "skip,4,8", image=IMAGE, blocks=blocks)
    network.calibrate([images(6)])
    network.normalize_by_batch(False)
    functional.cross_entropy(network(images(6)).logits, torch.arange(6) % 5).backward()
    network.commit(6)
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


# --- Which blocks, and what is left of them when they are skipped ----------------------------


def test_blocks_are_gated_in_the_order_in_which_they_run() -> None:
    network = make_dynamic(Plain(), image=SMALL, blocks=["fourth", "second", "second"])
    assert network.units == ("second", "fourth")
    assert make_dynamic(Plain(), image=SMALL, blocks="third").units == ("third",)


def test_the_first_block_is_decided_when_it_is_asked_for() -> None:
    assert plain().units == ("second", "third", "fourth")
    assert plain(design=Design(first_block=True)).units == ("first", "second", "third", "fourth")


class Linear(PlainBlock):
    """Its output can be negative."""

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x)))) + self.shortcut(x)


class Preactivated(PlainBlock):
    """Its shortcut does not read its input."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(x))
        side = self.shortcut(out) if len(self.shortcut) else x
        return self.conv2(functional.relu(self.bn2(self.conv1(out)))) + side


def skip_paths(block: type[nn.Module], stem: nn.Module | None = None) -> list[Any]:
    model = Plain(block, stem)
    network = make_dynamic(model, "skip,8", image=SMALL, blocks=block)
    return [unit.skip_path for unit in network.blocks]


def test_a_skipped_block_leaves_its_shortcut_and_the_sign_of_its_output() -> None:
    signed_stem = nn.Conv2d(3, 6, 3, padding=1)
    assert skip_paths(PlainBlock) == [(), ("shortcut", "skip_activation"), ()]
    assert skip_paths(Linear) == [(), ("shortcut",), ()]
    assert skip_paths(Preactivated) == [(), None, ()]
    first = Plain(PlainBlock, signed_stem)
    network = make_dynamic(
        first, "skip,8", image=SMALL, blocks=PlainBlock, design=Design(first_block=True)
    )
    assert network.blocks[0].skip_path == ("skip_activation",)
    assert network.blocks[1].skip_path == ()


@torch.no_grad()
def test_a_block_that_may_be_skipped_for_a_negative_input_puts_out_none() -> None:
    model = Plain(PlainBlock, nn.Conv2d(3, 6, 3, padding=1))
    network = make_dynamic(
        model, "skip,8", image=SMALL, blocks=PlainBlock, design=Design(first_block=True)
    )
    x = images(2, (6, 12, 12))
    assert torch.equal(network.blocks[0].run(x, 0), x.relu())
    assert not network.blocks[1].block.conv1.activations.levels[0].low


class ZeroStart(PlainBlock):
    """Its residual branch starts at zero, so that its output looks as if it had no sign."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return out + self.shortcut(x)


def test_signs_are_those_that_tensors_can_have_not_those_they_start_with() -> None:
    network = make_dynamic(Plain(ZeroStart), "skip,8", image=SMALL, blocks=ZeroStart)
    levels = [unit.block.conv1.activations.levels[0].low for unit in network.blocks]
    assert levels == [-127, -127, -127]
    assert network.model.head.activations.levels[0].low == -127


@pytest.mark.parametrize("choices", ["8", "2,4,8", "full"])
@torch.no_grad()
def test_choices_need_neither_skipping_nor_an_alternative(choices: str) -> None:
    network = plain(choices)
    network.calibrate([images(4, SMALL)])
    assert network.offered.all()
    outcome = network.eval()(images(1, SMALL))
    assert outcome.logits.isfinite().all()
    workload = workload_of(network)
    assert {layer.role for layer in workload.layers} == {"fixed", "gate", "body"}


# --- What it makes of models in other conditions ---------------------------------------------


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


def test_the_examples_of_the_document_run() -> None:
    pytest.importorskip("transformers")
    text = (Path(__file__).parents[1] / "docs" / "bring_your_own.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    try:
        for block in (block for block in blocks if "dfs_hw.train(" not in block):
            exec("import dfs_hw\n" + block, names)
    finally:
        NETWORKS.pop("hf-resnet", None)
    assert len(names["by_path"].units) == 1
    assert names["network"].name == "hf-resnet"


# --- What it refuses --------------------------------------------------------------------------


class Odd(PlainBlock):
    """A block with one more part, between its layers."""

    part: Callable[[], nn.Module]

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        self.odd = type(self).part()

    def forward(self, x: Tensor) -> Tensor:
        out = self.odd(functional.relu(self.bn1(self.conv1(x))))
        return self.bn2(self.conv2(out)) + self.shortcut(x)


class Only(nn.Module):
    """A model of one block and a classifier."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU())
        self.block = block
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.block(self.stem(images)).mean((2, 3)))


def odd_block(part: Callable[[], nn.Module]) -> nn.Module:
    return type("Block", (Odd,), {"part": staticmethod(part)})(6, 6)


class Functional(nn.Module):
    """A layer of its own making."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class OwnWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x.flatten(2).permute(2, 0, 1))[0].permute(1, 2, 0).view_as(x)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(6, 12)

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.both(x.flatten(2).mT).chunk(2, 2)
        return ((query @ key.mT).softmax(-1) @ x.flatten(2).mT).mT.view_as(x)


class Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()


class Concatenated(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.fc(x)], 1)[:, 3:9]


class Broadcast(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(x.mean((2, 3), keepdim=True))


class OwnInput(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(x)


class Twice(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.fc(x))


class Written(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[:, :3], y[:, 3:] = x[:, :3], self.fc(x)[:, 3:]
        return y


class InRows(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.reshape(-1, 6, 2, 2)).reshape(x.shape)


class ByKeyword(Squeeze):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(input=x)


def hooked() -> nn.Module:
    conv = nn.Conv2d(6, 6, 1)
    conv.register_forward_hook(lambda *_: None)
    return conv


ODD_PARTS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "GroupNorm": (lambda: nn.GroupNorm(2, 6), r"block\.odd: GroupNorm normalises otherwise"),
    "plain GroupNorm": (
        lambda: nn.GroupNorm(2, 6, affine=False),
        r"block\.odd: GroupNorm normalises otherwise",
    ),
    "InstanceNorm": (lambda: nn.InstanceNorm2d(6), r"block\.odd: InstanceNorm2d norm"),
    "LayerNorm": (lambda: nn.LayerNorm(12), r"block\.odd: LayerNorm norm"),
    "functional norm": (
        lambda: Functional(lambda x: functional.layer_norm(x, [12])),
        r"block\.odd: 'native_layer_norm' normalises",
    ),
    "static batch norm": (
        lambda: nn.BatchNorm2d(6, track_running_stats=False),
        r"block\.odd: it is a batch norm without a moving average",
    ),
    "cumulative batch norm": (
        lambda: nn.BatchNorm2d(6, momentum=None),
        r"block\.odd: it is a batch norm without a moving average",
    ),
    "PReLU": (nn.PReLU, r"block\.odd: PReLU has weights of its own \(weight\)"),
    "transposed": (lambda: nn.ConvTranspose2d(6, 6, 1), r"block\.odd: ConvTranspose2d has"),
    "Conv1d": (
        lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(6, 6, 1), nn.Unflatten(2, (12, 12))),
        r"block\.odd\.1: Conv1d has",
    ),
    "recurrent": (Recurrent, r"block\.odd\.cell: LSTM has"),
    "attention": (Attention, r"block\.odd: '(matmul|bmm)'"),
    "own weight": (OwnWeight, r"block\.odd: OwnWeight has .*\(kernel\)"),
    "own kernel": (
        lambda: Functional(lambda x: functional.conv2d(x, torch.ones(6, 6, 1, 1))),
        r"block\.odd: 'convolution' multiplies outside",
    ),
    "dilation": (
        lambda: nn.Conv2d(6, 6, 3, padding=2, dilation=2),
        r"block\.odd: it is a convolution with dilation \(2, 2\)",
    ),
    "reflection": (
        lambda: nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect"),
        r"block\.odd: it is padded by \(1, 1\) of 'reflect'",
    ),
    "uneven padding": (
        lambda: nn.Conv2d(6, 6, 2, padding="same"),
        r"block\.odd: it is padded by 'same'",
    ),
    "dropout": (nn.Dropout, r"block\.odd: it draws random numbers"),
    "drop path": (
        lambda: Functional(lambda x: x * torch.bernoulli(torch.full((len(x), 1, 1, 1), 0.9))),
        r"block\.odd: it draws random numbers",
    ),
    "squeeze": (Squeeze, r"block\.odd: 'mul' joins what different layers made: only sums"),
    "concatenation": (Concatenated, r"block\.odd: 'cat' joins"),
    "writing": (Written, r"block\.odd: '__setitem__' joins"),
    "broadcast": (Broadcast, r"block\.odd: it adds tensors of different shapes"),
    "own input": (OwnInput, r"block\.odd: it adds a layer's output to the tensor that"),
    "twice": (Twice, r"block\.odd\.fc: it runs more than once"),
    "rows": (InRows, r"block\.odd\.fc: it reads 144 rows for 4 images"),
    "keyword": (ByKeyword, r"block\.odd\.fc: it is not called with one tensor"),
    "hooks": (hooked, r"block\.odd: it has hooks"),
    "weight norm": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 6, 1)),
        r"block\.odd: ParametrizedConv2d has",
    ),
    "subclass": (
        lambda: type("Scaled", (nn.Conv2d,), {})(6, 6, 1),
        r"block\.odd: Scaled has weights of its own",
    ),
}


@pytest.mark.parametrize("kind", ODD_PARTS)
def test_what_cannot_be_converted_or_priced_is_named(kind: str) -> None:
    part, message = ODD_PARTS[kind]
    with pytest.raises(InputError, match=message):
        make_dynamic(Only(odd_block(part)), "skip,8", image=SMALL, blocks="block")


@pytest.mark.parametrize(
    "part", [nn.Identity, nn.Hardswish, lambda: nn.Dropout(0), lambda: nn.AvgPool2d(3, 1, 1)]
)
def test_functions_without_weights_are_left_alone(part: Callable[[], nn.Module]) -> None:
    made = make_dynamic(Only(odd_block(part)), "skip,8", image=SMALL, blocks="block")
    assert type(made.blocks[0].block.odd) is type(part())


class Centred(Plain):
    """Looks at the other images of a batch."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0))


def test_images_of_a_batch_must_not_influence_each_other() -> None:
    with pytest.raises(InputError, match="Centred: it lets images of a batch influence each other"):
        make_dynamic(Centred(), image=SMALL, blocks=PlainBlock)


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm has it: a batch norm that goes on with a dropout and an activation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


class Activated(PlainBlock):
    """Ends in such a norm, without a shortcut."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        self.bn2 = BatchNormAct2d(out_channels)
        del self.shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


@torch.no_grad()
def test_norms_that_end_in_an_activation_keep_it() -> None:
    model = lived_in(Plain(Activated, nn.Conv2d(3, 6, 1))).eval()
    network = make_dynamic(
        model, "skip,4,full", image=SMALL, blocks=Activated, design=Design(first_block=True)
    ).eval()
    x = images(4, SMALL)
    logits = network(x, network.uniform("full")).logits
    assert torch.allclose(logits, model(x), rtol=1e-5, atol=1e-6)
    assert [unit.skip_path for unit in network.blocks] == [("bn2.act",), (), None, ()]
    assert not network.blocks[0].block.bn2.act.inplace
    assert len(network.blocks[0].block.bn2.norm.pending) == 2


def test_everything_is_named_at_once() -> None:
    model = nn.Sequential(Only(odd_block(nn.PReLU)), nn.Dropout(), nn.LayerNorm(5))
    model[0].block.extra = nn.Conv2d(1, 1, 1)
    with pytest.raises(InputError) as caught:
        make_dynamic(model, "skip,8", image=SMALL, blocks="0.block")
    model[0].block.norm = nn.LayerNorm(5)
    with pytest.raises(InputError, match=r"0\.block\.norm, 2: LayerNorm nor"):
        make_dynamic(model, "skip,8", image=SMALL, blocks="0.block")
    for named in ("0.block.odd: PReLU", "0.block.extra: it never ran", "2: LayerNorm"):
        assert named in str(caught.value)
    assert "Dropout" not in str(caught.value)


def test_shared_weights_are_refused() -> None:
    model = Plain()
    model.second.conv1.weight = model.first.conv1.weight
    with pytest.raises(InputError, match=r"second\.conv1: it shares its weights with 'first\.conv"):
        make_dynamic(model, image=SMALL, blocks=PlainBlock)


class TwoInputs(PlainBlock):
    def forward(self, x: Tensor, scale: float) -> Tensor:  # type: ignore[override]
        return super().forward(x) * scale


class Tupled(PlainBlock):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:  # type: ignore[override]
        return super().forward(x), 1


class InPlace(PlainBlock):
    def forward(self, x: Tensor) -> Tensor:
        x += self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return x


class Caller(Only):
    """Calls its block as each kind of block wants it."""

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        if isinstance(self.block, TwoInputs):
            x = self.block(x, 2.0)
        elif isinstance(self.block, Tupled):
            x, _ = self.block(x)
        else:
            x = self.block(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (TwoInputs, "block: it does not map one tensor to another"),
        (Tupled, "block: it does not map one tensor to another"),
        (InPlace, "block: it changes its input in place"),
    ],
)
def test_blocks_must_map_one_tensor_to_another(block: type[nn.Module], message: str) -> None:
    for blocks in ("block", block):
        with pytest.raises(InputError, match=message):
            make_dynamic(
                Caller(block(6, 6)), image=SMALL, blocks=blocks, design=Design(first_block=True)
            )


class Hidden(Only):
    """Keeps its block in a list, out of sight."""

    def __init__(self) -> None:
        super().__init__(PlainBlock(6, 6))
        self.chain = [self.stem, self.block]

    def forward(self, images: Tensor) -> Tensor:
        for part in self.chain:
            images = part(images)
        return self.head(images.mean((2, 3)))


class Constant(Only):
    """Has a constant that does not move with it to another device."""

    def __init__(self) -> None:
        super().__init__(PlainBlock(6, 6))
        self.mean = torch.ones(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - self.mean)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Hidden, "'block' was replaced by: is it kept in a plain list"),
        (Constant, "must be buffers"),
    ],
)
def test_models_that_would_not_run_their_new_layers_are_refused(
    model: type[nn.Module], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_dynamic(model(), "skip,8", image=SMALL, blocks="block")


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (Plain, {}, "Plain has no blocks to gate of the class BasicBlock, Bottleneck"),
        (Plain, {"blocks": nn.GRU}, "no blocks to gate of the class GRU"),
        (Plain, {"blocks": []}, "no blocks to gate: name them"),
        (Plain, {"blocks": ["fifth"]}, "runs no block 'fifth': choose from stem, first, second"),
        (Plain, {"blocks": ["first.conv1"]}, r"runs no block 'first\.conv1'"),
        (Plain, {"blocks": ["third", "third.shortcut"]}, "it is inside 'third'"),
        (Plain, {"blocks": PlainBlock, "image": (1, 12, 12)}, r"does not run on images of \[1, 12"),
        (Plain, {"blocks": PlainBlock, "choices": "skip"}, "leaves nothing to run"),
        (lambda: Only(PlainBlock(6, 6)), {"blocks": PlainBlock}, "'block' is the only block"),
        (lambda: Only(PlainBlock(6, 6)).stem, {"blocks": "0"}, "must return logits"),
        (lambda: Functional(lambda x: x.mean((2, 3))), {}, "no blocks to gate"),
    ],
)
def test_unusable_requests_say_what_would_be_right(
    build: Callable[[], nn.Module], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_dynamic(build(), **{"image": SMALL, **options})
