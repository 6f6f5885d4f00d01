import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import IMAGE, decisive, lived_in, mobilenet_v2
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.networks import CifarResNet, Design, DynamicNetwork, build_network, make_dynamic
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.dynamic import Branches, Decisions
from dfs_hw.quantize import PrecisionNorm, QuantizedConv2d

SIDE = 12


def images(count: int, seed: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    contrast = torch.rand(count, 1, 1, 1, generator=generator) * 4
    return torch.randn(count, 1, SIDE, SIDE, generator=generator) * contrast


def trained(
    choices: str = "skip,2,4,8", name: str = "resnet14", seed: int = 0, **design: object
) -> DynamicNetwork:
    """A small network whose statistics have seen data, and whose gates disagree with each other."""
    return copy.deepcopy(_trained(choices, name, seed, tuple(design.items())))


@cache
def _trained(
    choices: str, name: str, seed: int, design: tuple[tuple[str, object], ...]
) -> DynamicNetwork:
    network = build_network(
        name,
        choices,
        5,
        1,
        image_size=(SIDE, SIDE),
        widths=(4, 8, 12),
        design=dict(design),
        seed=seed,
    )
    return decisive(network, [images(24, seed) for seed in range(2)])


@pytest.fixture(scope="module")
def network() -> DynamicNetwork:
    return trained()


@pytest.fixture(scope="module")
def batch() -> Tensor:
    return images(48)


@torch.no_grad()
def masked_sum(network: DynamicNetwork, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and choices of computing every branch, for every input alone, and adding them up as
    the gates weigh them."""
    logits, choices = [], []
    for one in x.split(1):
        decisions = Decisions(network, None)

        def run(unit: GatedUnit, features: Tensor, decisions: Decisions = decisions) -> Tensor:
            return unit.run_all(features, decisions.next(features))

        with network._conducting(run):
            logits.append(network._logits(one))
        choices.append(decisions.stacked().argmax(-1))
    return torch.cat(logits), torch.cat(choices)


@torch.no_grad()
def test_the_fixture_really_decides_per_input(network: DynamicNetwork, batch: Tensor) -> None:
    choices = network(batch).choices
    assert len(choices.unique(dim=0)) >= 4
    assert len(choices.unique()) >= 3


@pytest.mark.parametrize("choices", ["skip,2,4,8", "8,skip", "4/8,2", "4,8,1,skip"])
@pytest.mark.parametrize("gate", ["lstm", "upfront"])
@torch.no_grad()
def test_running_only_the_chosen_branch_equals_the_masked_sum(
    choices: str, gate: str, batch: Tensor
) -> None:
    network, batch = trained(choices, gate=gate), batch[:12]
    chosen, (logits, made) = network(batch), masked_sum(network, batch)
    assert torch.equal(chosen.choices, made)
    assert torch.equal(chosen.logits, logits)


@pytest.mark.parametrize("size", [1, 7, 31])
@torch.no_grad()
def test_outputs_do_not_depend_on_the_batch(
    network: DynamicNetwork, batch: Tensor, size: int
) -> None:
    whole = network(batch)
    parts = [network(part) for part in batch.split(size)]
    assert torch.equal(whole.logits, torch.cat([part.logits for part in parts]))
    assert torch.equal(whole.choices, torch.cat([part.choices for part in parts]))


@torch.no_grad()
def test_forcing_the_choices_the_gates_made_changes_nothing(
    network: DynamicNetwork, batch: Tensor
) -> None:
    free = network(batch)
    forced = network(batch, free.choices.to(torch.int8))
    assert torch.equal(free.logits, forced.logits)
    assert forced.gates is None


@torch.no_grad()
def test_one_assignment_for_all_equals_the_same_for_each(
    network: DynamicNetwork, batch: Tensor
) -> None:
    assignment = network.assign(["skip", 8, "4", 2, "skip"])
    each = network(batch, assignment.expand(len(batch), -1))
    assert torch.equal(network(batch, assignment).logits, each.logits)


@torch.no_grad()
def test_a_skipped_block_runs_no_convolution_but_a_downsampling_shortcut(
    network: DynamicNetwork, batch: Tensor
) -> None:
    ran: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in network.model.named_modules()
        if isinstance(module, QuantizedConv2d)
    ]
    network(batch, network.uniform("skip"))
    for hook in hooks:
        hook.remove()
    always = ["stem", "block1.conv1", "block1.conv2"]
    assert ran == [*always, "block3.block.shortcut.0", "block5.block.shortcut.0"]


@torch.no_grad()
def test_a_block_that_changes_shape_keeps_its_activation_when_it_is_skipped(
    network: DynamicNetwork,
) -> None:
    unit = network.blocks[1]
    x = torch.rand(2, 4, SIDE, SIDE)
    unit.dial.index = unit.highest
    shortcut = unit.block.shortcut(x)
    assert (shortcut < 0).any()
    assert torch.equal(unit.run(x, 0), shortcut.relu())
    released = trained(faults=("free-shortcut",)).blocks[1]
    assert released.run(x, 0).min() < 0


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


def gradients(network: DynamicNetwork, branches: Branches, x: Tensor) -> dict[str, Tensor]:
    """Of a loss of logits and gates, for all parameters and the images; None counts as 0."""
    network.zero_grad()
    x = x.clone().requires_grad_()
    network.branches = branches
    logits, gates, _ = network(x)
    prices = torch.linspace(-1, 1, gates[0].numel()).view_as(gates[0])
    scores = torch.linspace(1, -1, logits.shape[1])
    (logits.log_softmax(1) @ scores + (gates * prices).sum((1, 2))).sum().backward()
    found = {"images": x.grad, "logits": logits.detach()}
    for name, parameter in network.named_parameters():
        found[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return found


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """To float tolerance relative to each tensor's largest entry; sums run in another order."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        worst = (found[name] - value).abs().max()
        assert worst <= 2e-5 * value.abs().max() + 1e-9, name


def dynamic_mobilenet(choices: str) -> DynamicNetwork:
    return copy.deepcopy(_dynamic_mobilenet(choices))


@cache
def _dynamic_mobilenet(choices: str) -> DynamicNetwork:
    torch.manual_seed(0)
    network = make_dynamic(lived_in(mobilenet_v2(classifier_dropout_prob=0)), choices, image=IMAGE)
    generator = torch.Generator().manual_seed(3)
    batches = [torch.randn(8, *IMAGE, generator=generator) for _ in range(2)]
    return decisive(network, batches)


@pytest.mark.parametrize("choices", ["skip,2,4,8", "8,4/8,2,skip", "2,4"])
@pytest.mark.parametrize("gate", ["lstm", "feedforward", "upfront"])
def test_training_on_chosen_branches_has_the_gradient_of_running_all(
    choices: str, gate: str, batch: Tensor
) -> None:
    network = trained(choices, gate=gate).train()
    network.normalize_by_batch(False)
    assert len(network(batch).choices.unique()) >= 2
    assert_close(gradients(network, "chosen", batch), gradients(network, "all", batch))


@pytest.mark.parametrize("quantizer", ["lsq", "nested"])
def test_so_it_does_with_every_quantiser_that_goes_by_running_statistics(
    quantizer: str, batch: Tensor
) -> None:
    network = trained(quantizer=quantizer, first_block=True).train()
    network.normalize_by_batch(False)
    assert_close(gradients(network, "chosen", batch), gradients(network, "all", batch))


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
@settings(max_examples=40, deadline=None)
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


def test_statistics_move_only_when_a_step_is_committed(batch: Tensor) -> None:
    network = trained().train()
    before = copy.deepcopy(network.state_dict())
    network(batch)
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())
    network.commit(len(batch))
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
        network.commit(len(batch))
        states.append(network.state_dict())
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], rtol=1e-5, atol=1e-6), name


def test_static_training_leaves_other_widths_and_the_gates_alone(batch: Tensor) -> None:
    network = trained().train()
    before = copy.deepcopy(network.state_dict())
    network(batch, network.uniform(4)).logits.sum().backward()
    network.commit(len(batch))
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
    network.commit(len(batch))
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
def test_calibrating_prepares_gates_too_with_a_knob_at_a_middle_price(batch: Tensor) -> None:
    network = trained(knob=True)
    price = torch.full((len(batch),), 0.9)
    assert network(batch, price=price).gates.isfinite().all()
    with pytest.raises(InputError, match="price"):
        network(batch)


@torch.no_grad()
def test_a_shift_of_the_logits_rules_a_choice_out(batch: Tensor) -> None:
    network = trained()
    common = int(network(batch).choices[:, 2].mode().values)
    network.shift[2, common] = 1e6
    choices = network(batch).choices
    assert not (choices[:, 2] == common).any()


@torch.no_grad()
def test_what_is_not_offered_is_never_chosen() -> None:
    network = dynamic_mobilenet("skip,2,8")
    network.shift[:, 1:] = 1e6  # nothing is dearer than not to skip
    choices = network(torch.randn(6, *IMAGE)).choices
    offered = network.offered[:, 0]
    assert 0 < offered.sum() < len(offered)
    assert (choices[:, offered] == 0).all()
    assert (choices[:, ~offered] > 0).all()
    assert (network.uniform("skip") == torch.where(offered, 0, 1)).all()
    with pytest.raises(InputError, match=r"layer\.2' cannot take 'skip'"):
        network.assign(["skip"] * len(network.units))
    with pytest.raises(InputError, match=r"layer\.2' cannot be skipped"):
        network(torch.randn(1, *IMAGE), torch.zeros(len(offered), dtype=torch.long))


@torch.no_grad()
def test_noise_and_temperature_reach_the_decisions(batch: Tensor) -> None:
    network = trained()
    noise = torch.zeros(len(batch), 5, 4)
    noise[..., 1] = 1e6
    assert (network(batch, noise=noise).choices == 1).all()


@torch.no_grad()
def test_a_copy_and_a_saved_state_decide_alike(network: DynamicNetwork, batch: Tensor) -> None:
    wanted = network(batch)
    twin = copy.deepcopy(network)
    assert twin.conductor is not network.conductor
    assert all(unit.conductor is twin.conductor for unit in twin.blocks)
    fresh = build_network(**network.shape, seed=9).eval()
    assert fresh.state_dict().keys() == network.state_dict().keys()
    fresh.load_state_dict(network.state_dict())
    for other in (twin, fresh):
        assert torch.equal(other(batch).logits, wanted.logits)
        assert torch.equal(other(batch).choices, wanted.choices)


def test_equal_seeds_give_equal_networks_and_leave_the_global_one_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build_network("resnet8", "skip,8", 10, seed=3)
    assert torch.equal(torch.rand(1), expected)
    second = build_network("resnet8", "skip,8", 10, seed=3)
    other = build_network("resnet8", "skip,8", 10, seed=4)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]) or value.isnan().all()
    assert not torch.equal(first.model.stem.weight, other.model.stem.weight)


def refusals() -> list[tuple[str, Callable[[DynamicNetwork], object]]]:
    short = torch.zeros(3, dtype=torch.long)
    each = torch.zeros(48, 5, dtype=torch.long)
    return [
        (r"'vgg'.*resnet38", lambda _: build_network("vgg", "8", 10)),
        (r"6n\+2", lambda _: CifarResNet(9, 10)),
        (r"'magic'.*lstm", lambda _: build_network("resnet8", "8", 2, design={"gate": "magic"})),
        (r"'grate'.*gate", lambda _: build_network("resnet8", "8", 2, design={"grate": "lstm"})),
        (r"'all-wrong'.*ties", lambda _: Design(faults=("all-wrong",))),
        (r"'3' is none.*skip, 2, 4, 8", lambda network: network.uniform(3)),
        (r"2 choices.*5 units", lambda network: network.assign(["8", "8"])),
        (r"\[5\] or \[48, 5\]", lambda network: network(images(48), short)),
        ("per input", lambda network: network.train()(images(48), each)),
    ]


@pytest.mark.parametrize(("message", "ask"), refusals())
def test_unusable_requests_name_what_could_be_used(
    message: str, ask: Callable[[DynamicNetwork], object]
) -> None:
    network = build_network("resnet14", "skip,2,4,8", 5, 1, image_size=(SIDE, SIDE))
    network.normalize_by_batch(True)
    with pytest.raises((InputError, ValueError), match=message):
        ask(network)


def test_the_plain_network_is_an_ordinary_one() -> None:
    network = CifarResNet(8, 3)
    kinds = {type(module) for module in network.modules() if not any(module.children())}
    assert kinds == {nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.ReLU}
