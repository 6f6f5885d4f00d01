"""A price of cost at run time: what it takes from the logits, and that cost follows it."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from deciding import images, trained
from hypothesis import given
from hypothesis import strategies as st
from trainings import QUICK, setup_of

from dfs_hw.training.run import train
from dfs_hw.training.stages.knob import PULL, open_knob
from dfs_hw.training.stages.validation import validate

pytestmark = pytest.mark.usefixtures("one_thread")

PRICES = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.slow
@given(
    st.lists(st.floats(0, 8, width=32), min_size=4, max_size=4),
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=5),
)
def test_no_decision_gets_dearer_as_the_price_rises(
    costs: list[float], prices: list[float]
) -> None:
    """Of the first unit, whose input no decision has changed."""
    network, x = trained(name="resnet8", knob=True), images(8).repeat(len(prices), 1, 1, 1)
    taken, price = torch.tensor(costs), torch.tensor(sorted(prices)).repeat_interleave(8)
    network.price_shift.copy_(taken.expand_as(network.price_shift))
    with torch.no_grad():
        spent = taken[network(x, price=price).choices[:, 0]].view(len(prices), 8)
    assert (spent[1:] <= spent[:-1]).all()


@pytest.mark.slow
def test_a_price_takes_from_each_logit_what_its_choice_costs() -> None:
    this = setup_of(replace(QUICK, knob=True))
    network, cost = this.network(), this.cost
    open_knob(this, network)
    shift = network.price_shift
    assert float(shift.amax(1).mean()) == pytest.approx(PULL)
    assert (shift.amin(1) == 0).all()
    cheapest = shift.argmin(1)
    base = cost.of_choices(cheapest[None])
    extra = torch.zeros_like(shift)
    for unit, choice in product(range(len(shift)), range(shift.shape[1])):
        other = cheapest.clone()
        other[unit] = choice
        extra[unit, choice] = cost.of_choices(other[None]) - base
    assert torch.allclose(shift, extra * PULL / extra.amax(1).mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_trained_network_follows_the_price(tmp_path: Path) -> None:
    config = replace(QUICK, knob=True, norm="running", joint_steps=6)
    network = train(config, tmp_path, progress=False).network
    this = setup_of(config)
    costs = [validate(this, network, price=price).cost for price in PRICES]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.9 * costs[0]
