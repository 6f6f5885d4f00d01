import json
import math
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from accel_models.errors import DfsHwError, InputError
from accel_models.precision import parse_choices
from dfs_hw.budgets.budget import TOLERANCE
from dfs_hw.budgets.controllers import (
    CONTROLLERS,
    DEAD_BAND,
    GROWTH,
    RAMP_END,
    RAMP_START,
    STRONGEST,
    WEAKEST,
    Controller,
    Hinge,
    PIController,
    SignSwitch,
    controller,
)
from dfs_hw.budgets.hardware_cost import BlockCost

every_controller = pytest.mark.parametrize("name", CONTROLLERS)
RELEASE = parse_choices("skip,8,10,12,14,16,full")


def gradient(made: Controller, costs: Iterable[float]) -> list[float]:
    leaf = torch.tensor(list(costs), requires_grad=True)
    made.term(leaf).backward()
    assert leaf.grad is not None
    return leaf.grad.tolist()


@pytest.mark.parametrize(("mean", "direction"), [(0.75, 1), (0.5, -1), (0.25, -1)])
def test_the_switch_pushes_towards_the_target(mean: float, direction: int) -> None:
    costs = [mean - 0.125, mean + 0.125]
    term = SignSwitch(0.5, 2.0).term(torch.tensor(costs))
    assert term.item() == pytest.approx(direction * 2.0 * mean)
    assert gradient(SignSwitch(0.5, 2.0), costs) == pytest.approx([direction, direction])


def test_the_switch_grows_only_while_off_target() -> None:
    switch = SignSwitch(0.6, 0.5)
    switch.observe(0.6 * (1 + 0.9 * TOLERANCE), 0.1)
    switch.observe(0.6 * (1 - 0.9 * TOLERANCE), 0.2)
    assert switch.strength == 0.5
    switch.observe(0.6 * (1 + 1.1 * TOLERANCE), 0.3)
    switch.observe(0.6 * (1 - 1.1 * TOLERANCE), 0.4)
    assert switch.strength == pytest.approx(0.5 * GROWTH**2)


def test_the_switch_stops_growing_but_never_weakens() -> None:
    grown, strong = SignSwitch(0.5, 1.0), SignSwitch(0.5, 2 * STRONGEST)
    for step in range(1000):
        grown.observe(0.9, step / 1000)
        strong.observe(0.9, step / 1000)
    assert (grown.strength, strong.strength) == (STRONGEST, 2 * STRONGEST)


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9])
def test_the_papers_switch_is_the_papers_loss(target: float) -> None:
    """Loss = CE + r * beta * E as the released code adds it up, gradient included."""
    batch, units, beta = 8, 17, 1e-5
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, units, len(RELEASE), generator=generator, requires_grad=True)
    option_costs = torch.tensor([0, 1 / 16, 25 / 256, 9 / 64, 49 / 256, 1 / 4, 1])

    masks = logits.softmax(-1)
    energy = (masks * option_costs).sum()
    percentage = 100 * energy.item() / (batch * units)
    sign = -1 if percentage <= 100 * target else 1
    (theirs,) = torch.autograd.grad(sign * beta * energy, logits, retain_graph=True)

    cost = BlockCost([f"block{i}" for i in range(units)], RELEASE)
    term = SignSwitch.paper(target, units, batch).term(cost(masks))
    (ours,) = torch.autograd.grad(term, logits)
    assert term.item() == pytest.approx(sign * beta * energy.item(), rel=1e-5)
    torch.testing.assert_close(ours, theirs)


def test_the_papers_strength_is_that_of_its_setting_and_stays() -> None:
    """Batch 128, ResNet-38: a block run in full costs each input 1.28e-3 in the loss."""
    switch = SignSwitch.paper(0.3, units=17, batch=128)
    assert switch.strength == pytest.approx(17 * 1.28e-3)
    switch.observe(1.0, 0.5)
    assert switch.strength == pytest.approx(17 * 1.28e-3)


def test_the_hinge_prices_nothing_under_its_target() -> None:
    hinge = Hinge(0.5, 2.0)
    hinge.observe(0.4, 1.0)
    assert gradient(hinge, [0.2, 0.7]) == [0, 0]
    assert hinge.term(torch.tensor([0.7, 0.7])).item() == pytest.approx(2.0 * 0.2)
    assert gradient(hinge, [0.7, 0.7]) == pytest.approx([1, 1])


def test_the_hinge_rises_along_a_line_to_the_middle_of_the_stage() -> None:
    hinge, strengths = Hinge(0.5, 8.0), []
    for progress in (0.0, RAMP_END / 2, RAMP_END, 0.8, 1.0):
        hinge.observe(0.9, progress)
        strengths.append(hinge.describe()["strength"] / 8.0)
    assert strengths == pytest.approx([RAMP_START, (RAMP_START + 1) / 2, 1, 1, 1])


def test_the_price_rises_over_the_target_and_falls_under_it() -> None:
    pi = PIController(0.5)
    prices = [pi.price]
    for progress, cost in ((0.1, 0.7), (0.2, 0.7), (0.3, 0.3), (0.4, 0.3)):
        pi.observe(cost, progress)
        prices.append(pi.price)
    assert prices[0] < prices[1] < prices[2]
    assert prices[2] > prices[3] > prices[4]
    assert gradient(pi, [0.2, 0.9]) == pytest.approx([pi.price / 2] * 2)


def test_the_price_rests_in_the_dead_band() -> None:
    pi = PIController(0.5, 0.7)
    for step in range(1, 11):
        pi.observe(0.5 * (1 + 0.9 * DEAD_BAND), step / 10)
    assert pi.price == pytest.approx(0.7)


@pytest.mark.parametrize(("cost", "limit"), [(0.9, STRONGEST), (0.0, WEAKEST)])
def test_the_price_stays_within_limits_and_does_not_wind_up(cost: float, limit: float) -> None:
    pi = PIController(0.1, 0.3)
    for step in range(1, 101):
        pi.observe(cost, step / 200)
    assert pi.price == pytest.approx(limit)
    pi.observe(0.1 if cost else 0.2, 0.55)
    pi.observe(0.05 if cost else 0.2, 0.6)
    assert abs(math.log(pi.price / limit)) > 0.1


def test_the_price_depends_little_on_how_often_it_is_told() -> None:
    log_prices = []
    for observations in (50, 100, 400):
        pi = PIController(0.5, 0.3)
        for step in range(1, observations + 1):
            pi.observe(0.6, step / observations / 4)
        log_prices.append(math.log(pi.price / 0.3))
    assert log_prices == pytest.approx([log_prices[-1]] * 3, rel=0.1)


@every_controller
@given(st.lists(st.tuples(st.floats(0, 1.2), st.floats(0, 1)), max_size=20))
def test_a_resumed_controller_goes_on_bit_for_bit(
    name: str, seen: list[tuple[float, float]]
) -> None:
    first, second = controller(name, 0.4), controller(name, 0.4)
    for cost, progress in seen:
        first.observe(cost, progress)
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    for made in (first, second):
        made.observe(0.55, 0.9)
    assert first.state() == second.state()
    assert first.describe() == second.describe()
    costs = torch.tensor([0.1, 0.9])
    assert first.term(costs).item() == second.term(costs).item()


@every_controller
@pytest.mark.parametrize("halves", [((0.9, 0.8), (0.3, 0.2)), ((0.5, 0.6), (0.1, 0.0))])
def test_processes_that_share_a_batch_learn_as_one(
    name: str, halves: tuple[tuple[float, float], tuple[float, float]]
) -> None:
    made = controller(name, 0.5)
    made.observe(0.7, 0.4)
    whole = torch.tensor([cost for half in halves for cost in half], requires_grad=True)
    together = made.term(whole)
    (expected,) = torch.autograd.grad(together, whole)
    mean, terms, parts = whole.detach().mean(), [], []
    for half in halves:
        costs = torch.tensor(half, requires_grad=True)
        terms.append(made.term(costs, mean))
        (part,) = torch.autograd.grad(terms[-1] / 2, costs)
        parts.append(part)
    torch.testing.assert_close(torch.stack(terms).mean(), together)
    torch.testing.assert_close(torch.cat(parts), expected)


@every_controller
def test_no_controller_waits_for_the_device(name: str) -> None:
    """A tensor without data cannot be read, so this fails where the host wants a value."""
    costs = torch.empty(4, device="meta", requires_grad=True)
    mean = torch.empty((), device="meta")
    assert controller(name, 0.5).term(costs).shape == ()
    assert controller(name, 0.5).term(costs, mean).shape == ()


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(InputError, match=r"'pid'.*sign, hinge, pi"):
        controller("pid", 0.5)
    with pytest.raises(InputError, match=r"target must be a number above 0.* got 0"):
        controller("pi", 0.0)
    with pytest.raises(InputError, match=r"strength must be a number above 0.* got -1"):
        SignSwitch(0.5, -1)
    with pytest.raises(InputError, match="the fraction of a Budget, got '80%'"):
        controller("sign", "80%")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="growth must be at least 1"):
        SignSwitch(0.5, growth=0.5)
    with pytest.raises(DfsHwError, match="cost of nan"):
        controller("sign", 0.5).observe(math.nan, 0.5)
    with pytest.raises(InputError, match=r"another controller.*strength.*PIController has"):
        PIController(0.5).restore(SignSwitch(0.5).state())


def final_costs(made: Controller, worth: float, start: int = 3) -> list[float]:
    """Costs over the last third of training straight-through gates on a small problem.

    Inputs differ in how much precision they need; `worth` is the task loss it can save, so that a
    unit of cost is worth up to about twice that. Gates begin at choice `start`.
    """
    units, inputs, steps, every = 8, 128, 360, 8
    generator = torch.Generator().manual_seed(0)
    costs = torch.tensor([0, 1 / 16, 1 / 4, 1]) / units
    value = torch.tensor([0, 0.6, 0.85, 1]) * worth / units
    features = torch.randn(inputs, 6, generator=generator)
    need = torch.sigmoid(features @ torch.randn(6, units, generator=generator))
    weight = (0.1 * torch.randn(6, units * 4, generator=generator)).requires_grad_()
    bias = functional.one_hot(torch.tensor(start), 4).repeat(units).float().requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=0.05)

    def gates(part: slice) -> torch.Tensor:
        shares = (features[part] @ weight + bias).view(-1, units, 4).softmax(-1)
        return functional.one_hot(shares.argmax(-1), 4) + shares - shares.detach()

    observed = []
    for step in range(1, steps + 1):
        batch = slice(0, 96) if step % 2 else slice(32, 128)
        chosen = gates(batch)
        task = -(need[batch, :, None] * chosen * value).sum((1, 2)).mean()
        optimizer.zero_grad()
        (task + made.term((chosen * costs).sum((1, 2)))).backward()
        optimizer.step()
        if step % every == 0:
            chosen = gates(slice(None)).detach()
            observed.append(float((chosen * costs).sum((1, 2)).mean()))
            made.observe(observed[-1], step / steps)
    return observed[-len(observed) // 3 :]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sign", "pi"])
@pytest.mark.parametrize("target", [0.2, 0.5])
def test_adaptive_controllers_find_the_price_of_a_budget(name: str, target: float) -> None:
    costs = final_costs(controller(name, target, strength=0.1), worth=2.0)
    assert sum(costs) / len(costs) == pytest.approx(target, rel=0.1)


def test_a_hinge_holds_its_target_only_if_stronger_than_what_precision_is_worth() -> None:
    assert max(final_costs(Hinge(0.4, strength=20.0), worth=2.0)) < 0.4 * 1.1
    assert min(final_costs(Hinge(0.4, strength=0.1), worth=2.0)) > 0.4 * 1.2


def test_only_the_switch_brings_back_closed_gates_that_the_task_does_not_miss() -> None:
    assert min(final_costs(SignSwitch(0.5), worth=0.0, start=0)) > 0.25
    assert max(final_costs(PIController(0.5), worth=0.0, start=0)) < 0.1
