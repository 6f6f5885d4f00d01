import pytest
import torch
from test_hardware_cost import CHOICES, WORKLOAD

from accel_models import CostTable, cost_table, load_accelerator
from accel_models.errors import InputError
from dfs_hw.budget import GROWTH, Budget, SignSwitch
from dfs_hw.hardware_cost import HardwareCost


@pytest.fixture(scope="module")
def table() -> CostTable:
    return cost_table(WORKLOAD, load_accelerator("bitfusion-published"), CHOICES)


@pytest.mark.parametrize("text", ["0.8", "80%", " 80 % ", ".8", "8e-1", 0.8])
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


@pytest.mark.parametrize(("mean", "direction"), [(0.7, 1), (0.6, -1), (0.5, -1)])
def test_switch_pushes_towards_the_target(mean: float, direction: int) -> None:
    costs = torch.tensor([mean - 0.1, mean + 0.1], requires_grad=True)
    term = SignSwitch(0.6, 2.0)(costs)
    term.backward()
    assert term.item() == pytest.approx(direction * 2.0 * mean)
    assert costs.grad is not None
    assert costs.grad.tolist() == pytest.approx([direction, direction])


def test_switch_grows_only_while_off_target() -> None:
    switch = SignSwitch(0.6, 0.5)
    switch.adapt(0.607)
    assert switch.strength == 0.5
    switch.adapt(0.9)
    switch.adapt(0.3)
    assert switch.strength == pytest.approx(0.5 * GROWTH**2)
