import json
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from priced import CHOICES, WORKLOAD
from torch import Tensor, nn

from accel_models import cost_table, load_accelerator
from accel_models.errors import DfsHwError, InputError
from accel_models.precision import parse_choices
from dfs_hw.budgets.hardware_cost import BlockCost, HardwareCost, RelativeCost
from dfs_hw.budgets.meet_budget import (
    CLIFF,
    HALVINGS,
    STEPS,
    Feasible,
    Look,
    meet_budget,
    nearest,
    search_shift,
    shift_per_tau,
)
from dfs_hw.data import Dataset
from dfs_hw.recording import evaluate

OPTIONS = parse_choices("skip,8,16,full")


class Outcome(NamedTuple):
    logits: Tensor
    gates: Tensor | None
    choices: Tensor


class Cascade(nn.Module):
    """A network of one feature: each unit reads it, chooses, and may change it for the next.

    It tells class 1 from class 0 by whether the inputs' units together spent enough on them.

    Args:
        slope, offset: [units, choices] of the gates' logits, slope * feature + offset.
        carry: [units, choices], factor on the feature after each choice.
        need: cost from which an input is seen to be of class 1, at a feature of 1.
    """

    def __init__(
        self,
        cost: RelativeCost,
        slope: Tensor,
        offset: Tensor,
        carry: Tensor | None = None,
        need: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.choices, self.cost, self.need = "cascade", cost.choices, cost, need
        self.slope, self.offset = nn.Parameter(slope), nn.Parameter(offset)
        self.carry = torch.ones_like(slope) if carry is None else carry
        self.register_buffer("shift", torch.zeros_like(slope))
        self.runs_left = 10**9

    def forward(
        self, x: Tensor, assignment: Tensor | None = None, *, price: Tensor | None = None
    ) -> Outcome:
        self.runs_left -= 1
        if self.runs_left < 0:
            raise KeyboardInterrupt
        feature, chosen = x.flatten(1)[:, 0], []
        for unit, shift in enumerate(self.shift):
            logits = feature[:, None] * self.slope[unit] + self.offset[unit] - shift
            if price is not None:
                logits = logits - price[:, None] * self.cost.unit_costs[0, unit]
            logits = logits.masked_fill(~self.cost.offered[unit], -torch.inf)
            chosen.append(logits.argmax(-1))
            feature = feature * self.carry[unit][chosen[-1]]
        choices = torch.stack(chosen, 1)
        spent = self.cost.of_choices(choices) - self.need * x.flatten(1)[:, 0]
        return Outcome(torch.stack([torch.zeros_like(spent) - 1e-6, spent], 1), None, choices)


def images(values: Tensor) -> Dataset:
    """One pixel each; values of 0 to 1 in steps of 1/255. All of class 1."""
    pixels = (values * 255).round().to(torch.uint8).view(-1, 1, 1, 1)
    labels = torch.ones(len(values), dtype=torch.int64)
    return Dataset("pixels", pixels, labels, torch.zeros(1), torch.ones(1))


EVEN = images(torch.arange(256) / 255)


def graded(units: int = 3, **more: object) -> Cascade:
    """Gates of random slopes: every choice is some input's, and cost falls steadily with tau."""
    generator = torch.Generator().manual_seed(units)
    slope = torch.randn(units, 4, generator=generator) * 2
    cost = BlockCost([f"block{unit}" for unit in range(units)], OPTIONS)
    return Cascade(cost, slope, -slope / 2 + torch.tensor([-1.0, 0, 0, 0.3]), **more)


def costs_at(network: Cascade, dataset: Dataset = EVEN) -> np.ndarray:
    return network.cost.of_choices(evaluate(network, dataset).choices).numpy()


@pytest.mark.parametrize("factor", [0.6, 0.9, 1.1, 1.3])
def test_the_mean_cost_is_brought_to_the_budget_from_both_sides(factor: float) -> None:
    network = graded()
    before = costs_at(network).mean()
    target = before * factor
    found = meet_budget(network, EVEN, network.cost, target)
    assert found.met
    assert found.cost_before == pytest.approx(before)
    assert found.cost_after == pytest.approx(costs_at(network).mean())
    assert found.cost_after == pytest.approx(target, rel=0.02)
    assert (found.tau > 0) == (factor < 1)


def test_the_shift_is_tau_times_the_papers_cost_of_a_choice() -> None:
    network = graded()
    found = meet_budget(network, EVEN, network.cost, 0.8 * costs_at(network).mean())
    wanted = found.tau * torch.tensor([0, 1 / 16, 1 / 4, 1])
    torch.testing.assert_close(network.shift, wanted.expand(3, 4))


@pytest.mark.parametrize(("statistic", "percentage"), [("p50", 50), ("p90", 90), ("p95", 95)])
def test_a_percentile_is_brought_to_the_budget(statistic: str, percentage: int) -> None:
    network = graded(units=12)
    target = 0.8 * np.percentile(costs_at(network), percentage)
    found = meet_budget(network, EVEN, network.cost, target, statistic=statistic, tolerance=0.05)
    after = costs_at(network)
    assert found.met
    assert found.statistic == statistic
    assert found.cost_after == pytest.approx(np.percentile(after, percentage))
    assert np.percentile(after, percentage) == pytest.approx(target, rel=0.05)
    assert found.cost_after != pytest.approx(after.mean())


def test_a_network_on_target_is_left_alone() -> None:
    network = graded()
    before = costs_at(network).mean()
    found = meet_budget(network, EVEN, network.cost, before * 1.01)
    assert (found.tau, found.evaluations, found.met) == (0, 1, True)
    assert not network.shift.any()


def test_an_earlier_shift_is_added_to() -> None:
    """Two steps to a budget end where one does."""
    once, twice = graded(), graded()
    before = costs_at(once).mean()
    one = meet_budget(once, EVEN, once.cost, 0.7 * before, tolerance=0.005)
    first = meet_budget(twice, EVEN, twice.cost, 0.85 * before, tolerance=0.005)
    second = meet_budget(twice, EVEN, twice.cost, 0.7 * before, tolerance=0.005)
    assert second.cost_before == first.cost_after
    assert first.tau + second.tau == pytest.approx(one.tau, abs=0.05)
    torch.testing.assert_close(twice.shift[:, 3], torch.full((3,), first.tau + second.tau))


def test_gates_beyond_the_reach_of_any_sensible_shift_are_left_alone() -> None:
    """Logits a hundred apart: nothing changes, and so the least shift is kept, none."""
    cost = BlockCost(["a", "b"], OPTIONS)
    network = Cascade(cost, torch.zeros(2, 4), torch.tensor([[0.0, 0, 0, 100]] * 2))
    found = meet_budget(network, EVEN, cost, 0.5)
    assert not found.met
    assert (found.tau, found.cost_before, found.cost_after) == pytest.approx((0, 1, 1))
    assert found.evaluations == 1 + len(STEPS)
    assert not network.shift.any()


@pytest.mark.parametrize(("target", "after"), [(0.2, 0.0), (0.8, 1.0)])
def test_where_the_cost_jumps_past_the_budget_the_nearer_side_is_kept(
    target: float, after: float
) -> None:
    """All inputs are alike, so that they are skipped or run in full together."""
    cost = BlockCost(["a"], parse_choices("skip,full"))
    network = Cascade(cost, torch.zeros(1, 2), torch.tensor([[0.0, 3]]))
    found = meet_budget(network, EVEN, cost, target)
    assert (found.met, found.within) == (False, after < target)
    assert found.cost_after == costs_at(network).mean() == after
    assert bool(network.shift.any()) == (after == 0)


def test_a_network_within_its_budget_is_never_led_over_it() -> None:
    """Running in full would be nearer to 80 %, but over it."""
    cost = BlockCost(["a"], parse_choices("skip,full"))
    network = Cascade(cost, torch.zeros(1, 2), torch.tensor([[3.0, 0]]))
    found = meet_budget(network, EVEN, cost, 0.8)
    assert (found.cost_before, found.cost_after, found.met) == (0, 0, False)
    assert not network.shift.any()


def test_later_gates_that_make_up_for_earlier_ones_do_not_mislead_the_search() -> None:
    """Skipping the first unit triples the feature, by which the others then ask for more: the cost
    rises before it falls."""
    cost = BlockCost(["a", "b", "c", "d"], parse_choices("skip,full"))
    slope = torch.tensor([[0, 0.1], [0, 2.0], [0, 2.0], [0, 2.0]])
    offset = torch.tensor([[0, 0], [0, -1.0], [0, -1.0], [0, -1.0]])
    carry = torch.tensor([[3.0, 1], [1, 1], [1, 1], [1, 1]])

    def curve(tau: float) -> float:
        network = Cascade(cost, slope, offset, carry)
        network.shift[:, 1] = tau
        return float(costs_at(network).mean())

    start = curve(0)
    assert curve(0.05) > 1.1 * start, "the problem is not the one wanted"
    network = Cascade(cost, slope, offset, carry)
    found = meet_budget(network, EVEN, cost, 0.6 * start)
    assert found.met
    assert found.cost_after == curve(found.tau) == pytest.approx(0.6 * start, rel=0.02)


def test_a_cliff_in_accuracy_is_reported() -> None:
    """Every input needs three quarters of what it costs at first to be told apart."""
    network = graded(need=0.0)
    easy = meet_budget(network, EVEN, network.cost, 0.9 * costs_at(network).mean())
    assert (easy.accuracy_before, easy.accuracy_after, easy.cliff) == (1, 1, False)
    hard = graded(need=0.6)
    fall = meet_budget(hard, EVEN, hard.cost, 0.6 * costs_at(hard).mean())
    assert fall.accuracy_after == evaluate(hard, EVEN).accuracy
    assert fall.accuracy_before - fall.accuracy_after > CLIFF
    assert fall.cliff


def test_the_price_of_cost_is_handed_to_the_gates() -> None:
    dear, free = graded(), graded()
    target = 0.8 * costs_at(free).mean()
    priced = meet_budget(dear, EVEN, dear.cost, target, price=1.0)
    assert priced.cost_before < meet_budget(free, EVEN, free.cost, target).cost_before


def test_an_interrupted_search_leaves_the_network_as_it_was() -> None:
    network = graded()
    network.shift.copy_(torch.rand(3, 4, generator=torch.Generator().manual_seed(0)))
    before = network.shift.clone()
    target, network.runs_left = 0.7 * costs_at(network).mean(), 3
    with pytest.raises(KeyboardInterrupt):
        meet_budget(network, EVEN, network.cost, target)
    assert network.shift.equal(before)


def test_choices_that_are_not_offered_count_for_nothing() -> None:
    """The only unit that can be skipped is shifted against what it offers."""
    offered = [[False, True, True, False], [True, True, False, True]]
    cost = BlockCost(["a", "b"], OPTIONS, offered)
    slope = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    network = Cascade(cost, slope, torch.tensor([[9.0, 0, 1, 9], [0, 0, 9, 1]]))
    per_tau = shift_per_tau(cost, evaluate(network, EVEN).choices)
    average = (3 / 16 + 1) / 2
    wanted = torch.tensor([[0, 0, 3 / 16, 0], [0, 1 / 16, 0, 1]]) / average
    torch.testing.assert_close(per_tau, wanted)
    found = meet_budget(network, EVEN, cost, cost.floor, tolerance=0.01)
    assert found.cost_after == pytest.approx(cost.floor)


def test_a_product_is_shifted_by_its_slope() -> None:
    """d(E D) = D dE + E dD, by the energies and latencies of the same table."""
    table = cost_table(WORKLOAD, load_accelerator("bitfusion-published"), CHOICES)
    energy, latency, product = (HardwareCost(table, m) for m in ("energy", "latency", "edp"))
    choices = torch.tensor([[0, 1], [2, 3], [3, 0]])
    mean_energy, mean_latency = (c.of_choices(choices).mean() for c in (energy, latency))
    slope = mean_latency * energy.unit_costs[0] + mean_energy * latency.unit_costs[0]
    above = slope - slope.amin(1, keepdim=True)
    wanted = above / above.amax(1).mean()
    torch.testing.assert_close(shift_per_tau(product, choices), wanted, rtol=1e-4, atol=1e-5)


def test_what_makes_no_sense_is_refused() -> None:
    network = graded()
    with pytest.raises(InputError, match="'p101' is no statistic"):
        meet_budget(network, EVEN, network.cost, 0.5, statistic="p101")
    with pytest.raises(InputError, match="budget of 0 within 2%"):
        meet_budget(network, EVEN, network.cost, 0)
    with pytest.raises(InputError, match="within -1%"):
        meet_budget(network, EVEN, network.cost, 0.5, tolerance=-0.01)
    other = BlockCost(network.cost.units, parse_choices("skip,4,8,16"))
    with pytest.raises(InputError, match=r"choices skip, 4, 8, 16, the network's are skip, 8, 16"):
        meet_budget(network, EVEN, other, 0.5)
    table = cost_table(WORKLOAD, load_accelerator("bitfusion-published"), CHOICES)
    with pytest.raises(DfsHwError, match="edp"):
        meet_budget(network, EVEN, HardwareCost(table, "edp"), 0.5, statistic="p95")


steps = st.lists(st.tuples(st.floats(-20, 20), st.floats(0, 1.2)), max_size=12)


@given(st.floats(0, 1.2), steps, st.floats(0.05, 1), st.sampled_from([0.0, 0.02, 0.2]))
def test_no_search_ends_worse_than_it_began(
    start: float, pieces: list[tuple[float, float]], target: float, tolerance: float
) -> None:
    """On any curve of steps, rising and falling as it likes."""

    def look(tau: float) -> Look:
        cost = start
        for edge, level in sorted(pieces):
            if (0 < edge <= tau) or (tau <= edge < 0):
                cost = level
        return Look(tau, cost, 1.0)

    looks = search_shift(look, look(0.0), target, tolerance)
    best = nearest(looks, target, tolerance)
    assert abs(best.cost - target) <= abs(start - target)
    assert best.cost <= max(start, target * (1 + tolerance))
    assert best.cost == look(best.tau).cost
    assert len(looks) <= 1 + len(STEPS) + HALVINGS
    assert all(abs(seen.tau) <= max(STEPS) for seen in looks)
    ties = [seen for seen in looks if seen.cost == best.cost]
    assert abs(best.tau) == min(abs(seen.tau) for seen in ties)


@given(st.floats(0, 15.9), st.floats(0.02, 3), st.booleans())
def test_a_step_on_target_is_found_wherever_it_is(edge: float, width: float, up: bool) -> None:
    """Costs fall steadily in two steps, between which a shift of some width is on target."""
    sign = -1 if up else 1

    def look(tau: float) -> Look:
        level = 1 if sign * tau <= edge else 0 if sign * tau <= min(edge + width, 16) else -1
        return Look(tau, 0.5 + sign * level * 0.3, 1.0)

    best = nearest(search_shift(look, look(0.0), 0.5, 0.02), 0.5, 0.02)
    assert best.cost == 0.5


def test_the_outcome_is_plain_json() -> None:
    network = graded()
    found = meet_budget(network, EVEN, network.cost, 0.8 * costs_at(network).mean())
    assert Feasible(**json.loads(json.dumps(asdict(found)))) == found
