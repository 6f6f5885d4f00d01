"""Networks that decide by the input: what they run, what they choose, what they refuse."""

import copy
from collections.abc import Callable

import pytest
import torch
from deciding import SIDE, dynamic_mobilenet, images, trained
from models import IMAGE
from torch import Tensor, nn

from accel_models.errors import InputError
from dfs_hw.networks import CifarResNet, Design, DynamicNetwork, build_network
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.dynamic import Decisions
from dfs_hw.quantize import QuantizedConv2d


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

        with network.conducting(run):
            logits.append(network._logits(one))
        choices.append(decisions.stacked().argmax(-1))
    return torch.cat(logits), torch.cat(choices)


@torch.no_grad()
def test_the_fixture_really_decides_per_input(network: DynamicNetwork, batch: Tensor) -> None:
    choices = network(batch).choices
    assert len(choices.unique(dim=0)) >= 4
    assert len(choices.unique()) >= 3


@pytest.mark.slow
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


@torch.no_grad()
def test_a_shift_of_the_logits_rules_a_choice_out(batch: Tensor) -> None:
    network = trained()
    common = int(network(batch).choices[:, 2].mode().values)
    network.shift[2, common] = 1e6
    choices = network(batch).choices
    assert not (choices[:, 2] == common).any()


@pytest.mark.slow
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


@pytest.mark.slow
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
