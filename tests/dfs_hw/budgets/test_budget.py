import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from priced import CHOICES, WORKLOAD

from accel_models import CostTable, cost_table, load_accelerator
from accel_models.errors import InputError
from accel_models.precision import parse_choices
from dfs_hw.budgets.budget import Budget, statistic_of
from dfs_hw.budgets.hardware_cost import BlockCost, HardwareCost


@pytest.fixture(scope="module")
def table() -> CostTable:
    return cost_table(WORKLOAD, load_accelerator("bitfusion-published"), CHOICES)


@pytest.mark.parametrize("text", ["0.8", "80%", " 80 % ", "80.%", ".8", "8e-1", 0.8])
def test_shares_of_the_highest_precision(table: CostTable, text: str | float) -> None:
    assert Budget.parse(text, HardwareCost(table)).fraction == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("metric", "unit", "scale"),
    [("energy", "uJ", 1e6), ("energy", "µJ", 1e6), ("energy", "J", 1), ("energy", "pJ", 1e12),
     ("latency", "ms", 1e3), ("latency", "us", 1e6), ("latency", "s", 1),
     ("edp", "pJs", 1e12), ("edp", "pJ·s", 1e12), ("bitops", "MBitOps", 1e-6),
     ("bitops", "Gbitops", 1e-9)],
)  # fmt: skip
def test_amounts_are_compared_with_the_reference(
    table: CostTable, metric: str, unit: str, scale: float
) -> None:
    cost = HardwareCost(table, metric)
    text = f"{cost.reference * 0.9 * scale:.9e} {unit}"
    assert Budget.parse(text, cost).fraction == pytest.approx(0.9, rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "text", "complaint"),
    [("energy", "5ms", "counted in J, not in 'ms'"),
     ("energy", "0,5", "write a share such as 0.6 "),
     ("latency", "5uJ", "counted in s, not in 'uJ'"),
     ("energy", "5xJ", "'xJ' is no multiple of J"),
     ("energy", "cheap", "'cheap' is not a budget"),
     ("energy", "-1", "'-1' is not a budget"),
     ("energy", "1.5", "only 0.[0-9]+ to 1.[0-9]+ can be reached"),
     ("energy", "150%", "can be reached"),
     ("energy", "0.01", "can be reached .*e-[0-9]+ J"),
     ("latency", "1ps", "can be reached")],
)  # fmt: skip
def test_unusable_budgets_say_why(table: CostTable, metric: str, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Budget.parse(text, HardwareCost(table, metric))


def test_a_bound_itself_can_be_asked_for(table: CostTable) -> None:
    """Sums over units are rounded to float32, on either side of what they stand for."""
    for count in range(1, 54):
        cost = BlockCost([str(unit) for unit in range(count)], parse_choices("8,16,full"))
        assert Budget.parse("100%", cost).fraction == 1
        assert Budget.parse("6.25%", cost).fraction == 1 / 16


def test_shares_of_the_papers_cost_are_the_papers() -> None:
    cost = BlockCost(["a", "b", "c"], parse_choices("skip,8,16,full"))
    assert Budget.parse("30%", cost) == Budget("30%", 0.3, "mean")
    assert Budget.parse("0.2@p90", cost) == Budget("0.2@p90", 0.2, "p90")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("45uJ", "metric paper has no unit such as 'uJ', only shares: write a share such as 0.6"),
     ("2 blocks", "metric paper has no unit"),
     ("all", "'all' is not a budget: write a share such as 0.6 or 60%$"),
     ("120%", r"only 0.000 to 1.000 can be reached$")],
)  # fmt: skip
def test_the_papers_cost_has_no_amounts(text: str, complaint: str) -> None:
    cost = BlockCost(["a", "b", "c"], parse_choices("skip,8,16,full"))
    with pytest.raises(InputError, match=complaint):
        Budget.parse(text, cost)


@pytest.mark.parametrize("text", ["{}uJ@p95", " {} uJ @ p95 ", "{}e-6J@p95"])
def test_a_budget_may_be_for_a_percentile(table: CostTable, text: str) -> None:
    cost = HardwareCost(table)
    budget = Budget.parse(text.format(f"{cost.reference * 0.9e6:.9f}"), cost)
    assert budget.fraction == pytest.approx(0.9, rel=1e-6)
    assert budget.statistic == "p95"
    assert str(budget) == budget.text == text.format(f"{cost.reference * 0.9e6:.9f}").strip()


def test_a_budget_reads_its_statistic_off_the_costs() -> None:
    costs = torch.arange(101) / 100
    assert Budget("0.5", 0.5).cost_of(costs) == pytest.approx(0.5)
    assert Budget("0.5@p50", 0.5, "p50").cost_of(costs) == pytest.approx(0.5)
    assert Budget("0.5@p95", 0.5, "p95").cost_of(costs) == pytest.approx(0.95)
    assert Budget("0.5@p99", 0.5, "p99").cost_of(costs.numpy() ** 2) == pytest.approx(0.99**2)


@given(st.lists(st.floats(0, 1), min_size=1), st.integers(50, 99))
def test_at_least_the_percentage_of_inputs_stays_within_a_percentile(
    costs: list[float], percentage: int
) -> None:
    level = statistic_of(np.array(costs), f"p{percentage}")
    within = sum(cost <= level for cost in costs)
    assert within >= math.floor((len(costs) - 1) * percentage / 100) + 1
    assert min(costs) <= level <= max(costs)


@pytest.mark.parametrize("statistic", ["", "median", "p49", "p100", "p", "95", "P95", "p9.5"])
def test_unknown_statistics_are_refused(table: CostTable, statistic: str) -> None:
    with pytest.raises(InputError, match=f"budget '0.8@{statistic}': '{statistic}' is no statist"):
        Budget.parse(f"0.8@{statistic}", HardwareCost(table))


def test_a_product_of_means_has_no_percentiles(table: CostTable) -> None:
    with pytest.raises(InputError, match="metric edp is mean energy times mean latency"):
        Budget.parse("0.8@p95", HardwareCost(table, "edp"))
    assert Budget.parse("0.8@mean", HardwareCost(table, "edp")).statistic == "mean"
