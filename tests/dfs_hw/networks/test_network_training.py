"""What a step of training changes in a network that decides: gradients and statistics."""

import copy
from typing import Any

import pytest
import torch
from branch_gradients import assert_close, gradients
from deciding import SIDE, dynamic_mobilenet, images, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from models import IMAGE
from torch import Tensor
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.networks import DynamicNetwork, build_network
from dfs_hw.networks.statistics import settle
from dfs_hw.quantize import PrecisionNorm


@pytest.fixture(scope="module")
def network() -> DynamicNetwork:
    return trained()


@pytest.fixture(scope="module")
def batch() -> Tensor:
    return images(48)


def test_gates_get_a_gradient_from_the_task_for_every_choice(batch: Tensor) -> None:
    network = trained().train()
    network.normalize_by_batch(False)
    outcome = network(batch)
    labels = torch.arange(len(batch)) % 5
    functional.cross_entropy(outcome.logits, labels).backward()
    per_choice = network.gate.head.bias.grad
    assert per_choice is not None
    assert (per_choice != 0).all()


def test_an_evaluation_builds_gradients_for_the_chosen_branches_only(batch: Tensor) -> None:
    network = trained()
    network(batch).logits.sum().backward()
    assert network.model.stem.weight.grad is not None
    assert all(parameter.grad is None for parameter in network.gate.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("choices", ["skip,2,4,8", "8,4/8,2,skip", "2,4"])
@pytest.mark.parametrize("gate", ["lstm", "feedforward", "upfront"])
def test_training_on_chosen_branches_has_the_gradient_of_running_all(
    choices: str, gate: str, batch: Tensor
) -> None:
    network = trained(choices, gate=gate).train()
    network.normalize_by_batch(False)
    assert len(network(batch).choices.unique()) >= 2
    assert_close(gradients(network, "chosen", batch), gradients(network, "all", batch))


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["lsq", "nested"])
def test_so_it_does_with_every_quantiser_that_goes_by_running_statistics(
    quantizer: str, batch: Tensor
) -> None:
    network = trained(quantizer=quantizer, first_block=True).train()
    network.normalize_by_batch(False)
    assert_close(gradients(network, "chosen", batch), gradients(network, "all", batch))


@pytest.mark.slow
def test_so_it_does_where_units_do_not_offer_everything() -> None:
    network = dynamic_mobilenet("skip,2,8").train()
    network.normalize_by_batch(False)
    x = torch.randn(10, *IMAGE, generator=torch.Generator().manual_seed(5))
    assert len(network(x).choices.unique(dim=0)) >= 3
    assert not network.offered.all()
    fast = gradients(network, "chosen", x)
    assert_close(fast, gradients(network, "all", x))
    assert (fast["gate.head.bias"] != 0).all()


def test_gates_learn_nothing_of_what_is_not_offered() -> None:
    network = dynamic_mobilenet("skip,2,8")
    unit = network.blocks[1]
    assert unit.offered == (False, True, True)
    x = torch.randn(3, unit.block.expand_1x1.convolution.in_channels, 8, 8)
    for run in (unit.run_gated, unit.run_all):
        gate = torch.eye(3)[[1, 2, 2]].requires_grad_()
        run(x, gate).sum().backward()
        assert gate.grad is not None
        assert not gate.grad[:, 0].any()
        assert gate.grad[:, 1:].all()


def test_the_gradient_of_a_batch_is_the_sum_over_its_inputs_alone(batch: Tensor) -> None:
    network = trained().train()
    network.normalize_by_batch(False)
    together = gradients(network, "chosen", batch[:8])
    alone = [gradients(network, "all", one) for one in batch[:8].split(1)]
    rows = ("images", "logits")
    wanted = {name: torch.cat([one[name] for one in alone]) for name in rows}
    for name in together.keys() - rows:
        wanted[name] = torch.stack([one[name] for one in alone]).sum(0)
    assert_close(together, wanted)


@given(
    unit=st.integers(0, 4),
    made=st.lists(st.integers(0, 3), min_size=1, max_size=7),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40)
def test_a_unit_has_the_gradient_of_all_its_branches_whatever_was_chosen(
    network: DynamicNetwork, unit: int, made: list[int], seed: int
) -> None:
    gated = network.blocks[unit]
    generator = torch.Generator().manual_seed(seed)
    width = (4, 4, 8, 8, 12)[unit]
    inputs = torch.rand(len(made), width, 6, 6, generator=generator)
    found = []
    for run in (gated.run_gated, gated.run_all):
        gated.zero_grad()
        x = inputs.clone().requires_grad_()
        gate = torch.eye(4)[made].requires_grad_()
        output = run(x, gate)
        upstream = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed + 1))
        (output * upstream).sum().backward()
        parameters = [p.grad for p in gated.parameters() if p.grad is not None and p.grad.any()]
        found.append([output.detach(), x.grad, gate.grad, *parameters])
    assert torch.equal(found[0][0], found[1][0])
    assert len(found[0]) == len(found[1])
    for fast, slow in zip(*found, strict=True):
        assert torch.allclose(fast, slow, rtol=1e-4, atol=2e-5 * float(slow.abs().max()))


def test_gate_gradient_is_upstream_times_branch_output(network: DynamicNetwork) -> None:
    """A unit is linear in its mask, so moving a mask entry moves the output by its branch."""
    unit = network.blocks[0]
    x, upstream = torch.rand(3, 4, SIDE, SIDE), torch.randn(3, 4, SIDE, SIDE)
    for run in (unit.run_all, unit.run_gated):
        gate = torch.eye(4)[[0, 2, 3]].requires_grad_()
        (run(x, gate) * upstream).sum().backward()
        assert gate.grad is not None
        with torch.no_grad():
            for choice in range(4):
                wanted = (unit.run(x, choice) * upstream).sum((1, 2, 3))
                assert torch.allclose(gate.grad[:, choice], wanted, rtol=1e-4, atol=1e-4)


# --- Statistics


def pending(network: DynamicNetwork) -> dict[str, Tensor]:
    return {n: b.clone() for n, b in network.named_buffers() if n.endswith("pending")}


def test_a_backward_pass_leaves_no_trace_in_the_statistics(batch: Tensor) -> None:
    network = trained().train()
    network.normalize_by_batch(False)
    loss = network(batch).logits.sum()
    before = pending(network)
    assert any(value.any() for value in before.values())
    loss.backward()
    after = pending(network)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_statistics_move_only_after_a_step(batch: Tensor) -> None:
    network = trained().train()
    before = copy.deepcopy(network.state_dict())
    network(batch)
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())
    settle(network)
    changed = {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    assert any(name.endswith("variance") for name in changed)
    assert any(name.endswith("magnitude") for name in changed)
    assert not any(value.any() for value in pending(network).values())


def test_a_step_has_the_same_statistics_in_whatever_parts_its_inputs_come(batch: Tensor) -> None:
    states = []
    for size in (48, 20):
        network = trained().train()
        network.normalize_by_batch(False)
        for part in batch.split(size):
            network(part)
        settle(network)
        states.append(network.state_dict())
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], rtol=1e-5, atol=1e-6), name


def test_static_training_leaves_other_widths_and_the_gates_alone(batch: Tensor) -> None:
    network = trained().train()
    before = copy.deepcopy(network.state_dict())
    network(batch, network.uniform(4)).logits.sum().backward()
    settle(network)
    norm = network.blocks[1].block.norm1
    assert isinstance(norm, PrecisionNorm)
    prefix = "model.block3.block.norm1"
    for name, still in ((f"{prefix}.mean", [0, 2]), (f"{prefix}.variance", [0, 2])):
        same = (network.state_dict()[name] == before[name]).all(1)
        assert [row for row in range(3) if same[row]] == still
    assert [bool(row.any()) for row in norm.weight.grad] == [False, True, False]
    assert all(parameter.grad is None for parameter in network.gate.parameters())


def test_watching_trains_gates_only(batch: Tensor) -> None:
    network = trained()
    before = copy.deepcopy(network.state_dict())
    network.watch(batch, network.uniform(8)).sum(1).square().sum().backward()
    settle(network)
    touched = {name for name, p in network.named_parameters() if p.grad is not None}
    assert touched
    assert all(name.startswith("gate.") for name in touched)
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())


def test_inheriting_starts_every_width_from_the_highest() -> None:
    network = trained()
    norms = [m for unit in network.blocks for m in unit.modules() if isinstance(m, PrecisionNorm)]
    before = [norm.mean[2].clone() for norm in norms]
    assert not all(torch.equal(norm.mean[0], norm.mean[2]) for norm in norms)
    network.inherit()
    for norm, mean in zip(norms, before, strict=True):
        assert torch.equal(norm.mean, mean.expand_as(norm.mean))
        assert torch.equal(norm.variance[0], norm.variance[2])


@torch.no_grad()
def test_calibrating_prepares_every_precision(batch: Tensor) -> None:
    network = build_network("resnet8", "skip,2,8", 5, 1, image_size=(SIDE, SIDE), widths=(4, 4, 8))
    network.eval()
    assert network(batch, network.uniform(2)).logits.isnan().all()
    network.calibrate([batch])
    assert not network.training
    for choice in network.choices:
        assert network(batch, network.uniform(choice)).logits.isfinite().all()


@torch.no_grad()
def test_gates_do_not_decide_before_anything_was_seen(batch: Tensor) -> None:
    network = build_network("resnet8", "skip,2,8", 5, 1, image_size=(SIDE, SIDE), widths=(4, 4, 8))
    network.eval()
    with pytest.raises(InputError, match=r"not seen an input yet: call calibrate\(\[images\]\)"):
        network(batch)
    network.calibrate(one for one in [batch])  # every width has to see it, not the first alone
    for choice in network.choices:
        assert network(batch, network.uniform(choice)).logits.isfinite().all()
    assert network(batch).logits.isfinite().all()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], r"no batch to be calibrated on: give at least one, \[images\]"),
        (torch.zeros(2, 1, SIDE, SIDE), r"on batches \[N, 1, .* a list of one batch"),
        ([(torch.zeros(2, 1, SIDE, SIDE), torch.zeros(2))], "one tensor of images .* not tuple"),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(batches: Any, message: str) -> None:
    network = build_network("resnet8", "skip,2,8", 5, 1, image_size=(SIDE, SIDE), widths=(4, 4, 8))
    with pytest.raises(InputError, match=message):
        network.calibrate(batches)


@torch.no_grad()
def test_calibrating_prepares_gates_too_with_a_knob_at_a_middle_price(batch: Tensor) -> None:
    network = trained(knob=True)
    price = torch.full((len(batch),), 0.9)
    assert network(batch, price=price).gates.isfinite().all()
    with pytest.raises(InputError, match="price"):
        network(batch)
