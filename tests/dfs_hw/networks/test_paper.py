"""Networks in the paper's design against a plain reference that shares no code with the package.

All is computed in double precision, where no rounding to a level hangs on a last bit. Single
equations are in `test_paper_by_hand`.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, NamedTuple

import dfs_reference
import pytest
import torch
from dfs_pairing import (
    adopt_statistics,
    gradients,
    paper_network,
    reference_of,
    spread_choices,
    twins,
)
from dfs_reference import BITS, COSTS, DFS
from torch import Tensor
from torch.nn import functional

from dfs_hw.budgets.controllers import SignSwitch
from dfs_hw.budgets.hardware_cost import BlockCost
from dfs_hw.networks import FAULTS, DynamicNetwork
from dfs_hw.networks.statistics import settle
from dfs_hw.quantize import PrecisionNorm

INPUTS, SIDE, TARGET = 24, 8, 0.3
DETERMINISTIC = tuple(sorted(FAULTS.keys() - {"stochastic-activations"}))
FAULT_SETS = [(), *((fault,) for fault in DETERMINISTIC), DETERMINISTIC]
with_every_fault = pytest.mark.parametrize(
    "faults", FAULT_SETS, ids=lambda faults: ",".join(faults) or "none"
)
EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-11}
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
@torch.enable_grad()  # statistics are those of training, whoever asks first
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
        apart, largest = float((ours - theirs).abs().max()), float(theirs.abs().max())
        assert apart <= tolerance * max(largest, 1e-9), name


def test_the_example_makes_every_choice() -> None:
    network, images, _ = example()
    choices = network(images).choices
    assert torch.bincount(choices.flatten(), minlength=len(COSTS)).min() > 2
    assert (choices != choices[0]).any(0).all()  # in no unit the same for all


# --- Our network and the reference, with the same weights


@pytest.mark.slow
@with_every_fault
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


@pytest.mark.slow
@with_every_fault
def test_the_chosen_branch_step_is_that_of_the_reference(faults: tuple[str, ...]) -> None:
    """Where norms and ranges are the running ones, so that inputs do not affect one another."""
    network, images, labels = example(*faults)
    network.normalize_by_batch(False)
    reference = reference_of(network)
    reference.normalize_by_batch(False)
    assert network.branches == "chosen"
    ours, theirs = network(images), reference(images)
    torch.testing.assert_close(ours.logits, theirs.logits, **EXACT)
    torch.testing.assert_close(ours.gates, theirs.masks, **EXACT)
    loss_of(network, ours.gates, ours.logits, labels).backward()
    dfs_reference.loss(theirs, labels, 100 * TARGET).backward()
    assert_same_gradients(network, reference, 1e-8)


def after_a_step(*faults: str) -> tuple[Example, DFS]:
    """Both after their statistics were moved by one forward pass over the batch."""
    made = example(*faults)
    reference = reference_of(made.network)
    images = 1.5 * made.images + 0.5  # other statistics than those known
    made.network(images)
    settle(made.network)
    reference(images)
    reference.end_step()
    return made, reference


@pytest.mark.slow
@with_every_fault
def test_a_step_moves_the_statistics_of_the_reference(faults: tuple[str, ...]) -> None:
    (network, *_), reference = after_a_step(*faults)
    shortcuts = [block.norm3 for block in reference.blocks if block.changes]
    # At full precision they see their inputs twice, once for skipping. We count all 2 n values, so
    # that the factor n / (n - 1) of an unbiased variance is another, by about 1 / 2 n.
    double: dict[str, Any] = {"rtol": 0.5 / (INPUTS * (SIDE // 4) ** 2), "atol": 0}
    for ours, theirs in twins(network, reference):
        if isinstance(ours, PrecisionNorm):
            torch.testing.assert_close(ours.mean, theirs.mean, **EXACT)
            allowed = double if theirs in shortcuts else EXACT
            torch.testing.assert_close(ours.variance, theirs.variance, **allowed)
        elif isinstance(theirs, dfs_reference.Convolution):
            known = torch.stack([theirs.low, theirs.high])
            torch.testing.assert_close(ours.activations.range[0], known, equal_nan=True, **EXACT)


@pytest.mark.slow
@with_every_fault
@torch.no_grad()
def test_evaluation_is_that_of_the_reference(faults: tuple[str, ...]) -> None:
    """By the chosen branches alone, from moved statistics."""
    network, images, _ = after_a_step(*faults)[0]
    reference = reference_of(network.eval())
    ours, theirs = network(images), reference(images)
    torch.testing.assert_close(ours.logits, theirs.logits, **EXACT)
    assert torch.equal(ours.choices, theirs.masks.argmax(-1))


# --- The decision: gate, mask and what learns from it (1.2 to 1.4)


@pytest.mark.parametrize("training", [True, False])
def test_a_mask_is_hard_in_training_and_evaluation(training: bool) -> None:
    network, images, _ = example()
    network.train(training)
    with torch.no_grad():
        gates = network(images).gates
    assert gates is not None
    assert torch.equal(gates.sort(-1).values[..., :-1], torch.zeros_like(gates[..., :-1]))
    assert torch.equal(gates.amax(-1), torch.ones_like(gates[..., 0]))


@pytest.mark.parametrize("branches", ["all", "chosen"])
def test_branches_not_chosen_teach_the_gate_but_not_the_weights(branches: str) -> None:
    """d/dm_k = <upstream, candidate_k> for all k; d/dcandidate_k = m_k upstream."""
    network = example().network
    network.normalize_by_batch(False)
    unit: Any = network.blocks[0]
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


# --- The release's other faults


@pytest.mark.parametrize(("faults", "runs"), [((), [1]), (("ties-run-both",), [1, 3])])
def test_options_that_tie_both_run_and_both_cost_in_the_release(
    faults: tuple[str, ...], runs: list[int]
) -> None:
    network, images, _ = example(*faults)
    with torch.no_grad():
        head = network.gate.heads()[0]
        head.weight.zero_()
        assert head.bias is not None
        head.bias.copy_(torch.tensor([0.0, 2, 0, 2, 0, 0, 0]))
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
    units: list[Any] = network.blocks
    changing = [unit for unit in units if unit.block.shortcut is not None]
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
    same = next(unit for unit in units if unit not in changing)
    assert same.run(x, 0) is x


@torch.no_grad()
def test_ranges_that_were_never_trained_erase_the_input_of_a_block() -> None:
    """Widths the network was never trained at are noise in the release, and NaN here."""
    for faults, collapses in (((), False), (("untrained-ranges",), True)):
        network = paper_network(8, faults, widths=(4, 6, 8), image_size=(SIDE, SIDE)).eval()
        unit: Any = network.blocks[0]
        conv = unit.block.conv1
        unit.dial.index = BITS.index(8)
        output = conv(torch.rand(2, *unit_shape(unit)))
        assert output.isnan().all() == (not collapses)
        if collapses:
            largest = 9 * 4 * conv.weight.abs().max().item() * 255e-8
            assert 0 < output.abs().max().item() < largest < 1e-4


@pytest.mark.parametrize("training", [True, False])
def test_dither_has_the_statistics_of_the_reference(training: bool) -> None:
    """Noise is drawn in another order, so only its effect on a block's output is compared."""
    network = example("stochastic-activations").network
    reference = reference_of(network)
    network.train(training)
    reference.train(training)
    unit: Any
    unit, block, option, draws = network.blocks[1], reference.blocks[2], 1, 100
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


def unit_shape(unit: Any) -> tuple[int, int, int]:
    channels = unit.block.conv1.weight.shape[1]
    return channels, SIDE, SIDE
