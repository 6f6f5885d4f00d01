"""The gate that goes by estimated error: what it takes at which price, and what it costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gating import CHANNELS, features_of, generator, logits_of
from torch import Tensor

from accel_models import load_accelerator, simulate
from accel_models.costs.cost_table import cost_table
from accel_models.costs.simulator import LayerSimulator
from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.reference_machine.check import check
from accel_models.replay import Policy, replay
from accel_models.replay.plan import Plan
from accel_models.trace import GateTrace
from dfs_hw.experiment import trace_header
from dfs_hw.gates import ErrorGate
from dfs_hw.gates.estimated_error import BEYOND
from dfs_hw.networks import build_network
from dfs_hw.networks.workload_of import workload_of

K = 4
COSTS = torch.tensor([0.0, 0.1, 0.15, 0.3])
PRICES = [0.0, *torch.logspace(-3, 9, 25).tolist()]


def gate_at(price: float = 0.0) -> ErrorGate:
    """The last choice is the highest precision; errors of the others are drawn."""
    made, drawn = ErrorGate(CHANNELS, K, Precision(8, 8)), generator(3)
    level = torch.randn(3, K, generator=drawn) - 2
    level[:, -1] = -1e3
    slope = torch.randn(3, K, generator=drawn) * 3
    slope[:, -1] = 0
    made.know(level, slope)
    made.table[0] = price * COSTS
    return made


def features_in(inputs: int) -> list[Tensor]:
    """What the units read, of inputs of many sizes."""
    drawn = generator(1)
    return [x * torch.randn(inputs, 1, 1, 1, generator=drawn).exp() for x in features_of(inputs)]


def chosen(gate: ErrorGate, features: list[Tensor]) -> Tensor:
    return logits_of(gate, features).argmax(-1)


def test_decisions_are_those_of_the_definition() -> None:
    features = features_in(20)
    for price in PRICES[::4]:
        gate = gate_at(price)
        found = chosen(gate, features)
        for unit, x in enumerate(features):
            for row, image in enumerate(x.double()):
                size = math.sqrt(float((image**2).mean()))
                error = [
                    math.exp(a + b * math.log(size))
                    for a, b in zip(
                        gate.level[unit].tolist(), gate.slope[unit].tolist(), strict=True
                    )
                ]
                worth = [e + price * c for e, c in zip(error, COSTS.tolist(), strict=True)]
                assert worth[found[row, unit]] == pytest.approx(min(worth), rel=1e-5, abs=1e-12)


def test_free_choices_make_no_error_and_none_costs_more_at_a_higher_price() -> None:
    features = features_in(200)
    costs = torch.stack([COSTS[chosen(gate_at(price), features)] for price in PRICES])
    assert bool((chosen(gate_at(0.0), features) == K - 1).all())
    assert bool((costs.diff(dim=0) <= 0).all())
    assert len(costs.sum((1, 2)).unique()) > 5
    assert bool((costs[-1] == 0).all())


@pytest.mark.parametrize("size", [1, 7])
def test_decisions_do_not_depend_on_the_batch(size: int) -> None:
    gate, features = gate_at(0.2), features_in(64)
    whole = logits_of(gate, features)
    assert len(whole.argmax(-1).unique(dim=0)) > 3
    parts = zip(*(x.split(size) for x in features), strict=True)
    assert torch.equal(torch.cat([logits_of(gate, list(part)) for part in parts]), whole)


def test_what_is_out_of_the_question_is_not_chosen_at_any_price() -> None:
    gate = gate_at(1e6)
    gate.table[0, :, 0] = BEYOND
    assert bool((chosen(gate, features_in(20)) == 1).all())


def test_the_squares_of_the_places_looked_at_are_charged_and_nothing_else() -> None:
    network = build_network("resnet8", "skip,8", 10, image_size=(32, 20), design={"gate": "error"})
    workload, machine = workload_of(network), load_accelerator("bitfusion")
    gates = [layer for layer in workload.layers if layer.decides]
    assert [layer.unit for layer in gates] == list(network.units)
    simulator = LayerSimulator(machine, 1, 8)
    lanes, eight = machine.array.vector_lanes, Precision(8, 8)
    for layer, channels, size in zip(gates, *network.reads[:2], strict=True):
        assert layer.in_size == size
        rows, columns = (len(range(0, side, -(-side // 8))) for side in size)
        assert layer.macs == channels * rows * columns
        cost = simulator.cost(workload, layer, eight)
        assert cost.cycles == -(-rows * columns // lanes) * (channels + 1)
    bare = simulate(workload.without_gates(), machine, 8)
    assert 0 < simulate(workload, machine, 8).energy_j / bare.energy_j - 1 < 0.05


@pytest.mark.parametrize("place", ["vector-unit", "array"])
def test_the_gate_costs_the_same_simulated_replayed_and_played(place: str) -> None:
    network = build_network(
        "resnet8", "skip,8", 10, image_size=(9, 12), widths=(4, 4, 8), design={"gate": "error"}
    )
    machine = load_accelerator("bitfusion").configured(fidelity__gates=place)
    prices = cost_table(workload_of(network), machine, network.choices)
    every = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    every = every[network.offered[torch.arange(2), every].all(1)]
    header = trace_header(
        prices.workload,
        network.choices,
        "test",
        data="none",
        accelerator="bitfusion",
        plugin="",
        seed=0,
    )
    ids = np.arange(len(every))
    trace = GateTrace(
        header, ids, ids.astype(np.int32), ids.astype(np.int32), every.numpy().astype(np.uint8)
    )
    replayed = replay(trace, prices, policy=Policy.off())
    for row, choices in enumerate(every.tolist()):
        named = {
            unit: network.choices[one] for unit, one in zip(prices.units, choices, strict=True)
        }
        alone = simulate(prices.workload, machine, named, always=prices.always)
        assert replayed.energy_j[row] == pytest.approx(alone.energy_j, rel=1e-9)
    assert check(trace, Plan(prices, Policy.off())).worst_cycles == 0


def test_inputs_cannot_leave_by_estimated_error() -> None:
    with pytest.raises(InputError, match=r"cannot say who may leave: take 'exit' from the choices"):
        build_network("resnet8", "2,8,exit", 10, design={"gate": "error"})
