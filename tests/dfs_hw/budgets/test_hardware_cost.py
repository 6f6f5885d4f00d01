import itertools

import numpy as np
import pytest
import torch
from priced import CHOICES, WORKLOAD

from accel_models import CostTable, cost_table, load_accelerator
from accel_models.costs.simulator import simulate
from accel_models.errors import DfsHwError, InfeasibleError, InputError
from accel_models.metrics import budgeted
from accel_models.precision import highest, parse_choices
from dfs_hw.budgets.hardware_cost import BlockCost, HardwareCost, block_cost, cost_of


@pytest.fixture(scope="module")
def table() -> CostTable:
    return cost_table(WORKLOAD, load_accelerator("bitfusion-published"), CHOICES)


def one_hot(*rows: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(rows), 4).float()


@pytest.mark.parametrize("metric", [one.name for one in budgeted()])
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


@pytest.mark.parametrize("metric", [one.name for one in budgeted()])
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
    with pytest.raises(InputError, match=r"'power'.*energy, latency, edp or bitops"):
        HardwareCost(table, "power")
    with pytest.raises(InputError, match=r"is a CostTable, as cost_table\(workload_of.* Workload"):
        HardwareCost(WORKLOAD)  # type: ignore[arg-type]
    with pytest.raises(DfsHwError, match="16"):
        HardwareCost(cost_table(WORKLOAD, table.accelerator, "8,16", always="8"))


RELEASE = parse_choices("skip,8,10,12,14,16,full")
BLOCKS = tuple(f"block{number}" for number in range(2, 37))
"""The gated blocks of ResNet-74."""


@pytest.mark.parametrize("metric", [one.name for one in budgeted()])
def test_bounds_are_over_what_is_offered(table: CostTable, metric: str) -> None:
    """By brute force: the first unit cannot be skipped, the second has 2 and 4 bits only."""
    offered = np.array([[True, False, True, True], [False, False, True, True]])
    cost = HardwareCost(table, metric, offered)
    pairs = itertools.product(*(np.flatnonzero(row).tolist() for row in offered))
    each = [cost(one_hot(pair)).item() for pair in pairs]
    if metric == "edp":
        assert cost.floor <= min(each) * (1 + 1e-6)
        assert cost.ceiling >= max(each) * (1 - 1e-6)
    else:
        assert (cost.floor, cost.ceiling) == pytest.approx((min(each), max(each)), rel=1e-6)
    assert cost.floor > HardwareCost(table, metric).floor


def test_what_is_offered_may_come_as_a_tensor_and_must_fit(table: CostTable) -> None:
    offered = torch.tensor([[True, False, True, True], [True] * 4])
    assert HardwareCost(table, offered=offered).offered.equal(offered)
    with pytest.raises(InputError, match=r"shape \[4, 2\].*2 units of 4 choices"):
        HardwareCost(table, offered=offered.T)
    with pytest.raises(InputError, match="unit 'b' offers nothing"):
        HardwareCost(table, offered=torch.tensor([[True] * 4, [False] * 4]))


def test_a_choice_that_is_not_offered_has_no_price(table: CostTable) -> None:
    cost = HardwareCost(table, offered=[[True, False, True, True], [True] * 4])
    with pytest.raises(InputError, match="unit 'a' does not offer 'skip'"):
        cost.of_choices(torch.tensor([[0, 1], [1, 0]]))
    assert cost.of_choices(torch.tensor([[0, 1], [2, 1]])).shape == (2,)


def test_what_a_machine_cannot_run_matters_only_where_it_is_offered() -> None:
    """The published machine has no operands of 16 bits."""
    machine = load_accelerator("bitfusion-published")
    partial = cost_table(WORKLOAD, machine, "skip,2/16,8")
    with pytest.raises(InfeasibleError, match="2/16"):
        HardwareCost(partial)
    with pytest.raises(InfeasibleError, match=r"b\..* at 2/16"):
        HardwareCost(partial, offered=[[True, False, True], [True, True, True]])
    whole = HardwareCost(cost_table(WORKLOAD, machine, "skip,8"))
    some = HardwareCost(partial, offered=[[True, False, True]] * 2)
    assert (some.floor, some.ceiling) == pytest.approx((whole.floor, whole.ceiling), rel=1e-6)
    assert some.reference == whole.reference


@pytest.mark.parametrize("metric", [one.name for one in budgeted()])
def test_a_cost_keeps_its_precision_under_autocast(table: CostTable, metric: str) -> None:
    cost, gates = HardwareCost(table, metric), torch.rand(64, 2, 4).softmax(-1)
    exact = cost(gates)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(cost(gates), exact)
        assert cost(gates.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("metric", [one.name for one in budgeted()])
def test_a_cost_waits_for_no_device(table: CostTable, metric: str) -> None:
    """A tensor without data cannot be read, so this fails where the host wants a value."""
    cost = HardwareCost(table, metric).to("meta")
    assert cost(torch.empty(5, 2, 4, device="meta")).shape == (5,)


def test_the_papers_cost_of_each_option_is_that_of_its_code() -> None:
    """The three sets of options in the released code of DFS, two of them as comments."""
    assert [block_cost(choice) for choice in RELEASE] == [
        0, 1 / 16, 25 / 256, 9 / 64, 49 / 256, 1 / 4, 1,
    ]  # fmt: skip
    assert [block_cost(choice) for choice in parse_choices("skip,8,16,full")] == [
        0, 1 / 16, 1 / 4, 1,
    ]  # fmt: skip
    assert [block_cost(choice) for choice in parse_choices("skip,2,4,6,8")] == [
        0, 1 / 256, 1 / 64, 9 / 256, 1 / 16,
    ]  # fmt: skip
    assert [block_cost(choice) for choice in parse_choices("4,8,16,32")] == [
        1 / 64, 1 / 16, 1 / 4, 1,
    ]  # fmt: skip
    assert [block_cost(choice) for choice in parse_choices("4/8,8/16")] == [1 / 32, 1 / 8]


@pytest.mark.parametrize(
    ("blocks", "percent"),
    [({"8": 11.9, "16": 24.2}, 19.4), ({"16": 32.4, "full": 2.5}, 30.4),
     ({"16": 28.0, "full": 7.1}, 40.1), ({"16": 22.5, "full": 12.5}, 51.9)],
)  # fmt: skip
def test_the_papers_figures_add_up(blocks: dict[str, float], percent: float) -> None:
    """Mean number of the 35 blocks of ResNet-74 at each option, read from the bars of DFS's
    supplement (Figs. 12 to 15), whose budgets are 20, 30, 40 and 50 %.

    They agree as well as figures can that were rounded to a tenth.
    """
    choices = parse_choices("skip,8,16,full")
    shares = torch.tensor([blocks.get(str(choice), 0.0) / len(BLOCKS) for choice in choices])
    worth = sum(block_cost(choice) for choice in choices if str(choice) in blocks)
    rounding = 0.05 * (1 + 100 * worth / len(BLOCKS))
    got = 100 * BlockCost(BLOCKS, choices)(shares.expand(1, 35, 4)).item()
    assert got == pytest.approx(percent, abs=rounding)


@pytest.mark.parametrize(("width", "percent"), [("16", 25), ("8", 6.25), ("6", 3.515625)])
def test_one_width_everywhere_costs_its_square(width: str, percent: float) -> None:
    choices = parse_choices(f"skip,{width},full")
    cost = BlockCost(BLOCKS, choices)
    assert 100 * cost.of_choices(torch.ones(1, 35)).item() == pytest.approx(percent)


def test_the_papers_cost_has_the_interface_of_a_machines() -> None:
    cost = BlockCost(BLOCKS, RELEASE)
    assert (cost.metric, cost.reference) == ("paper", 35)
    assert (cost.floor, cost.ceiling) == pytest.approx((0, 1))
    gates = torch.rand(3, 35, 7).softmax(-1).requires_grad_()
    cost(gates).sum().backward()
    assert gates.grad is not None
    wanted = torch.tensor([block_cost(choice) for choice in RELEASE]) / 35
    torch.testing.assert_close(gates.grad, wanted.expand(3, 35, 7))
    low = BlockCost(BLOCKS, parse_choices("skip,4,8"), offered=[[False, True, True]] * 35)
    assert (low.floor, low.ceiling) == pytest.approx((1 / 64, 1 / 16))


def test_costs_are_made_by_name(table: CostTable) -> None:
    for metric in (one.name for one in budgeted()):
        torch.testing.assert_close(
            cost_of(table, metric).unit_costs, HardwareCost(table, metric).unit_costs
        )
    offered = [[True] * 4, [True, False, True, True]]
    paper = cost_of(table, "paper", offered)
    assert paper.units == table.units
    assert (paper.floor, paper.ceiling) == pytest.approx((1 / 256 / 2, 1 / 16))
    with pytest.raises(InputError, match=r"'power'.*bitops or paper"):
        cost_of(table, "power")
