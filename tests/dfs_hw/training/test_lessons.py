"""What gates are told beside the task's gradient: the right choice, found by trying all of them."""

import copy
import itertools
import signal
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import staging
import torch
from torch.nn import functional
from trainings import TINY, equal_states, setup_of

from accel_models.errors import InputError
from dfs_hw.budgets.hardware_cost import RelativeCost
from dfs_hw.networks import DynamicNetwork, build_network
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.loop.stage import Batch
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.calibration import open_all_widths
from dfs_hw.training.stages.choosing import latest
from dfs_hw.training.stages.joint import joint_step
from dfs_hw.training.stages.lessons import Trial, lessons, marginal, reaches, spread, try_all
from dfs_hw.training.stages.objective import controller_of, level, task_loss
from dfs_hw.training.stages.parameters import gate_group, weight_groups
from dfs_hw.training.stages.plan import Descent, StagePlan, loop_stage
from dfs_hw.training.stages.validation import validate

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE, CLASSES = (8, 8), 5


@cache
def seen(choices: str, summands: int = 1) -> tuple[DynamicNetwork, RelativeCost]:
    """A small network that has seen data, and costs of its choices: a product of sums, or one."""
    network = build_network("resnet8", choices, CLASSES, 1, image_size=SIZE, widths=(4, 8, 8))
    network.calibrate([torch.randn(16, 1, *SIZE, generator=torch.Generator().manual_seed(1))])
    network.normalize_by_batch(False)
    drawn, units = np.random.default_rng(4), len(network.units)
    each = drawn.uniform(0, 2 / units, (summands, units, len(network.choices)))
    settled = drawn.uniform(0, 0.1, (summands, units + 1))
    metric = ("energy", "edp")[summands - 1]
    cost = RelativeCost(metric, network.units, network.choices, each, settled, 1.0, network.offered)
    return network.train(), cost


def batch_of(inputs: int, number: int = 0, share: tuple[int, int] = (0, 1)) -> Batch:
    generator = torch.Generator().manual_seed(number)
    images = torch.randn(inputs, 1, *SIZE, generator=generator)
    labels = torch.randint(CLASSES, (inputs,), generator=generator)
    return Batch(images, labels, number, 0.25, "0/joint", share)


@pytest.mark.parametrize("choices", ["skip,2,8", "2,8,exit"])
def test_the_right_choice_is_the_best_of_all_one_by_one(choices: str) -> None:
    network, cost = seen(choices)
    batch, inputs = batch_of(5), 5
    every = list(itertools.product(*(row.nonzero()[:, 0].tolist() for row in network.offered)))
    drawn = torch.randperm(len(every), generator=torch.Generator().manual_seed(3))[:inputs]
    decided = torch.tensor([every[row] for row in drawn.tolist()])
    before, other = copy.deepcopy(network), copy.deepcopy(network).eval()

    def each_alone(one: int, unit: int, offer: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Loss and cost of one input by each choice of a unit."""
        forced = decided[one].repeat(len(offer), 1)
        forced[:, unit] = torch.tensor(offer)
        image, label = batch.images[one : one + 1], batch.labels[one : one + 1]
        with torch.no_grad():
            losses = [functional.cross_entropy(other(image, row).logits, label) for row in forced]
        return np.array(losses), cost.of_choices(forced).numpy()

    for unit in range(len(network.units)):
        offer = network.offered[unit].nonzero()[:, 0].tolist()
        tried = try_all(network, cost, batch.images, batch.labels, decided, unit, offer)
        comes = reaches(decided, unit, network.leaving).nonzero()[:, 0].tolist()
        found = {one: each_alone(one, unit, offer) for one in comes}
        for price in (0.3, -0.3, 4.0):
            right = tried.best(torch.full((inputs,), price)).tolist()
            for one, (losses, costs) in found.items():
                worth = losses + price * costs
                assert worth[offer.index(right[one])] == pytest.approx(min(worth), abs=1e-5)
                assert max(worth) - min(worth) > 1e-3
    assert all(module.training for module in network.modules())
    assert equal_states(before, network)


def test_of_choices_that_do_alike_the_cheapest_is_right() -> None:
    tried = Trial([0, 2, 3], torch.zeros(2, 3), torch.tensor([[0.5, 0.1, 0.9], [0.2, 0.3, 0.1]]))
    assert tried.best(torch.zeros(2)).tolist() == [2, 3]
    assert tried.best(torch.tensor([1.0, -1.0])).tolist() == [2, 2]


def test_a_product_of_costs_is_taken_at_its_slope() -> None:
    network, cost = seen("skip,2,8", 2)
    inputs = 2000
    decided = torch.full((inputs, len(network.units)), 1)
    decided[::2] = 2
    slopes = marginal(cost, decided)
    changed = decided.clone()
    changed[0, 0] = 1  # from 8 to 2 bits
    least = cost.of_choices(changed).double().sum() - cost.of_choices(decided).double().sum()
    assert float(slopes[0, 0, 1] - slopes[0, 0, 2]) == pytest.approx(float(least), rel=0.02)


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3, 1.0])
def test_a_share_of_a_batch_is_the_same_over_several_processes(share: float) -> None:
    whole = spread(share, batch_of(60))
    parts = [spread(share, batch_of(20, share=(rank, 3))) + 20 * rank for rank in range(3)]
    assert torch.equal(torch.cat(parts), whole)
    assert len(whole) == round(60 * share)


TAUGHT = {"supervised": 0.4, "shaping": 0.7}


@pytest.fixture(scope="module")
def plain() -> TrainingSetup:
    return setup_of(replace(TINY, joint_steps=3, epoch_steps=(0, 0, 2)))


def taught(this: TrainingSetup, **lessons: float) -> TrainingSetup:
    return replace(this, gates=replace(this.gates, **lessons))


def opened(this: TrainingSetup) -> DynamicNetwork:
    network = this.network()
    open_all_widths(this, network)
    return network.train()


def digits(this: TrainingSetup, number: int) -> Batch:
    images, labels = this.stream("test").batch(number)
    return Batch(images, labels, number, 0.25, "0/test")


def test_a_step_with_lessons_adds_them_and_they_leave_no_trace(plain: TrainingSetup) -> None:
    both = taught(plain, **TAUGHT)
    without, told = opened(plain), opened(plain)
    assert lessons(plain, without) == []
    batch = digits(plain, 1)
    taken = [
        joint_step(this, network, task_loss(0.0, network), controller_of(this))(batch)
        for this, network in ((plain, without), (both, told))
    ]
    alone = opened(plain)
    made = alone(batch.images)
    costs = plain.cost(made.gates)
    price = controller_of(plain).slope(level(costs, "mean")).expand(len(costs))
    right, conditional = (lesson(batch, made, price) for lesson in lessons(both, alone))
    assert min(right.item(), conditional.item()) > 0.01
    assert taken[1].loss.item() == pytest.approx((taken[0].loss + right + conditional).item())
    assert taken[0].cost == taken[1].cost
    assert equal_states(without.eval(), told.eval())  # what was noted in the step included


def test_what_is_taught_reaches_the_gates_logits_of_one_unit(plain: TrainingSetup) -> None:
    this = taught(plain, supervised=1.0)
    network = opened(this)
    (supervised,) = lessons(this, network)
    units = set()
    for number in range(6):
        batch = replace(digits(this, number), images=digits(this, 0).images)
        made = network(batch.images)
        made.scores.retain_grad()
        supervised(batch, made, made.logits.new_full((len(batch.images),), 0.3)).backward()
        rows = made.scores.grad.abs().sum(2)
        (unit,) = rows.sum(0).nonzero()[:, 0].tolist()
        assert rows[:, unit].gt(0).all()
        units.add(unit)
    assert units == set(range(len(network.units)))


def test_an_interrupted_stage_with_lessons_ends_the_same_to_the_bit(
    plain: TrainingSetup, tmp_path: Path
) -> None:
    this = taught(plain, **TAUGHT)

    def run(folder: Path, stop: int = -1) -> DynamicNetwork:
        network, controller = opened(this), controller_of(this)
        step = joint_step(this, network, task_loss(0.0, network), controller)
        descent = Descent(
            network,
            [*weight_groups(network, 0.01, this.sgd), gate_group(network, 0.1, this.sgd)],
            step,
            lambda: validate(this, network),
            latest,
            controller,
        )
        plan = StagePlan("joint", "joint", "joint.safetensors", lambda: descent)
        stage = staging.stopping(
            loop_stage(this, plan, descent), signal.SIGINT, lambda batch: batch.number == stop
        )
        staging.run(stage, network, folder, stream=this.stream("joint"))
        return network

    whole = run(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 0)
    assert equal_states(run(tmp_path), whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"supervised": 1.1}, "supervised is a share of a batch, at most 1, got 1.1"),
        ({"shaping": -0.1}, "shaping must be at least 0"),
        ({"supervised": 0.1, "gate": "confidence"}, "supervised has no effect with gate=confid"),
        ({"shaping": 0.1, "gate": "confidence-margin"}, "it goes with a gate that learns"),
        ({"shaping": 0.1, "knob": True}, "shaping goes with knob=false"),
    ],
)
def test_lessons_that_nobody_would_hear_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TrainConfig(**change)
