"""DFS, equation by equation, against values worked out by hand or published.

The plain reference is held to the same values, so that it can be trusted elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dfs_reference
import pytest
import torch
from dfs_pairing import CHOICES, paper_network
from dfs_reference import BITS, COSTS, DFS
from torch import Tensor, nn
from torch.nn import functional

from accel_models.precision import FULL, parse_choices
from dfs_hw.budgets.controllers import SignSwitch
from dfs_hw.budgets.hardware_cost import BlockCost, block_cost
from dfs_hw.gates import decide, make_gate
from dfs_hw.networks import build_network
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.quantize import Dial, PrecisionNorm, QuantizedConv2d, family

# --- Decisions (1.2 to 1.4)


def test_the_options_cost_what_the_release_charges() -> None:
    release = parse_choices(CHOICES)
    published = [0, 1 / 16, 25 / 256, 9 / 64, 49 / 256, 1 / 4, 1]
    assert [block_cost(choice) for choice in release] == list(COSTS) == published
    assert [None if c.full else c.weight_bits for c in release[1:]] == list(BITS)


def test_gates_remember_the_blocks_before_and_forget_the_inputs_before() -> None:
    """With biases alone, an LSTM's state can be worked out by hand."""
    a, b = 0.7, -0.4  # bias of the candidate, weight of the head
    gate: Any = make_gate("lstm", (3, 3), 2, FULL).double()
    for parameter in gate.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        gate.cell.bias[2 * 10 : 3 * 10] = a
        gate.head.weight[1, 0] = b
    features = torch.rand(1, 3, 4, 4, dtype=torch.double)
    # All gates are half open: sigmoid(0).
    first = 0.5 * math.tanh(a)
    second = 0.5 * first + 0.5 * math.tanh(a)
    wanted = [b * 0.5 * math.tanh(cell) for cell in (first, second)]
    for _ in range(2):
        state, got = gate.begin(features), []
        for unit in range(2):
            logits, state = gate(unit, features, state)
            assert logits[0, 0] == 0
            got.append(logits[0, 1].item())
        assert got == pytest.approx(wanted, abs=1e-15)


def test_a_mask_has_the_gradient_of_the_softmax() -> None:
    logits = torch.tensor([[math.log(2), math.log(5), math.log(1)]], requires_grad=True)
    mask = decide(logits, torch.ones(3, dtype=torch.bool))
    assert mask.tolist() == [[0, 1, 0]]
    (mask * torch.tensor([[3.0, 7, 11]])).sum().backward()
    p = (2 / 8, 5 / 8, 1 / 8)
    mean = 3 * p[0] + 7 * p[1] + 11 * p[2]
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx(
        [p[0] * (3 - mean), p[1] * (7 - mean), p[2] * (11 - mean)], rel=1e-5
    )


# --- Cost, loss and target (1.5, 1.8)


def two_inputs_in_three_blocks() -> Tensor:
    """One runs at 8 bits, 16 bits and in full, the other skips, skips and runs at 12 bits."""
    choices = torch.tensor([[1, 5, 6], [0, 0, 3]])
    return functional.one_hot(choices, len(COSTS)).double()


def test_the_cost_of_a_batch_adds_up_by_hand() -> None:
    masks = two_inputs_in_three_blocks()
    summed = 1 / 16 + 1 / 4 + 1 + 9 / 64
    assert dfs_reference.energy(masks).item() == summed
    assert dfs_reference.percentage(masks) == pytest.approx(100 * summed / 6, rel=1e-15)
    cost = BlockCost(["a", "b", "c"], parse_choices(CHOICES))
    assert cost(masks.float()).tolist() == pytest.approx([(1 / 16 + 1 / 4 + 1) / 3, 9 / 64 / 3])


@pytest.mark.parametrize(
    ("target", "direction"), [(24.0, 1), (24.23, -1), (25.0, -1)]
)  # the batch is at 24.22 %
def test_the_loss_by_hand(target: float, direction: int) -> None:
    masks, logits = two_inputs_in_three_blocks(), torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    labels = torch.tensor([0, 1])
    entropy = (math.log(2) + math.log(4 / 3)) / 2
    beta, summed = 0.25, 1 / 16 + 1 / 4 + 1 + 9 / 64
    wanted = entropy + direction * beta * summed
    result = dfs_reference.Result(logits.double(), masks)
    assert dfs_reference.loss(result, labels, target, beta).item() == pytest.approx(wanted)
    cost = BlockCost(["a", "b", "c"], parse_choices(CHOICES))
    term = SignSwitch.paper(target / 100, 3, 2, beta).term(cost(masks.float()))
    assert functional.cross_entropy(logits, labels) + term == pytest.approx(wanted, rel=1e-6)


def test_a_cost_exactly_at_the_target_is_rewarded() -> None:
    """r = -1 if cp <= target: without a dead zone, and the target itself is no excess."""
    everything = functional.one_hot(torch.full((4, 3), 6), len(COSTS)).double()
    result = dfs_reference.Result(torch.zeros(4, 2, dtype=torch.double), everything)
    at_target = dfs_reference.loss(result, torch.zeros(4, dtype=torch.int64), 100.0, 0.1)
    assert at_target.item() == pytest.approx(math.log(2) - 0.1 * 12)
    cost = BlockCost(["a", "b"], parse_choices("skip,8,full"))
    every_second = cost.of_choices(torch.tensor([[2, 0], [0, 2]]))
    assert SignSwitch.paper(0.5, 2, 2, 0.1).term(every_second).item() == pytest.approx(-0.1 * 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "total", "shares"),
    [(38, 83.28, (93.80, 5.67, 0.53)), (74, 168.22, (96.93, 2.81, 0.26))],
)
def test_what_the_cost_leaves_out(
    depth: int, total: float, shares: tuple[float, float, float]
) -> None:
    """Published: million MACs, and per cent of them in gated blocks, block 1 and the stem."""
    network = paper_network(depth)
    assert len(network.units) == (depth - 2) // 2 - 1
    macs: dict[str, float] = {}
    for layer in workload_of(network).layers:
        part = layer.name.split(".")[0]
        if layer.role != "gate":
            group = part if part in ("block1", "stem", "classifier") else "gated"
            macs[group] = macs.get(group, 0) + layer.macs / 1e6
    summed = sum(macs.values())
    assert summed == pytest.approx(total, abs=0.005)
    got = [100 * macs[group] / summed for group in ("gated", "block1", "stem")]
    assert got == pytest.approx(shares, abs=0.005)


# --- The quantiser (1.6)


def test_values_are_rounded_between_two_extremes_by_hand() -> None:
    x = torch.tensor([[0.5, 1.0], [2.0, 8.0]])
    wanted = [[0.5, 0.5], [3.0, 8.0]]  # steps of 2.5 from 0.5: no level is zero
    assert dfs_reference.Round.apply(x, 2, 0.5, 8.0, False).tolist() == wanted
    values, scale = family("minmax").weights((2,), x)(x, 0)
    assert (values * scale).tolist() == wanted


@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_rounding_is_that_of_the_reference(bits: int) -> None:
    x = torch.randn(6, 50, dtype=torch.double, generator=torch.Generator().manual_seed(bits))
    low, high = float(x.amin(1).mean()), float(x.amax(1).mean())
    ours = family("minmax").activations((bits,), True).double().train()
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    values, _ = ours(a, 0)
    theirs = dfs_reference.Round.apply(b, bits, low, high, False)
    torch.testing.assert_close(values, theirs, rtol=0, atol=1e-12)
    assert ((x < low).any() and (x > high).any()).item()  # some were clipped
    upstream = torch.randn_like(x)
    values.backward(upstream)
    theirs.backward(upstream)
    assert a.grad is not None
    assert torch.equal(a.grad, upstream)
    assert b.grad is not None
    assert torch.equal(b.grad, upstream)


def test_zeros_of_the_padding_are_not_rounded() -> None:
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    nn.init.ones_(conv.weight)
    layer = QuantizedConv2d(conv, parse_choices("2"), quantizers=family("minmax"))
    image = 1 + torch.arange(9.0).reshape(1, 1, 3, 3)  # levels 1, 3.67, 6.33 and 9
    middle = layer(image)[0, 0, 1, 1].item()
    corner = layer(image)[0, 0, 0, 0].item()
    levels = [1 + 8 / 3 * level for level in (0, 0, 1, 1, 2, 2, 2, 3, 3)]
    assert middle == pytest.approx(sum(levels))
    assert corner == pytest.approx(levels[0] + levels[1] + levels[3] + levels[4])


# --- Batch norm: one for each width, or the release's one for all


def test_a_shared_norm_is_moved_by_each_precision_in_turn() -> None:
    """Six passes a step, the last of which, full precision, weighs most."""
    passes, mean, variance = batches_of_six_precisions()
    norm = norm_after(passes, shared=True)
    assert norm.mean.shape == (1, 1)
    known, spread = 0.0, 1.0
    for batch_mean, batch_variance in zip(mean, variance, strict=True):
        known += 0.1 * (batch_mean - known)
        spread += 0.1 * (batch_variance - spread)
    assert norm.mean.item() == pytest.approx(known, rel=1e-5)
    assert norm.variance.item() == pytest.approx(spread, rel=1e-5)
    assert known == pytest.approx(sum(0.1 * 0.9 ** (5 - k) * m for k, m in enumerate(mean)))


def test_a_norm_of_its_own_is_moved_once_by_its_own_batch() -> None:
    passes, mean, variance = batches_of_six_precisions()
    norm = norm_after(passes, shared=False)
    assert norm.mean[:, 0].tolist() == pytest.approx([0.1 * m for m in mean], rel=1e-5)
    moved = [0.9 + 0.1 * v for v in variance]
    assert norm.variance[:, 0].tolist() == pytest.approx(moved, rel=1e-5)


def batches_of_six_precisions() -> tuple[list[Tensor], list[float], list[float]]:
    """Batches, their means, and their unbiased variances."""
    generator = torch.Generator().manual_seed(0)
    batches = [k + (k + 1) * torch.randn(4, 1, 2, 2, generator=generator) for k in range(6)]
    return batches, [b.mean().item() for b in batches], [b.var().item() for b in batches]


def norm_after(passes: Sequence[Tensor], shared: bool) -> PrecisionNorm:
    dial = Dial()
    norm = PrecisionNorm(nn.BatchNorm2d(1), len(passes), dial, shared).train()
    for dial.index, batch in enumerate(passes):
        norm(batch)
    norm.absorb(norm.pending, norm.pending[:, 0] / len(passes[0]))
    return norm


# --- Size


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_are_those_counted_in_the_release() -> None:
    """ResNet-38: 573,131 of which 7,857 are the gates', with what the release never uses."""
    groups = ((16, 6), (32, 6), (64, 6))
    third_norms = sum(2 * width * blocks for width, blocks in groups)  # made in every block,
    used = 2 * (32 + 64)  # and called in those two that change the shape
    reference = DFS(38, 10, faults=["shared-norm"])
    assert parameters(reference) + third_norms - used == 573_131
    assert parameters(reference.gate) == 7_857

    network = build_network("resnet38", CHOICES, 10, design={"faults": ["shared-norm"]})
    last_embedding, second_bias_of_the_lstm = 64 * 10 + 10, 4 * 10
    assert parameters(network) == parameters(reference) - last_embedding - second_bias_of_the_lstm

    # Norms for each of six precisions, in 17 gated blocks.
    channels = 2 * (16 * 5 + 32 * 6 + 64 * 6) + (32 + 64)
    own_norms = build_network("resnet38", CHOICES, 10)
    assert parameters(own_norms) == parameters(network) + 5 * 2 * channels
