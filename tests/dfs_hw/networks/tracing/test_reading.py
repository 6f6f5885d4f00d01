"""Small models, operator by operator: what costs, what is free, and where each thing goes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import ROOT
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from accel_models import InputError, Layer, Workload, load_accelerator, simulate
from accel_models.workloads.workload import Operands
from dfs_hw import build_network, workload_of


class Does(nn.Module):
    """A model whose forward is a function of itself and its inputs."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.does = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.does(self, *inputs)


def read(forward: Callable[..., Any], *sizes: tuple[int, ...], **parts: nn.Module) -> Workload:
    """The workload of a function on tensors of these sizes."""
    model, example = Does(forward, **parts), tuple(torch.zeros(size) for size in sizes)
    workload = workload_of(model, example, name="model")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(*example)
    assert workload.macs == counter.get_total_flops() / 2
    simulate(workload, load_accelerator("bitfusion"), 8)
    return workload


def layer(workload: Workload, name: str) -> Layer:
    return next(one for one in workload.layers if one.name == name)


def names(workload: Workload) -> list[str]:
    return [one.name for one in workload.layers]


CONV, DEEP = (3, 8, 3, 1, 1), (8, 8, 3, 1, 1)


def test_norm_function_and_residual_leave_with_the_outputs() -> None:
    parts = {"a": nn.Conv2d(*CONV), "b": nn.Conv2d(*DEEP), "n": nn.BatchNorm2d(8)}
    found = read(lambda m, x: functional.silu(m.n(m.b(y := m.a(x))) + y), (1, 3, 6, 6), **parts)
    assert names(found) == ["a", "b"]
    assert found.operands["b"] == Operands(("a",), (), ("a",))
    assert layer(found, "b").activation == "silu"
    assert layer(found, "a").reads_image
    assert not layer(found, "b").reads_image


def test_what_another_layer_reads_too_stays() -> None:
    """A sum is added to a layer only if nobody needs the layer's output without it."""
    parts = {"a": nn.Conv2d(*CONV), "b": nn.Conv2d(*DEEP), "c": nn.Conv2d(*DEEP)}

    def forward(m: Any, x: Tensor) -> Tensor:
        a = m.a(x)
        b = m.b(a)
        return (a + b) * m.c(functional.gelu(b)) * torch.sigmoid(b)

    found = read(forward, (1, 3, 6, 6), **parts)
    assert names(found) == ["a", "b", "sum", "gelu", "c", "product", "sigmoid", "product_2"]
    assert found.operands["sum"] == Operands(("a",), ("b",), ())
    assert found.operands["product"] == Operands(("sum",), ("c",), ())


def test_shortcut_with_a_layer_of_its_own_comes_before_what_adds_it() -> None:
    parts = {"a": nn.Conv2d(*CONV), "b": nn.Conv2d(*DEEP), "s": nn.Conv2d(8, 8, 1)}
    found = read(lambda m, x: m.b(y := m.a(x)).add_(m.s(y)).relu_(), (1, 3, 6, 6), **parts)
    assert names(found) == ["a", "s", "b"]
    assert found.operands["b"] == Operands(("a",), (), ("s",))
    assert layer(found, "b").activation == "relu"


def test_squeeze_and_excitation_is_a_pool_and_a_product_per_channel() -> None:
    parts = {"a": nn.Conv2d(*CONV), "s": nn.Conv2d(8, 8, 1)}
    found = read(
        lambda m, x: (y := m.a(x)) * functional.hardsigmoid(m.s(y.mean((2, 3), keepdim=True))),
        (1, 3, 6, 4),
        **parts,
    )
    assert names(found) == ["a", "mean", "s", "product"]
    assert layer(found, "mean") == Layer("mean", 8, 8, (6, 4), in_size=(6, 4), operator="avg_pool")
    assert layer(found, "product").others == 8
    assert found.operands["product"] == Operands(("a",), ("s",), ())


def test_concatenation_is_free_and_its_makers_are_read_side_by_side() -> None:
    parts = {"a": nn.Conv2d(*CONV), "b": nn.Conv2d(*CONV), "c": nn.Conv2d(16, 4, 1)}
    found = read(lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)), (1, 3, 6, 6), **parts)
    assert names(found) == ["a", "b", "c"]
    assert found.operands["c"] == Operands(("a", "b"), (), ())


def test_attention_is_two_products_and_a_softmax() -> None:
    parts = {"attend": nn.MultiheadAttention(8, 2, batch_first=True)}
    model = Does(lambda m, x: m.attend(x, x, x, need_weights=False)[0], **parts)
    found = workload_of(model, torch.zeros(1, 6, 8))
    assert names(found) == [
        f"attend.{part}" for part in ("in_proj", "scores", "softmax", "context", "out_proj")
    ]
    scores, context = layer(found, "attend.scores"), layer(found, "attend.context")
    assert (scores.groups, scores.in_channels, scores.out_channels) == (2, 8, 12)
    assert (context.in_channels, context.out_channels, context.in_size) == (12, 8, (6, 1))
    assert layer(found, "attend.softmax").row == 6
    assert found.macs == 6 * 8 * 24 + 2 * 6 * 6 * 8 + 6 * 8 * 8


@pytest.mark.parametrize("hides", [False, True])
def test_a_mask_costs_a_sum_if_it_hides_something(hides: bool) -> None:
    def forward(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows, columns = torch.arange(5)[:, None], torch.arange(5)
        mask = rows >= columns if hides else rows >= 0 * columns
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    sizes = [(1, 2, 5, 4)] * 3
    found = workload_of(Does(forward), tuple(torch.zeros(size) for size in sizes))
    expected = ["scores", "mask", "softmax", "context"]
    assert names(found) == [name for name in expected if hides or name != "mask"]
    if hides:
        assert layer(found, "mask").others == 25


def test_products_keep_the_operand_that_has_one_matrix_a_head() -> None:
    parts = {"a": nn.Linear(8, 8), "b": nn.Linear(4, 4)}
    found = read(lambda m, x, y: m.a(x) @ m.b(y), (1, 5, 8), (3, 8, 4), **parts)
    matmul = layer(found, "matmul")
    assert found.operands["matmul"] == Operands(("b",), ("a",), ())
    assert (matmul.in_size, matmul.in_channels, matmul.out_channels) == ((12, 1), 8, 5)


@pytest.mark.parametrize("expanded", [False, True])
def test_heads_that_share_keys_are_more_positions_of_one(expanded: bool) -> None:
    """Grouped-query attention (Ainslie et al., EMNLP 2023), by name or with keys expanded."""

    def forward(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if expanded:
            k, v = (x[:, :, None].expand(1, 2, 3, 7, 4).reshape(1, 6, 7, 4) for x in (k, v))
        return functional.scaled_dot_product_attention(q, k, v, enable_gqa=not expanded)

    sizes = ((1, 6, 5, 4), (1, 2, 7, 4), (1, 2, 7, 4))
    found = workload_of(Does(forward), tuple(torch.zeros(size) for size in sizes))
    scores, context = layer(found, "scores"), layer(found, "context")
    assert (scores.groups, scores.in_size, scores.out_channels) == (2, (15, 1), 2 * 7)
    assert (context.groups, context.in_size, context.out_channels) == (2, (15, 1), 2 * 4)
    assert scores.macs == context.macs == 6 * 5 * 7 * 4


def test_products_with_weights_are_linear_layers() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 8, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("bhnk,hkm->bhnm", x, self.weight)

    found = workload_of(Holds(), torch.zeros(1, 3, 5, 8))
    (only,) = found.layers
    assert (only.operator, only.groups, only.weights) == ("conv", 3, 3 * 8 * 4)
    assert only.macs == 3 * 5 * 8 * 4


def test_padding_by_hand_is_the_layers_own() -> None:
    parts = {"a": nn.Conv2d(3, 8, 3, 2)}
    found = read(lambda m, x: m.a(functional.pad(x, (0, 1, 0, 1))), (1, 3, 8, 8), **parts)
    (only,) = found.layers
    assert (only.in_size, only.padding) == ((8, 8), (0, 1, 0, 1))


def test_pools_that_round_up_find_nothing_outside() -> None:
    parts = {"p": nn.MaxPool2d(3, 2, ceil_mode=True)}
    (only,) = read(lambda m, x: m.p(x), (1, 3, 8, 7), **parts).layers
    assert (only.out_size, only.padding) == ((4, 3), (0, 1, 0, 0))


def test_transposed_and_deep_and_flat_convolutions() -> None:
    for conv, size in (
        (nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1), (1, 4, 5, 5)),
        (nn.Conv3d(4, 6, 3, 2, 1, groups=2), (1, 4, 5, 6, 7)),
        (nn.Conv1d(4, 6, 3, padding="same", dilation=2), (1, 4, 9)),
        (nn.Conv1d(4, 6, 4, padding="same"), (1, 4, 9)),
        (nn.Conv2d(4, 6, 3, padding=1), (5, 4, 6, 6)),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (4, 6, 6)),
    ):
        (only,) = read(lambda m, x: m.c(x), size, c=conv).layers
        with torch.no_grad():
            assert only.outputs == conv(torch.zeros(size)).numel()
        assert only.weights == conv.weight.numel()


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x**3))),
    "silu": lambda x: x * torch.sigmoid(x),
    "hard_swish": lambda x: x * functional.relu6(x + 3) / 6,
    "hard_sigmoid": lambda x: torch.clamp(x + 3, 0, 6) / 6,
    "sigmoid": lambda x: 0.5 * (torch.tanh(x / 2) + 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_written_out_are_known_by_their_values(name: str) -> None:
    found = read(lambda m, x: FUNCTIONS[name](m.a(x)), (1, 4), a=nn.Linear(4, 4))
    assert names(found) == ["a"]
    assert layer(found, "a").activation == name


def test_other_functions_cost_what_they_are_made_of() -> None:
    found = read(lambda m, x: (y := m.a(x)) * torch.sigmoid(1.702 * y), (1, 4), a=nn.Linear(4, 4))
    assert names(found) == ["a", "sigmoid", "product"]


def test_root_mean_square_norm_written_out_is_one_layer() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.b(y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6))

    found = read(forward, (1, 5, 8), a=nn.Linear(8, 8), b=nn.Linear(8, 8))
    assert [one.operator for one in found.layers] == ["conv", "rms_norm", "conv"]
    assert layer(found, "rms_norm").row == 8


def test_channels_that_become_positions_are_moved() -> None:
    parts = {"n": nn.LayerNorm(8), "mix": nn.Linear(10, 10)}
    found = read(lambda m, x: m.mix(m.n(x).transpose(1, 2)), (1, 10, 8), **parts)
    assert names(found) == ["n", "mix.transpose", "mix.linear"]
    heads = {"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)}
    free = read(
        lambda m, x: m.b(m.a(x).view(1, 10, 2, 4).transpose(1, 2).transpose(1, 2).flatten(2)),
        (1, 10, 8),
        **heads,
    )
    assert names(free) == ["a", "b"]


def test_one_module_used_twice_is_two_layers() -> None:
    found = read(lambda m, x: m.a(m.a(x)), (1, 4), a=nn.Linear(4, 4))
    assert names(found) == ["a", "a_2"]


def test_writing_into_a_part_of_a_tensor_is_reading_its_maker() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.a(x).clone()
        y[:, :2] = m.b(x)[:, :2]
        return m.c(y)

    parts = {name: nn.Linear(4, 4) for name in "abc"}
    assert read(forward, (1, 4), **parts).operands["c"] == Operands(("a", "b"), (), ())


def test_recurrent_layers_are_taken_apart() -> None:
    """Three inputs and two states: the first state is zeros, whose product is known beforehand."""
    found = workload_of(nn.LSTM(8, 16, batch_first=True), torch.zeros(1, 3, 8))
    assert found.macs == 3 * 8 * 64 + 2 * 16 * 64
    assert not found.assumed


def test_what_has_no_price_is_named_and_what_it_reads_is_followed() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.b(torch.cumsum(m.a(x), -1))

    found = workload_of(Does(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 4)), torch.zeros(1, 4))
    assert found.assumed == (
        "aten.cumsum has no cost model and is not priced, in the model itself",
    )
    assert found.operands["b"] == Operands(("a",), (), ())


def test_index_work_is_named() -> None:
    def forward(m: Any, ids: Tensor) -> Tensor:
        return m.a(m.table(ids * 2 + 1))

    model = Does(forward, table=nn.Embedding(9, 4), a=nn.Linear(4, 2))
    found = workload_of(model, torch.zeros(1, 3, dtype=torch.long))
    assert names(found) == ["table", "a"]
    assert found.assumed == ("whole numbers and masks are not priced: add, mul",)


def branching() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        y = m.a(x)
        return {"out": m.b(y) if y.sum() > -1e9 else y}

    return Does(forward, a=nn.Linear(4, 8), b=nn.Linear(8, 2))


def test_a_model_that_decides_by_contents_is_read_from_one_run() -> None:
    found = workload_of(branching(), torch.zeros(1, 4))
    assert names(found) == ["a", "b"]
    assert found.macs == 4 * 8 + 8 * 2
    assert found.assumed[0].startswith("not exported (")
    assert "the operators are those of one run on the example" in found.assumed[0]


def test_examples_are_tensors_tuples_or_dictionaries() -> None:
    model = nn.Linear(4, 2)
    x = torch.zeros(1, 4)
    found = [workload_of(model, example) for example in (x, (x,), [x], {"input": x})]
    assert all(one == found[0] for one in found)
    assert found[0].name == "Linear"


def test_the_model_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Conv2d(*CONV), nn.BatchNorm2d(8), nn.Dropout())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model[2].eval()
    workload_of(model, torch.rand(2, 3, 6, 6))
    assert [part.training for part in model] == [True, True, False]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_wrappers_are_looked_into() -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    x = torch.zeros(1, 4)
    plain = workload_of(model, x, name="net")
    assert workload_of(nn.DataParallel(model), x, name="net") == plain
    assert workload_of(torch.compile(model), x, name="net") == plain


def test_own_networks_are_read_as_before() -> None:
    network = build_network("resnet8", "skip,4,8", 10, widths=(4, 8, 12))
    assert workload_of(network, (32, 32)) == workload_of(network, torch.zeros(1, 3, 32, 32))
    assert workload_of(network).is_gated


@pytest.mark.parametrize(
    ("model", "example", "said"),
    [
        (nn.Linear(4, 2), None, "needs an example of its input.*torch.empty"),
        (nn.Linear(4, 2), (1, 4), r"needs an example of its input.*torch.empty\(1, 4\)"),
        (nn.Linear(4, 2), np.ones((1, 4)), r"is a tensor, not ndarray: write torch.empty\(1, 4\)"),
        (nn.Linear(4, 2), torch.zeros(1, 3), "Linear does not run on this example: .*shapes"),
        (nn.Linear(4, 2), {"x": torch.zeros(1, 4)}, "Linear does not run on this example: .*'x'"),
        (nn.Identity(), torch.zeros(1, 3), "Identity has no layers"),
        (lambda x: x, torch.zeros(1, 3), "a model is a torch.nn.Module, not function"),
        (branching().to("meta"), torch.zeros(1, 4), "decisions by the contents of tensors needs"),
        (nn.Conv3d(2, 2, 1), torch.zeros(2, 2, 3, 3, 3), "give an example of one input"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(model: Any, example: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        workload_of(model, example)


def write_onnx(path: Path) -> None:
    """A linear layer over sequences, whose number and length are left open."""
    from onnx import TensorProto, helper, save

    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "seq", channels])
        for name, channels in (("x", 8), ("y", 4))
    )
    weights = helper.make_tensor("w", TensorProto.FLOAT, [8, 4], [0.5] * 32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="linear")
    save(helper.make_model(helper.make_graph([node], "net", [x], [y], [weights])), str(path))


@pytest.mark.slow
def test_examples_of_the_page_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("onnx")
    write_onnx(tmp_path / "bert.onnx")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "any_network.md").read_text()
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(example, names)
    assert "transformer.h.0.attn.scores matmul" in capsys.readouterr().out
    assert not names["network"].assumed
    assert not names["read"].assumed
