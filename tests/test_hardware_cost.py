import itertools

import numpy as np
import pytest
import torch
from networks import gated_pair

from accel_models import CostTable, cost_table, load_accelerator
from accel_models.errors import DfsHwError, InputError
from accel_models.precision import highest
from accel_models.simulator import simulate
from dfs_hw.hardware_cost import METRICS, HardwareCost

CHOICES = "8,skip,2,4"  # the highest first, so that no test relies on the usual order
WORKLOAD = gated_pair()


@pytest.fixture(scope="module")
def table() -> CostTable:
    return cost_table(WORKLOAD, load_accelerator("bitfusion-published"), CHOICES)


def one_hot(*rows: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(rows), 4).float()


@pytest.mark.parametrize("metric", METRICS)
def test_the_highest_precision_everywhere_costs_one_and_its_gates(
    table: CostTable, metric: str
) -> None:
    cost = HardwareCost(table, metric)
    dearest = cost(one_hot((0, 0))).item()
    assert dearest == pytest.approx(cost.ceiling, rel=1e-6)
    assert 1 < dearest < 1.1


@pytest.mark.parametrize("metric", ["energy", "latency", "bitops"])
def test_floor_and_ceiling_are_the_extremes_of_all_assignments(
    table: CostTable, metric: str
) -> None:
    cost = HardwareCost(table, metric)
    each = cost(one_hot(*itertools.product(range(4), repeat=2)))
    assert cost.floor == pytest.approx(each.min().item(), rel=1e-6)
    assert cost.ceiling == pytest.approx(each.max().item(), rel=1e-6)


@pytest.mark.parametrize("metric", ["energy", "latency", "bitops"])
def test_costs_add_up_to_those_of_the_table(table: CostTable, metric: str) -> None:
    cost = HardwareCost(table, metric)
    fixed, units = table.costs(metric)
    rows = [(0, 1), (2, 3), (1, 1)]
    wanted = [fixed + units[0, a] + units[1, b] for a, b in rows]
    got = cost(one_hot(*rows)) * cost.reference
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-6)
    np.testing.assert_allclose(cost.of_choices(torch.tensor(rows)).numpy() * cost.reference, wanted)


def test_reference_is_the_energy_of_the_network_without_gates(table: CostTable) -> None:
    static = simulate(WORKLOAD.without_gates(), table.accelerator, highest(table.choices))
    assert HardwareCost(table).reference == pytest.approx(static.energy_j, rel=1e-12)


def test_gradient_is_the_price_of_each_choice(table: CostTable) -> None:
    cost = HardwareCost(table)
    gates = one_hot((0, 2), (1, 3)).requires_grad_()
    cost(gates).sum().backward()
    _, units = table.costs("energy")
    assert gates.grad is not None
    for row in gates.grad:
        np.testing.assert_allclose(row.numpy() * cost.reference, units, rtol=1e-6)


def test_energy_delay_product_is_the_product_of_the_means(table: CostTable) -> None:
    gates = torch.rand(5, 2, 4).softmax(-1).requires_grad_()
    energy, delay, product = (HardwareCost(table, m) for m in ("energy", "latency", "edp"))
    wanted = energy(gates).mean() * delay(gates).mean()
    got = product(gates).mean()
    assert got.item() == pytest.approx(wanted.item(), rel=1e-5)
    (expected,) = torch.autograd.grad(wanted, gates, retain_graph=True)
    (gradient,) = torch.autograd.grad(got, gates)
    assert torch.allclose(gradient, expected, rtol=1e-4)
    assert product.reference == pytest.approx(energy.reference * delay.reference)


@pytest.mark.parametrize("metric", METRICS)
def test_no_choices_cost_less_than_the_floor(table: CostTable, metric: str) -> None:
    cost = HardwareCost(table, metric)
    every = [(a, b) for a in range(4) for b in range(4)]
    costs = [cost(one_hot(pair)).item() for pair in every]
    assert cost.floor <= min(costs) * (1 + 1e-6)
    if metric == "energy":
        assert cost.floor == pytest.approx(min(costs), rel=1e-6)


def test_gates_of_another_network_are_refused_by_name(table: CostTable) -> None:
    with pytest.raises(ValueError, match=r"\[3, 5, 4\].*2 units \(a, b\).*8, skip, 2, 4"):
        HardwareCost(table)(torch.zeros(3, 5, 4))


def test_unknown_metric_and_impossible_precision_are_refused(table: CostTable) -> None:
    with pytest.raises(InputError, match=r"'power'.*energy, latency, edp, bitops"):
        HardwareCost(table, "power")
    with pytest.raises(DfsHwError, match="16"):
        HardwareCost(cost_table(WORKLOAD, table.accelerator, "8,16", always="8"))
