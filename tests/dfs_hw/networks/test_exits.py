"""Networks that inputs may leave: what leaves with what, what stops, and what it costs."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from accel_models import load_accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.costs.simulator import simulate
from accel_models.errors import InputError
from accel_models.replay import Policy, replay
from accel_models.trace import GateTrace
from dfs_hw.budgets.hardware_cost import HardwareCost
from dfs_hw.experiment import static_cost, trace_header
from dfs_hw.networks import DynamicNetwork, build_network, make_dynamic
from dfs_hw.networks.leaving import without_exits
from dfs_hw.networks.passes import Forced, Mixing
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.recording import evaluate, modal_assignment

SIZE = (8, 8)
CHOICES = "skip,2,8,exit"
LEAVE = 3


@cache
def settled(gate: str = "lstm", depth: int = 14) -> DynamicNetwork:
    """A small network that has seen data, in evaluation."""
    network = build_network(
        f"resnet{depth}", CHOICES, 5, image_size=SIZE, widths=(4, 8, 8), design={"gate": gate}
    )
    network.calibrate([torch.randn(16, 3, *SIZE, generator=torch.Generator().manual_seed(1))] * 2)
    return network.eval()


@cache
def table(gate: str = "lstm") -> CostTable:
    network = settled(gate)
    return cost_table(workload_of(network), load_accelerator("bitfusion"), network.choices)


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def assignments(count: int, seed: int) -> Tensor:
    """Random choices [count, units], those behind an exit included: nobody gets to them."""
    drawn = torch.Generator().manual_seed(seed)
    return torch.multinomial(settled().offered.float().repeat(count, 1), 1, generator=drawn).view(
        count, -1
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
@torch.no_grad()
def test_an_input_leaves_with_what_its_exit_says_of_it_alone(count: int, seed: int) -> None:
    network, x, chosen = settled(), images(count, seed), assignments(count, seed)
    outcome = network(x, chosen)
    for row, choices in enumerate(chosen.tolist()):
        stays = [LEAVE not in choices[: unit + 1] for unit in range(len(choices))]
        kept = [choice if here else LEAVE for choice, here in zip(choices, stays, strict=True)]
        assert outcome.choices[row].tolist() == kept
        run = torch.tensor(
            [choice if here else 2 for choice, here in zip(choices, stays, strict=True)]
        )
        beliefs, end = network.all_beliefs(x[row : row + 1], run)
        wanted = end[0] if all(stays) else beliefs[0, stays.index(False)]
        torch.testing.assert_close(outcome.logits[row], wanted, rtol=0, atol=1e-5)


@torch.no_grad()
def test_nothing_runs_for_an_input_that_has_left() -> None:
    network, ran = settled(), dict.fromkeys(settled().units, 0)
    hooks = [
        unit.block.conv1.register_forward_hook(
            lambda _, given, out, name=unit.name: ran.update({name: ran[name] + len(given[0])})
        )
        for unit in network.blocks
    ]
    for unit in network.blocks:
        unit.fused, unit.was_fused = None, unit.fused
    chosen = network.uniform(8).repeat(6, 1)
    for row in range(6):
        chosen[row, row:] = LEAVE
    try:
        network(images(6), chosen)
    finally:
        for hook, unit in zip(hooks, network.blocks, strict=True):
            hook.remove()
            unit.fused = unit.was_fused
    units = len(network.units)
    assert list(ran.values()) == [6 - unit - 1 for unit in range(units)]


@pytest.mark.parametrize("gate", ["lstm", "upfront", "confidence"])
@torch.no_grad()
def test_decisions_and_logits_do_not_depend_on_the_batch(gate: str) -> None:
    network, x = settled(gate), images(12)
    if gate == "confidence":
        network.gate.table[0, :, LEAVE] = torch.linspace(0.9, 0.3, len(network.units))
    together = network(x)
    for row in range(len(x)):
        alone = network(x[row : row + 1])
        assert torch.equal(alone.choices[0], together.choices[row])
        torch.testing.assert_close(alone.logits[0], together.logits[row], rtol=0, atol=1e-5)


@torch.no_grad()
def test_training_decides_and_predicts_as_evaluation_does() -> None:
    network, x = build_network("resnet8", CHOICES, 5, image_size=SIZE, widths=(4, 8, 8)), images(16)
    network.calibrate([x])
    network.normalize_by_batch(False)
    stopped = network.eval()(x)
    with torch.enable_grad():
        made = network.train()(x)
    assert len(stopped.choices.unique()) > 1
    assert torch.equal(made.choices, stopped.choices)
    torch.testing.assert_close(made.logits, stopped.logits, rtol=0, atol=1e-4)


def test_leaving_has_the_gradient_of_what_it_changes() -> None:
    network = settled(depth=8)
    mixing = Mixing(network, Forced(network, assignments(4, 0)))
    mixing.beliefs = list(torch.randn(2, 4, 5))
    end, weights = torch.randn(4, 5), torch.randn(4, 5)

    def worth(leaves: Tensor) -> Tensor:
        mixing.leaves = list(leaves)
        return (mixing.logits(end) * weights).sum(1)

    for first, second in itertools.product((0.0, 1.0), repeat=2):
        leaves = torch.tensor([[first] * 4, [second] * 4], requires_grad=True)
        (slope,) = torch.autograd.grad(worth(leaves).sum(), leaves)
        for at in (0, 1):  # the sum is linear in each: its slope is the difference it makes
            with_it, without = leaves.detach().clone(), leaves.detach().clone()
            with_it[at], without[at] = 1, 0
            torch.testing.assert_close(slope[at], worth(with_it) - worth(without))


def by_hand(prices: CostTable, metric: str, choices: tuple[int, ...]) -> float:
    """Cost of one input, layer after layer until it has left."""
    total, workload = 0.0, prices.workload
    values, left = prices._layer_costs(metric), False
    for number, layer in enumerate(workload.layers):
        unit = workload.units.index(layer.unit) if layer.unit else -1
        if unit >= 0 and not layer.decides and choices[unit] == LEAVE:
            left = True
        if not left:
            total += float(values[number, choices[unit] if unit >= 0 else 0])
    return total


@pytest.mark.parametrize("metric", ["energy", "latency", "edp"])
@pytest.mark.parametrize("gate", ["lstm", "confidence"])
def test_the_cost_of_choices_is_that_of_the_layers_that_are_reached(metric: str, gate: str) -> None:
    network, prices = settled(gate), table(gate)
    cost = HardwareCost(prices, metric, network.offered)
    parts = ("energy", "latency") if metric == "edp" else (metric,)
    for row in assignments(25, 3).tolist():
        amounts = [by_hand(prices, part, tuple(row)) for part in parts]
        found = float(cost.of_choices(torch.tensor([row]))) * cost.reference
        assert found == pytest.approx(np.prod(amounts), rel=1e-5)


def test_floor_and_ceiling_are_the_least_and_most_of_all_assignments() -> None:
    network = build_network("resnet8", CHOICES, 5, image_size=SIZE, widths=(4, 8, 8))
    prices = cost_table(workload_of(network), load_accelerator("bitfusion"), network.choices)
    cost = HardwareCost(prices, "energy", network.offered)
    offered = [row.nonzero()[:, 0].tolist() for row in network.offered]
    every = torch.tensor(list(itertools.product(*offered)))
    found = cost.of_choices(every)
    assert cost.floor == pytest.approx(float(found.min()), rel=1e-6)
    assert cost.ceiling == pytest.approx(float(found.max()), rel=1e-6)


def test_the_price_of_leaving_is_what_is_not_spent_behind() -> None:
    network, prices = settled(), table()
    cost = HardwareCost(prices, "energy", network.offered)
    gates = nn.functional.one_hot(assignments(1, 8) % 3, 4).float().requires_grad_()
    (slope,) = torch.autograd.grad(cost(gates).sum(), gates)
    for unit in range(len(network.units)):
        leaves = gates.detach().clone()
        leaves[0, unit] = 0
        stays = leaves.clone()
        leaves[0, unit, LEAVE] = 1
        # Multilinear: the slope is the difference that the choice makes, the others as they are.
        assert float(slope[0, unit, LEAVE]) == pytest.approx(
            float(cost(leaves) - cost(stays)), rel=1e-4, abs=1e-6
        )


def test_a_recorded_trace_replays_as_simulation_has_its_inputs() -> None:
    network, prices, x = settled(), table(), images(10)
    outcome = network(x, assignments(10, 5))
    header = trace_header(
        prices.workload,
        network.choices,
        "test",
        data="none",
        accelerator="bitfusion",
        plugin="",
        seed=0,
    )
    ids = np.arange(10, dtype=np.int64)
    trace = GateTrace(
        header,
        ids,
        ids.astype(np.int32),
        outcome.logits.argmax(1).numpy().astype(np.int32),
        outcome.choices.numpy().astype(np.uint8),
    )
    replayed = replay(trace, prices, policy=Policy.off())
    for row, choices in enumerate(outcome.choices.tolist()):
        named = {
            unit: network.choices[choice]
            for unit, choice in zip(prices.units, choices, strict=True)
        }
        alone = simulate(prices.workload, prices.accelerator, named, always=prices.always)
        assert replayed.energy_j[row] == pytest.approx(alone.energy_j, rel=1e-9)


def test_frozen_to_leave_a_network_is_one_that_ends_there_and_has_no_other_exit() -> None:
    network, prices = settled(), table()
    choices = torch.tensor([[2, 1, 3, 3, 3]] * 3 + [[2, 2, 2, 1, 2]] * 2)
    modal = modal_assignment(choices, network.leaving)
    assert modal.tolist() == [2, 1, 3, 3, 3]
    at = dict(zip(prices.units, (network.choices[one] for one in modal.tolist()), strict=True))
    run = static_cost(prices, at)
    names = [one.layer.name for one in run.layers]
    left = prices.units[2]
    assert [name for name in names if ".exit." in name] == [
        f"{left}.exit.hidden",
        f"{left}.exit.classes",
    ]
    assert not [name for name in names if ".gate." in name or name.startswith("classifier")]
    seen = evaluate(network, [(images(4), torch.zeros(4, dtype=torch.long))], modal)
    assert seen.choices.tolist() == [modal.tolist()] * 4


class Reread(nn.Module):
    """Two blocks, the input of the first of which is read again behind the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()) for _ in range(2)
        )
        self.classifier = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        made = self.second(self.first(x))
        return self.classifier((made + x).mean((2, 3)))


def test_exits_that_a_network_has_no_place_for_are_refused() -> None:
    with pytest.raises(InputError, match=r"cannot leave Reread at 'first'.*read behind it"):
        make_dynamic(Reread(), "4,8", image=(3, 8, 8), blocks=["first", "second"], exits="*")
    with pytest.raises(InputError, match="'block9' is none of the units of resnet8"):
        build_network("resnet8", CHOICES, 5, design={"exits": ("block9",)})
    with pytest.raises(InputError, match="there are none: add 'exit'"):
        build_network("resnet8", "2,8", 5, design={"gate": "confidence"})


def test_without_its_exits_a_network_computes_what_it_did() -> None:
    network, x = settled(), images(4)
    bare = without_exits(network)
    assert bare.choices == network.choices[:3]
    assert not bare.exits
    for choice in ("skip", 2, 8):
        with torch.no_grad():
            torch.testing.assert_close(
                bare(x, bare.uniform(choice)).logits, network(x, network.uniform(choice)).logits
            )
    assert not workload_of(bare).exits


def test_exits_can_stand_at_some_units_alone() -> None:
    network = build_network(
        "resnet14", CHOICES, 5, image_size=SIZE, widths=(4, 8, 8), design={"exits": ("block3",)}
    )
    x = images(6)
    network.calibrate([x])
    left = network.assign([8, "exit", "skip", "skip", "skip"])
    seen = network.eval()(x, left)
    assert seen.choices.tolist() == [[2, 3, 3, 3, 3]] * 6
    prices = cost_table(workload_of(network), load_accelerator("bitfusion"), network.choices)
    cost = HardwareCost(prices, "energy", network.offered)
    assert float(cost.of_choices(seen.choices).max()) < float(
        cost.of_choices(network.uniform(2)[None])
    )
    wrong = torch.tensor([2, 2, 3, 3, 3])
    with pytest.raises(InputError, match="'block4' does not offer 'exit'"):
        cost.of_choices(wrong[None])
    with pytest.raises(InputError, match="cannot leave at 'block4'"):
        network(x, wrong)
    # 3 of 10 leave at block3, where most choose 8; behind it they are no part of the mode.
    decided = torch.tensor([[2, 3, 3, 3, 3]] * 3 + [[2, 2, 1, 1, 1]] * 4 + [[2, 1, 2, 2, 2]] * 3)
    decided[7:9, 2] = 0
    assert modal_assignment(decided, network.leaving).tolist() == [2, 2, 1, 1, 1]
