"""DFS, equation by equation: against values worked out by hand, and against a plain reference.

The equations are those of `dfs_reference`, which shares no code with the package. Networks are
compared in double precision, where no rounding to levels hangs on a last bit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import dfs_reference
import pytest
import torch
from dfs_pairing import (
    adopt_statistics,
    gradients,
    paper_network,
    reference_of,
    run_by_running_statistics,
    spread_choices,
    twins,
)
from dfs_reference import BITS, COSTS, DFS
from torch import Tensor, nn
from torch.nn import functional

from accel_models.precision import FULL, parse_choices
from dfs_hw.controllers import SignSwitch
from dfs_hw.gates import decide, make_gate
from dfs_hw.hardware_cost import BlockCost, block_cost
from dfs_hw.networks import FAULTS, DynamicNetwork, build_network
from dfs_hw.quantize import Dial, PrecisionNorm, QuantizedConv2d, family
from dfs_hw.workload import workload_of

INPUTS, SIDE, TARGET = 24, 8, 0.3
DETERMINISTIC = tuple(sorted(FAULTS.keys() - {"stochastic-activations"}))
FAULT_SETS = [(), *((fault,) for fault in DETERMINISTIC), DETERMINISTIC]
EXACT = {"rtol": 0, "atol": 1e-11}
"""Of what was computed in double precision alone."""


class Example(NamedTuple):
    """A network in the paper's design, and inputs it makes diverse decisions about."""

    network: DynamicNetwork
    images: Tensor
    labels: Tensor


def example(*faults: str) -> Example:
    network, images = _example(tuple(faults))
    return Example(copy.deepcopy(network), images, torch.arange(INPUTS) % 10)


@cache
def _example(faults: tuple[str, ...]) -> tuple[DynamicNetwork, Tensor]:
    network = paper_network(14, faults, widths=(4, 6, 8), image_size=(SIDE, SIDE)).double()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(INPUTS, 3, SIDE, SIDE, generator=generator, dtype=torch.double)
    contrast = 2 * torch.rand(INPUTS, 1, 1, 1, generator=generator)
    images = noise * contrast + torch.randn(INPUTS, 3, 1, 1, generator=generator)
    spread_choices(network, images)
    adopt_statistics(network, images)
    return network, images


def loss_of(network: DynamicNetwork, gates: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    cost = BlockCost(network.units, network.choices, network.offered).double()
    switch = SignSwitch.paper(TARGET, len(network.units), len(labels))
    return functional.cross_entropy(logits, labels) + switch.term(cost(gates))


def assert_same_gradients(network: DynamicNetwork, reference: DFS, tolerance: float) -> None:
    for name, ours, theirs in gradients(network, reference):
        largest = max(float(theirs.abs().max()), 1e-9)
        torch.testing.assert_close(
            ours, theirs, rtol=0, atol=tolerance * largest, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_the_example_makes_every_choice() -> None:
    network, images, _ = example()
    choices = network(images).choices
    assert torch.bincount(choices.flatten(), minlength=len(COSTS)).min() > 2
    assert (choices != choices[0]).any(0).all()  # in no unit the same for all


# --- Our network and the reference, with the same weights


@pytest.mark.parametrize("faults", FAULT_SETS, ids=lambda faults: ",".join(faults) or "none")
def test_a_step_of_the_paper_is_that_of_the_reference(faults: tuple[str, ...]) -> None:
    network, images, labels = example(*faults)
    reference = reference_of(network)
    assert network.branches == "all"
    ours, theirs = network(images), reference(images)
    torch.testing.assert_close(ours.logits, theirs.logits, **EXACT)
    torch.testing.assert_close(ours.gates, theirs.masks, **EXACT)
    loss = loss_of(network, ours.gates, ours.logits, labels)
    expected = dfs_reference.loss(theirs, labels, 100 * TARGET)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)  # costs are single precision
    loss.backward()
    expected.backward()
    assert_same_gradients(network, reference, 1e-8)


@pytest.mark.parametrize("faults", FAULT_SETS, ids=lambda faults: ",".join(faults) or "none")
def test_the_chosen_branch_step_is_that_of_the_reference(faults: tuple[str, ...]) -> None:
    """Where norms and ranges are the running ones, so that inputs do not affect one another."""
    network, images, labels = example(*faults)
    run_by_running_statistics(network)
    reference = reference_of(network)
    reference.normalize_by_batch(False)
    assert network.branches == "chosen"
    ours, theirs = network(images), reference(images)
    torch.testing.assert_close(ours.logits, theirs.logits, **EXACT)
    torch.testing.assert_close(ours.gates, theirs.masks, **EXACT)
    loss_of(network, ours.gates, ours.logits, labels).backward()
    dfs_reference.loss(theirs, labels, 100 * TARGET).backward()
    assert_same_gradients(network, reference, 5e-6)  # gates' are added up in single precision


def after_a_step(*faults: str) -> tuple[Example, DFS]:
    """Both after their statistics were moved by one forward pass over the batch."""
    made = example(*faults)
    reference = reference_of(made.network)
    images = 1.5 * made.images + 0.5  # other statistics than those known
    made.network(images)
    made.network.commit(INPUTS)
    reference(images)
    reference.end_step()
    return made, reference


@pytest.mark.parametrize("faults", FAULT_SETS, ids=lambda faults: ",".join(faults) or "none")
def test_a_step_moves_the_statistics_of_the_reference(faults: tuple[str, ...]) -> None:
    (network, *_), reference = after_a_step(*faults)
    shortcuts = [block.norm3 for block in reference.blocks if block.changes]
    # At full precision they see their inputs twice, once for skipping. We count all 2 n values, so
    # that the factor n / (n - 1) of an unbiased variance is another, by about 1 / 2 n.
    double = {"rtol": 0.5 / (INPUTS * (SIDE // 4) ** 2), "atol": 0}
    for ours, theirs in twins(network, reference):
        if isinstance(ours, PrecisionNorm):
            torch.testing.assert_close(ours.mean, theirs.mean, **EXACT)
            allowed = double if theirs in shortcuts else EXACT
            torch.testing.assert_close(ours.variance, theirs.variance, **allowed)
        elif isinstance(theirs, dfs_reference.Convolution):
            known = torch.stack([theirs.low, theirs.high])
            torch.testing.assert_close(ours.activations.range[0], known, equal_nan=True, **EXACT)


@pytest.mark.parametrize("faults", FAULT_SETS, ids=lambda faults: ",".join(faults) or "none")
@torch.no_grad()
def test_evaluation_is_that_of_the_reference(faults: tuple[str, ...]) -> None:
    """By the chosen branches alone, from moved statistics."""
    network, images, _ = after_a_step(*faults)[0]
    reference = reference_of(network.eval())
    ours, theirs = network(images), reference(images)
    torch.testing.assert_close(ours.logits, theirs.logits, **EXACT)
    assert torch.equal(ours.choices, theirs.masks.argmax(-1))


# --- The decision: gate, mask and what learns from it (1.2 to 1.4)


def test_the_options_cost_what_the_release_charges() -> None:
    release = parse_choices("skip,8,10,12,14,16,full")
    published = [0, 1 / 16, 25 / 256, 9 / 64, 49 / 256, 1 / 4, 1]
    assert [block_cost(choice) for choice in release] == list(COSTS) == published
    assert [None if c.full else c.weight_bits for c in release[1:]] == list(BITS)


def test_gates_remember_the_blocks_before_and_forget_the_inputs_before() -> None:
    """With biases alone, an LSTM's state can be worked out by hand."""
    a, b = 0.7, -0.4  # bias of the candidate, weight of the head
    gate = make_gate("lstm", (3, 3), 2, FULL).double()
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


@pytest.mark.parametrize("training", [True, False])
def test_a_mask_is_hard_in_training_and_evaluation(training: bool) -> None:
    network, images, _ = example()
    network.train(training)
    with torch.no_grad():
        gates = network(images).gates
    assert gates is not None
    assert torch.equal(gates.sort(-1).values[..., :-1], torch.zeros_like(gates[..., :-1]))
    assert torch.equal(gates.amax(-1), torch.ones_like(gates[..., 0]))


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


@pytest.mark.parametrize("branches", ["all", "chosen"])
def test_branches_not_chosen_teach_the_gate_but_not_the_weights(branches: str) -> None:
    """d/dm_k = <upstream, candidate_k> for all k; d/dcandidate_k = m_k upstream."""
    network = example().network
    run_by_running_statistics(network)
    unit = network.blocks[0]
    features = functional.relu(torch.randn(INPUTS, 4, SIDE, SIDE, dtype=torch.double))
    chosen = 3
    gate = torch.zeros(INPUTS, len(COSTS), dtype=torch.double)
    gate[:, chosen] = 1
    gate.requires_grad_()
    output = unit.run_all(features, gate) if branches == "all" else unit.run_gated(features, gate)
    upstream = torch.randn_like(output)
    output.backward(upstream)
    for option in range(len(COSTS)):
        with torch.no_grad():
            candidate = unit.run(features, option)
        assert gate.grad is not None
        inner = (candidate * upstream).sum((1, 2, 3))
        torch.testing.assert_close(gate.grad[:, option], inner, rtol=1e-5, atol=1e-5)
    for norm in (module for module in unit.modules() if isinstance(module, PrecisionNorm)):
        assert norm.weight.grad is not None
        learned = norm.weight.grad.abs().sum(1) > 0
        assert learned.tolist() == [bits == BITS[chosen - 1] for bits in BITS]


def test_gates_alone_are_trained_as_in_stage_2() -> None:
    """Masks are computed but not applied, and the cost of what they ask for pushes them up."""
    network, images, _ = example()
    reference = reference_of(network)
    full = network.uniform("full")
    cost = BlockCost(network.units, network.choices, network.offered).double()
    switch = SignSwitch.paper(1.0, len(network.units), INPUTS)
    switch.term(cost(network.watch(images, full))).backward()

    z = functional.relu(reference.stem_norm(reference.stem(images)))
    state, masks = None, []
    for number, block in enumerate(reference.blocks):
        z = block(z, None, dfs_reference.FULL if number else 0)
        mask, state = reference.gate(number, z.detach(), state)
        masks.append(mask)
    (-1e-5 * dfs_reference.energy(torch.stack(masks[:-1], 1))).backward()
    assert_same_gradients(network, reference, 1e-6)  # costs are single precision
    assert all(
        parameter.grad is None
        for name, parameter in network.named_parameters()
        if not name.startswith("gate.")
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
    cost = BlockCost(["a", "b", "c"], parse_choices("skip,8,10,12,14,16,full"))
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
    cost = BlockCost(["a", "b", "c"], parse_choices("skip,8,10,12,14,16,full"))
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
    torch.testing.assert_close(values, theirs, **EXACT)
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


@pytest.mark.parametrize("training", [True, False])
def test_dither_has_the_statistics_of_the_reference(training: bool) -> None:
    """Noise is drawn in another order, so only its effect on a block's output is compared."""
    network = example("stochastic-activations").network
    reference = reference_of(network)
    network.train(training)
    reference.train(training)
    unit, block, option, draws = network.blocks[1], reference.blocks[2], 1, 200
    torch.manual_seed(0)
    with torch.no_grad():
        x = functional.relu(torch.randn(INPUTS, *unit_shape(unit), dtype=torch.double))
        ours = torch.stack([unit.run(x, option) for _ in range(draws)])
        theirs = torch.stack([block(x, BITS[option - 1], option - 1) for _ in range(draws)])
    error = (ours.var(0) / draws + theirs.var(0) / draws).sqrt()
    noisy = error > 0
    assert noisy.float().mean() > 0.4  # ReLU silences the others
    apart = ((ours.mean(0) - theirs.mean(0)) / error)[noisy]
    assert apart.square().mean().item() == pytest.approx(1, abs=0.1)
    assert (ours.var(0).sum() / theirs.var(0).sum()).item() == pytest.approx(1, abs=0.02)


def unit_shape(unit: nn.Module) -> tuple[int, int, int]:
    channels = unit.get_submodule("block.conv1").weight.shape[1]
    return channels, SIDE, SIDE


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


# --- The release's other faults


@pytest.mark.parametrize(("faults", "runs"), [((), [1]), (("ties-run-both",), [1, 3])])
def test_options_that_tie_both_run_and_both_cost_in_the_release(
    faults: tuple[str, ...], runs: list[int]
) -> None:
    network, images, _ = example(*faults)
    with torch.no_grad():
        network.gate.head.weight.zero_()
        network.gate.head.bias.copy_(torch.tensor([0.0, 2, 0, 2, 0, 0, 0]))
    outcome = network(images)
    wanted = torch.zeros(len(COSTS), dtype=torch.double)
    wanted[runs] = 1
    assert torch.equal(outcome.gates, wanted.expand_as(outcome.gates))
    cost = BlockCost(network.units, network.choices)(outcome.gates.float())
    assert cost.tolist() == pytest.approx([sum(COSTS[option] for option in runs)] * INPUTS)
    theirs = reference_of(network)(images)
    torch.testing.assert_close(outcome.logits, theirs.logits, **EXACT)


@pytest.mark.parametrize(("faults", "negative"), [((), False), (("free-shortcut",), True)])
def test_a_skipped_block_that_changes_shape_runs_its_shortcut(
    faults: tuple[str, ...], negative: bool
) -> None:
    network = example(*faults).network
    changing = [unit for unit in network.blocks if hasattr(unit.block.shortcut, "0")]
    assert len(changing) == 2
    unit = changing[0]
    x = functional.relu(torch.randn(INPUTS, *unit_shape(unit), dtype=torch.double))
    output = unit.run(x, 0)
    conv, norm = unit.block.shortcut
    plain = functional.conv2d(x, conv.weight, stride=2)  # at full precision
    plain = (plain - plain.mean((0, 2, 3), keepdim=True)) / (
        plain.var((0, 2, 3), keepdim=True, correction=0) + norm.eps
    ).sqrt()
    torch.testing.assert_close(output, plain if negative else plain.relu(), **EXACT)
    assert bool((output < 0).any()) == negative
    same = next(unit for unit in network.blocks if unit not in changing)
    assert same.run(x, 0) is x


@torch.no_grad()
def test_ranges_that_were_never_trained_erase_the_input_of_a_block() -> None:
    """Widths the network was never trained at are noise in the release, and NaN here."""
    for faults, collapses in (((), False), (("untrained-ranges",), True)):
        network = paper_network(8, faults, widths=(4, 6, 8), image_size=(SIDE, SIDE)).eval()
        unit = network.blocks[0]
        conv = unit.block.conv1
        unit.dial.index = BITS.index(8)
        output = conv(torch.rand(2, *unit_shape(unit)))
        assert output.isnan().all() == (not collapses)
        if collapses:
            largest = 9 * 4 * conv.weight.abs().max().item() * 255e-8
            assert 0 < output.abs().max().item() < largest < 1e-4


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

    network = build_network(
        "resnet38", "skip,8,10,12,14,16,full", 10, design={"faults": ["shared-norm"]}
    )
    last_embedding, second_bias_of_the_lstm = 64 * 10 + 10, 4 * 10
    assert parameters(network) == parameters(reference) - last_embedding - second_bias_of_the_lstm

    # Norms for each of six precisions, in 17 gated blocks.
    channels = 2 * (16 * 5 + 32 * 6 + 64 * 6) + (32 + 64)
    own_norms = build_network("resnet38", "skip,8,10,12,14,16,full", 10)
    assert parameters(own_norms) == parameters(network) + 5 * 2 * channels
