"""Models at widths by layer name, beside a plain computation of the same."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from exported_models import Ready
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from accel_models import InputError, load_accelerator
from accel_models.workloads.widths_file import read_widths
from dfs_hw import build_network, workload_of
from dfs_hw.fixed_widths import FixedWidths, accuracy_of, at_widths, train_further
from dfs_hw.fixed_widths.comparison import compare_policies
from dfs_hw.quantize import Levels, normal_step

CLASSES = 3


class Small(nn.Module):
    """Convolutions of several kinds, attention written out, and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, groups=8, bias=False)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, maps: Tensor) -> Tensor:
        rows = self.depthwise(torch.relu(self.conv(maps))).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(rows).chunk(3, -1)
        mixed = (q @ k.transpose(1, 2)).softmax(-1) @ v
        return self.head(mixed.mean(1))


def plain(
    model: Small, maps: Tensor, bits: dict[str, tuple[int, int]], steps: dict[str, float]
) -> Tensor:
    """What `Small` computes with operands rounded to (weight, activation) bits, step by step.

    Steps of activations that are not known yet are taken from the tensor at hand.
    """

    def rounded(x: Tensor, width: int, signed: bool, name: str = "") -> Tensor:
        levels = Levels.signed(width) if signed else Levels.unsigned(width)
        step = steps.get(name) or float(normal_step(levels) * x.detach().abs().mean())
        if name:
            steps[name] = step
        return (x / step).round().clamp(levels.low, levels.high) * step

    def layer(name: str, x: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
        weight, activation = bits[name]
        one = model.get_submodule(name)
        return rounded(x, activation, signed, name), rounded(one.weight, weight, True)

    x, w = layer("conv", maps, True)
    maps = torch.relu(functional.conv2d(x, w, model.conv.bias, padding=1))
    x, w = layer("depthwise", maps, False)
    rows = functional.conv2d(x, w, stride=2, groups=8).flatten(2).transpose(1, 2)
    x, w = layer("qkv", rows, True)
    q, k, v = functional.linear(x, w, model.qkv.bias).chunk(3, -1)
    _, at = bits["scores"]
    scores = rounded(q, at, True, "q") @ rounded(k, at, True, "k").transpose(1, 2)
    _, at = bits["context"]
    mixed = rounded(scores.softmax(-1), at, False, "chances") @ rounded(v, at, True, "v")
    x, w = layer("head", mixed.mean(1), True)
    return functional.linear(x, w, model.head.bias)


def data(count: int = 3, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    return [(torch.randn(size, 3, 9, 9), torch.randint(CLASSES, (size,))) for _ in range(count)]


@pytest.fixture
def model() -> Small:
    torch.manual_seed(1)
    return Small().eval()


def test_rounded_layers_compute_what_a_plain_computation_does(model: Small) -> None:
    """With an image of 8 bits, whatever the first layer's activations are asked to have."""
    policy = {"*": 8, "qkv": "3/5", "matmul*": 6, "conv": 4, "depthwise": "2/7"}
    batch = data(1)
    network = at_widths(model, policy, batch)
    bits = {"conv": (4, 8), "depthwise": (2, 7), "qkv": (3, 5), "head": (8, 8)}
    bits |= {"scores": (6, 6), "context": (6, 6)}
    steps: dict[str, float] = {}
    plain(model, batch[0][0], bits, steps)
    for maps, _ in data(3):
        torch.testing.assert_close(network(maps), plain(model, maps, bits, steps))


@pytest.mark.parametrize("policy", [{}, {"*": "full"}, {"*": 32}, {"*": 8, "[!z]*": "full"}])
def test_nothing_rounded_is_exactly_the_model(model: Small, policy: dict[str, object]) -> None:
    network = at_widths(model, policy, data())
    for maps, _ in data():
        assert torch.equal(network(maps), model(maps))


def test_one_operand_may_stay_as_it_is(model: Small) -> None:
    """Weights alone are rounded: a model with such weights computes the same."""
    network = at_widths(model, {"head": "4/32"}, data())
    alike = copy.deepcopy(model)
    levels = Levels.signed(4)
    step = normal_step(levels) * alike.head.weight.abs().mean()
    with torch.no_grad():
        alike.head.weight.copy_((alike.head.weight / step).round().clamp(-7, 7) * step)
    for maps, _ in data():
        torch.testing.assert_close(network(maps), alike(maps))


def test_the_workload_has_the_widths_and_the_model_stays(model: Small) -> None:
    before = copy.deepcopy(model.state_dict())
    network = at_widths(model, {"*": 8, "qkv": "2/4", "head": "full"}, data())
    train_further(network, data(), epochs=1, learning_rate=1e-2)
    widths = {layer.name: str(layer.widths) for layer in network.workload.layers}
    assert (widths["conv"], widths["qkv"], widths["head"]) == ("8", "2/4", "full")
    plainly = workload_of(model, torch.empty(1, 3, 9, 9))
    assert [layer.name for layer in network.workload.layers] == [
        layer.name for layer in plainly.layers
    ]
    assert network.workload.macs == plainly.macs
    assert all(torch.equal(before[name], one) for name, one in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["normal", "lsq", "nested", "minmax"])
def test_attention_is_computed_as_pytorch_does(quantizer: str) -> None:
    """At 16 bits, rounding hardly matters: what else differed would show."""
    torch.manual_seed(0)
    model = Ready().eval()
    batches = [(torch.randn(4, 5, 8), torch.zeros(4, dtype=torch.long)) for _ in range(2)]
    network = at_widths(model, {"*": 16}, batches, quantizer=quantizer)
    multiplied = [layer.name for layer in network.workload.layers if layer.on_array]
    assert len(network.rounded) == len(multiplied) == 12
    out, known = network(batches[0][0]), model(batches[0][0])
    if quantizer != "minmax":  # which clips at the mean of the extremes
        torch.testing.assert_close(out, known, atol=2e-2, rtol=0)
    assert not torch.equal(out, known)
    for batch in batches:
        rough = at_widths(model, {"*": 2}, batches, quantizer=quantizer)(batch[0])
        assert rough.isfinite().all()


def test_a_token_that_may_look_at_nothing_gets_nothing() -> None:
    """As PyTorch's attention has it, where a softmax of its row alone is NaN."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, CLASSES)

        def forward(self, rows: Tensor) -> Tensor:
            seen = torch.ones(5, 5, dtype=torch.bool).tril(-1)  # the first token sees none
            mixed = functional.scaled_dot_product_attention(rows, rows, rows, seen)
            return self.head(mixed.mean(1))

    torch.manual_seed(0)
    model, batches = Masked().eval(), [(torch.randn(4, 5, 8), torch.zeros(4, dtype=torch.long))]
    rounded = at_widths(model, {"*": 16}, batches)(batches[0][0])
    torch.testing.assert_close(rounded, model(batches[0][0]), atol=2e-2, rtol=0)


def test_places_without_a_label_are_not_counted(model: Small) -> None:
    (maps, labels), *_ = data()
    predicted = model(maps).argmax(1)
    marked = torch.where(torch.arange(len(labels)) < 2, predicted, -100)
    assert accuracy_of(model, [(maps, marked)]) == 1.0


def test_modes_stay_module_by_module_also_where_a_batch_fails(model: Small) -> None:
    """A layer frozen by its user stays so."""
    network = at_widths(model, {"*": 8}, data()).train()
    network.model.head.eval()
    modes = [one.training for one in network.modules()]
    train_further(network, data())
    accuracy_of(network, data())
    with pytest.raises(InputError, match="does not run on a batch"):
        network.calibrate([*data(), (torch.zeros(1, 5, 9, 9), torch.zeros(1))])
    assert [one.training for one in network.modules()] == modes


@pytest.mark.slow
def test_widths_cost_accuracy_and_training_brings_some_back() -> None:
    """On points of two classes that a line parts."""
    torch.manual_seed(0)
    points = torch.randn(512, 6)
    labels = (points @ torch.tensor([1.0, -2, 0.5, 3, -0.25, 1]) > 0.4).long()
    batches = list(zip(points.split(64), labels.split(64), strict=True))
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    train_further(model, batches, epochs=60, learning_rate=1e-2)
    network = at_widths(model, {"*": 2}, batches)
    exact, rough = accuracy_of(model, batches), accuracy_of(network, batches)
    train_further(network, batches, epochs=30, learning_rate=1e-2)
    trained = accuracy_of(network, batches)
    assert exact > 0.97
    assert accuracy_of(at_widths(model, {"*": 8}, batches), batches) > exact - 0.02
    assert rough < exact - 0.02
    assert rough + 0.01 < trained


def test_a_loop_of_ones_own_trains_without_more(model: Small) -> None:
    network = at_widths(model, {"*": 4}, data(), quantizer="lsq")
    rate = torch.optim.SGD(network.parameters(), 0.1)
    first = [one.detach().clone() for one in network.parameters()]
    network.train()
    for maps, labels in data():
        rate.zero_grad()
        functional.cross_entropy(network(maps), labels).backward()
        rate.step()
    assert all(not torch.equal(a, b) for a, b in zip(first, network.parameters(), strict=True))
    again = copy.deepcopy(network.eval())
    assert torch.equal(again(maps), network(maps))


def test_a_model_of_half_precision_stays_one(model: Small) -> None:
    halved = [(maps.bfloat16(), labels) for maps, labels in data()]
    out = at_widths(model.bfloat16(), {"*": 8}, halved)(halved[0][0])
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, model(halved[0][0]), atol=0.1, rtol=0)


class Moody(nn.Module):
    """Computes one product more for inputs that are positive on the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        return self.fc(x) if float(x.detach().sum()) > 1e9 else x


def test_a_model_that_changes_its_graph_is_refused() -> None:
    batches = [(torch.zeros(2, 4), torch.zeros(2, dtype=torch.long))]
    network = at_widths(Moody(), {"*": 8}, batches, name="moody")
    with torch.no_grad():
        network.model.fc.bias.fill_(1e12)
    with pytest.raises(InputError, match=r"moody changes its graph: 'fc' computed 2 products"):
        network(torch.ones(2, 4))


@pytest.mark.slow
def test_what_cannot_be_rounded_is_named() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 4, batch_first=True))
    batches = [(torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, dtype=torch.long))]
    with pytest.raises(InputError, match=r"'1' computes .* by 0 products .* the width 'full'"):
        at_widths(model, {"*": 8}, batches)
    assert isinstance(at_widths(model, {"*": 8, "1*": "full"}, batches), FixedWidths)


def test_what_makes_no_sense_is_refused(model: Small) -> None:
    with pytest.raises(InputError, match="'layer9' matches no layer of 'Small'"):
        at_widths(model, {"*": 8, "layer9": 4}, data())
    with pytest.raises(InputError, match="no batch to calibrate on"):
        at_widths(model, {"*": 8}, [])
    with pytest.raises(InputError, match="a batch is a pair of inputs and labels"):
        at_widths(model, {"*": 8}, [torch.zeros(1, 3, 9, 9)])
    with pytest.raises(InputError, match="does not run on this example"):
        at_widths(model, {"*": 8}, [(torch.zeros(1, 5, 9, 9), None)])
    with pytest.raises(InputError, match=r"does not run on a batch: .*expected input\[1, 5"):
        accuracy_of(model, [(torch.zeros(1, 5, 9, 9), torch.zeros(1, dtype=torch.long))])
    double = [(data()[0][0].double(), None)]
    with pytest.raises(InputError, match="does not run on a batch: Input type"):
        at_widths(model, 8, double)
    with pytest.raises(InputError, match="at least 1 batch, not -1"):
        at_widths(model, 8, data(), batches=-1)
    with pytest.raises(InputError, match=r"batches are gone through one by one, .* not int"):
        at_widths(model, 8, 5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'None' is not a precision"):
        at_widths(model, None, data())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a learning rate is a number above 0, not nan"):
        train_further(model, data(), learning_rate=math.nan)
    with pytest.raises(InputError, match="batches are gone through one by one"):
        compare_policies(model, {}, data(), None, load_accelerator("bitfusion"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'best' is no quantiser"):
        at_widths(model, {"*": 8}, data(), quantizer="best")
    with pytest.raises(InputError, match=r"logits of shape \[8, 3\] and labels of shape \[2\]"):
        accuracy_of(model, [(data()[0][0], torch.zeros(2, dtype=torch.long))])
    with pytest.raises(InputError, match="no batch to evaluate on"):
        accuracy_of(model, [])
    with pytest.raises(InputError, match="no label but -100"):
        accuracy_of(model, [(data()[0][0], torch.full((8,), -100))])
    with pytest.raises(InputError, match="loss of 3 classes and labels up to 7 cannot be computed"):
        train_further(model, [(data()[0][0], torch.full((8,), 7))])
    with pytest.raises(InputError, match="Small has no weights, on the device meta"):
        at_widths(copy.deepcopy(model).to("meta"), {"*": 8}, data())
    with pytest.raises(InputError, match="resnet8 decides about its widths itself"):
        at_widths(build_network("resnet8", "skip,8", classes=3), {"*": 8}, data())
    with pytest.raises(InputError, match=r"a model is a torch\.nn\.Module, not str"):
        at_widths("resnet8", {"*": 8}, data())  # type: ignore[arg-type]


def test_wrappers_are_looked_into(model: Small) -> None:
    wrapped = nn.DataParallel(model)
    network = at_widths(wrapped, {"*": 8, "qkv": 4}, data())
    alike = at_widths(model, {"*": 8, "qkv": 4}, data())
    assert network.workload.layers == alike.workload.layers
    assert torch.equal(network(data()[0][0]), alike(data()[0][0]))


def test_widths_of_another_tool_are_those_of_a_mapping(tmp_path: Path) -> None:
    """HAQ's list for the four layers with weights; products of activations stay in floats."""
    torch.manual_seed(0)
    model, batches = Small().eval(), data()
    path = tmp_path / "policy.json"
    path.write_text("[[8, -1], [4, 6], [2, 8], [8, 8]]")
    listed = at_widths(model, read_widths(path), batches)
    named = at_widths(model, {"conv": 8, "depthwise": "4/6", "qkv": "2/8", "head": 8}, batches)
    assert listed.workload == named.workload
    assert torch.equal(listed(batches[0][0]), named(batches[0][0]))


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Inputs that nobody knows the number of."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (pair for maps, labels in data(2) for pair in zip(maps, labels, strict=True))


def test_a_stream_trains_as_a_list_of_its_batches_does(model: Small) -> None:
    listed, streamed = copy.deepcopy(model), copy.deepcopy(model)
    train_further(listed, data(2), epochs=2)
    train_further(streamed, DataLoader(Stream(), batch_size=8), epochs=2)
    assert not streamed.head.weight.equal(model.head.weight)
    assert streamed.head.weight.equal(listed.head.weight)


class Keywords(Small):
    """The same, its operands handed over by name."""

    def forward(self, maps: Tensor) -> Tensor:
        rows = self.depthwise(torch.relu(self.conv(maps))).flatten(2).transpose(1, 2)
        qkv = functional.linear(bias=self.qkv.bias, weight=self.qkv.weight, input=rows)
        q, k, v = qkv.chunk(3, -1)
        scores = torch.bmm(mat2=k.transpose(1, 2), input=q)
        mixed = scores.softmax(-1).matmul(other=v).mean(1)
        head = self.head
        return torch.addmm(input=head.bias, mat2=head.weight.T, mat1=mixed)


def test_operands_may_come_by_name(model: Small) -> None:
    named = Keywords()
    named.load_state_dict(model.state_dict())
    by_place, by_name = (at_widths(one, 4, data()) for one in (model, named))
    maps = data()[0][0]
    assert torch.allclose(by_name(maps), by_place(maps), atol=1e-6)
