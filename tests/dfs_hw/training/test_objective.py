"""What joint training descends, step by step, and the faults of the released code in it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from trainings import DFS_STAGES, QUICK, mine, setup_of
from waiting import NoWaiting

from dfs_hw.budgets.controllers import SignSwitch
from dfs_hw.networks.checkpoint import load_checkpoint, read_facts
from dfs_hw.networks.statistics import settle
from dfs_hw.quantize.layers import PrecisionNorm
from dfs_hw.recording import BATCH, evaluate
from dfs_hw.training.loop.stage import Batch
from dfs_hw.training.run import train
from dfs_hw.training.setup import TrainingSetup, sgd_options
from dfs_hw.training.stages.calibration import open_all_widths, show
from dfs_hw.training.stages.joint import joint_step, settle_shift
from dfs_hw.training.stages.objective import controller_of, level, prices, task_loss, weigh
from dfs_hw.training.stages.parameters import gate_group, weight_groups
from dfs_hw.training.stages.validation import held_against_budget, validate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def this() -> TrainingSetup:
    return setup_of()


def batch_of(this: TrainingSetup, number: int = 0, progress: float = 0.0) -> Batch:
    images, labels = this.stream("test").batch(number)
    return Batch(images, labels, number, progress, "0/test")


@pytest.mark.slow
def test_distillation_adds_the_divergence_from_the_backbone(this: TrainingSetup) -> None:
    network = this.network()
    network.calibrate([batch_of(this).images])
    batch, weight = batch_of(this), 0.7
    top = network.uniform(8)
    with torch.no_grad():
        taught = network.eval()(batch.images, top).logits.softmax(1)
    logits = torch.randn(taught.shape, generator=torch.Generator().manual_seed(1))
    given = logits.softmax(1)
    divergence = (taught * (taught / given).log()).sum(1).mean()
    entropy = -given[torch.arange(len(given)), batch.labels].log().mean()
    loss = task_loss(weight, network)
    assert loss(logits, batch).item() == pytest.approx((entropy + weight * divergence).item(), 1e-5)
    plain = task_loss(0.0, network)
    assert plain(logits, batch).item() == pytest.approx(entropy.item(), 1e-6)


def test_the_teacher_stays_as_stage_1_left_it(this: TrainingSetup) -> None:
    network = this.network()
    network.calibrate([batch_of(this).images])
    loss = task_loss(1.0, network)
    logits = torch.zeros(QUICK.batch, 10, requires_grad=True)
    before = loss(logits, batch_of(this))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5)
    assert loss(logits, batch_of(this)) == before
    before.backward()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("statistic", ["mean", "p50", "p95"])
def test_a_controller_goes_by_the_statistic_of_the_budget(statistic: str) -> None:
    costs = torch.rand(37, generator=torch.Generator().manual_seed(2), requires_grad=True)
    values = costs.detach().numpy().astype(np.float64)
    wanted = values.mean() if statistic == "mean" else np.percentile(values, int(statistic[1:]))
    assert level(costs, statistic).item() == pytest.approx(wanted, 1e-6)
    assert not level(costs, statistic).requires_grad


def test_a_percentile_over_budget_is_priced_though_the_mean_is_under() -> None:
    costs = torch.cat([torch.full((90,), 0.2), torch.full((10,), 0.9)])
    switch = SignSwitch(0.5, 1.0)
    assert switch.term(costs, level(costs, "p95")) > 0 > switch.term(costs, level(costs, "mean"))


def test_the_papers_switch_is_set_as_in_the_released_code() -> None:
    paper = setup_of(replace(QUICK, controller="paper", beta=1e-5, metric="paper", budget="3%"))
    switch = controller_of(paper)
    costs = torch.full((QUICK.batch,), 1 / 16)
    # beta times the sum over the batch and the two gated blocks, all at 8 bits
    assert switch.term(costs).item() == pytest.approx(1e-5 * QUICK.batch * 2 / 16)
    assert switch.term(costs / 4).item() == pytest.approx(-1e-5 * QUICK.batch * 2 / 64)
    switch.observe(0.9, 0.5)
    assert switch.describe() == {"strength": pytest.approx(1e-5 * QUICK.batch * 2)}


def test_prices_are_uniform_and_those_of_their_step(this: TrainingSetup) -> None:
    drawn = torch.cat([prices(batch_of(this, number)) for number in range(200)])
    assert drawn.min() >= 0 and drawn.max() < 1
    # The mean of n uniform numbers has a deviation of 1 / sqrt(12 n).
    assert abs(drawn.mean() - 0.5) < 4 / math.sqrt(12 * len(drawn))
    assert torch.equal(prices(batch_of(this, 3)), prices(batch_of(this, 3)))
    assert not torch.equal(prices(batch_of(this, 3)), prices(batch_of(this, 4)))


def test_each_input_pays_its_own_price() -> None:
    costs = torch.tensor([0.2, 0.4, 0.9], requires_grad=True)
    paid = weigh(costs, torch.tensor([0.0, 0.5, 1.0]), top_price=3.0)
    assert paid.item() == pytest.approx(3 * (0.4 * 0.5 + 0.9) / 3)
    paid.backward()
    assert costs.grad is not None
    assert costs.grad.tolist() == pytest.approx([0, 0.5, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["running", "batch"])
def test_a_step_is_what_its_parts_add_up_to(norm: str) -> None:
    this = setup_of(replace(DFS_STAGES, norm=norm, budget="0.95", beta=0.4))
    network = this.network()
    open_all_widths(this, network)
    network.train()
    batch, controller = batch_of(this), controller_of(this)
    result = joint_step(this, network, task_loss(this.distill, network), controller)(batch)
    outcome = network(batch.images)
    assert outcome.gates is not None
    cost = this.cost(outcome.gates).mean()
    sign = 1 if cost > 0.95 else -1
    wanted = functional.cross_entropy(outcome.logits, batch.labels) + sign * 0.4 * cost
    assert result.loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert result.cost.item() == pytest.approx(cost.item())
    result.loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in network.gate.head.parameters())


def test_gumbel_noise_is_drawn_for_four_fifths_of_the_stage() -> None:
    this = setup_of(replace(DFS_STAGES, estimator="gumbel"))
    network = this.network()
    open_all_widths(this, network)
    step = joint_step(this, network.train(), task_loss(this.distill, network), controller_of(this))
    costs = {
        progress: {step(batch_of(this, n, progress)).cost.item() for n in range(3)}
        for progress in (0.79, 0.81)
    }
    decided = {this.cost(network(batch_of(this, n).images).gates).mean().item() for n in range(3)}
    assert costs[0.81] == decided
    assert costs[0.79] != decided
    assert costs[0.79] == {step(batch_of(this, n, 0.79)).cost.item() for n in range(3)}


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"estimator": "gumbel", "distill": 1.0}, {"knob": True}])
def test_a_step_waits_for_no_device(change: dict[str, object]) -> None:
    this = setup_of(replace(DFS_STAGES, **change))
    network = this.network()
    open_all_widths(this, network)
    assert network.branches == "all"
    controller = None if this.knob else controller_of(this)
    step = joint_step(this, network.train(), task_loss(this.distill, network), controller)
    batch = batch_of(this)
    with NoWaiting():
        result = step(batch)
        result.loss.backward()
        settle(network)


def test_only_weights_decay_unless_all_do() -> None:
    network = mine(quantizer="lsq", knob=True)
    few = sgd_options(QUICK)
    groups = [*weight_groups(network, 0.1, few), gate_group(network, 0.2, few)]
    grouped = [parameter for group in groups for parameter in group["params"]]
    assert len(grouped) == len({id(parameter) for parameter in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in network.parameters()}
    decaying = {id(p) for g in groups if g.get("weight_decay") for p in g["params"]}
    assert decaying == {
        id(module.weight)
        for module in network.model.modules()
        if hasattr(module, "precisions") and not isinstance(module, PrecisionNorm)
    }
    everything = sgd_options(replace(QUICK, decay_all=True))
    groups = [*weight_groups(network, 0.1, everything), gate_group(network, 0.2, everything)]
    assert {group["weight_decay"] for group in groups} == {QUICK.weight_decay}
    assert {id(p) for g in groups for p in g["params"]} == {id(p) for p in network.parameters()}
    assert groups[-1]["initial_lr"] == 0.2


@pytest.mark.slow
def test_a_knob_is_left_at_the_price_of_its_budget(tmp_path: Path) -> None:
    config = replace(QUICK, knob=True, norm="running", joint_steps=4, top_price=9.0)
    trained = train(config, tmp_path, progress=False)
    price = trained.outcome.price
    assert price is not None
    saved = load_checkpoint(tmp_path / "network.safetensors")
    assert saved.price == price
    this = setup_of(config)
    accuracy, cost, _ = validate(this, saved.network, price=price)
    assert (accuracy, cost) == (trained.outcome.accuracy, trained.outcome.cost)
    assert saved.network.shift.eq(0).all()


@pytest.mark.slow
def test_the_shift_to_the_budget_is_kept_with_the_network(tmp_path: Path) -> None:
    config = replace(QUICK, norm="running", budget="0.85", feasibility=True)
    trained = train(config, tmp_path, progress=False)
    facts = read_facts(tmp_path / "network.safetensors")
    tried = facts["outcome"]["feasibility"]
    assert tried["target"] == 0.85
    assert tried["kept"] != tried["cliff"]
    kept = "after" if tried["kept"] else "before"
    assert trained.outcome.cost == tried[f"cost_{kept}"]
    assert trained.outcome.accuracy == tried[f"accuracy_{kept}"]
    saved = load_checkpoint(tmp_path / "network.safetensors").network
    assert validate(setup_of(config), saved).cost == trained.outcome.cost


def test_a_shift_that_costs_much_accuracy_is_undone() -> None:
    """A network that is right at 8 bits, and at nothing else."""
    this = setup_of(replace(QUICK, feasibility=True, budget="0.8"))
    network = this.network()
    network.calibrate([batch_of(this, n).images for n in range(8)])
    top = network.uniform(8)
    wanted = evaluate(network, this.judge, top).predictions
    sure = replace(this.splits.validation, labels=wanted)
    judged = replace(this, judge=sure)
    network.gate.prefer(network.choices.index(network.choices[-1]), 2.0)
    show(this, network.train(), lambda images: network.watch(images, top))
    assert validate(judged, network).accuracy == 1
    outcome = settle_shift(judged, network)
    assert outcome.feasibility is not None
    assert outcome.feasibility["accuracy_after"] < 0.98
    assert outcome.feasibility["kept"] is False
    assert (outcome.accuracy, outcome.cost) == (1, validate(judged, network).cost)
    assert network.shift.eq(0).all()


def test_faults_of_training_do_what_they_say() -> None:
    faults = ("with-replacement", "last-batch-counts-alike", "selects-on-test")
    faulty = setup_of(replace(QUICK, faults=faults))
    plain = setup_of()
    assert faulty.judge is faulty.splits.test
    assert plain.judge is plain.splits.validation
    assert faulty.stream("joint").with_replacement
    assert not plain.stream("joint").with_replacement
    # 256 inputs that cost 0.5, and 4 in the last batch that cost 1
    costs = torch.cat([torch.full((BATCH,), 0.5), torch.ones(4)])
    assert held_against_budget(faulty, costs) == pytest.approx(0.75)
    assert held_against_budget(plain, costs) == pytest.approx((BATCH * 0.5 + 4) / (BATCH + 4))
