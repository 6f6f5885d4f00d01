import pytest
import torch

from accel_models.errors import InputError
from accel_models.workload import Workload
from dfs_hw.networks import DFSResNet, build_network
from dfs_hw.workload import workload_of

SIDE = 12


def trained(choices: str = "skip,2,4,8", name: str = "resnet14", seed: int = 0) -> DFSResNet:
    """A small network whose statistics have seen data, and whose gates disagree with each other."""
    network = build_network(name, choices, 5, 1, widths=(4, 8, 12), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(4):
            network(images(32, generator))
        network.gate.head.bias.zero_()
        network.gate.head.weight.mul_(30)
        for embed in network.gate.embed:
            embed.weight.mul_(10)
    return network.eval()


def images(count: int, generator: torch.Generator) -> torch.Tensor:
    contrast = torch.rand(count, 1, 1, 1, generator=generator) * 4
    return torch.randn(count, 1, SIDE, SIDE, generator=generator) * contrast


@pytest.fixture(scope="module")
def network() -> DFSResNet:
    return trained()


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return images(48, torch.Generator().manual_seed(7))


@torch.no_grad()
def test_the_fixture_really_decides_per_input(network: DFSResNet, batch: torch.Tensor) -> None:
    choices = network(batch).choices
    assert len(choices.unique(dim=0)) >= 4
    assert len(choices.unique()) >= 3


@pytest.mark.parametrize("choices", ["skip,2,4,8", "8,skip", "4/8,2", "4,8,1,skip"])
@torch.no_grad()
def test_running_only_the_chosen_branch_equals_the_masked_sum(
    choices: str, batch: torch.Tensor
) -> None:
    network = trained(choices)
    chosen, masked = network(batch), network(batch, all_branches=True)
    assert torch.equal(chosen.choices, masked.choices)
    assert torch.equal(chosen.logits, masked.logits)


@pytest.mark.parametrize("size", [1, 7, 31])
@torch.no_grad()
def test_outputs_do_not_depend_on_the_batch(
    network: DFSResNet, batch: torch.Tensor, size: int
) -> None:
    whole = network(batch)
    parts = [network(part) for part in batch.split(size)]
    assert torch.equal(whole.logits, torch.cat([part.logits for part in parts]))
    assert torch.equal(whole.choices, torch.cat([part.choices for part in parts]))


@torch.no_grad()
def test_forcing_the_choices_the_gates_made_changes_nothing(
    network: DFSResNet, batch: torch.Tensor
) -> None:
    free = network(batch)
    forced = network(batch, free.choices)
    assert torch.equal(free.logits, forced.logits)
    assert forced.gates is None


@torch.no_grad()
def test_one_assignment_for_all_equals_the_same_for_each(
    network: DFSResNet, batch: torch.Tensor
) -> None:
    assignment = network.assign(["skip", 8, "4", 2, "skip"])
    each = network(batch, assignment.expand(len(batch), -1))
    assert torch.equal(network(batch, assignment).logits, each.logits)


@torch.no_grad()
def test_a_skipped_block_runs_no_convolution_but_a_downsampling_shortcut(
    network: DFSResNet, batch: torch.Tensor
) -> None:
    ran: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in network.named_modules()
        if name.endswith(("conv1", "conv2", "shortcut"))
    ]
    network(batch, network.uniform("skip"))
    for hook in hooks:
        hook.remove()
    assert ran == ["blocks.0.conv1", "blocks.0.conv2", "blocks.2.shortcut", "blocks.4.shortcut"]


def test_gates_get_a_gradient_from_the_task_for_every_choice(batch: torch.Tensor) -> None:
    network = trained().train()
    outcome = network(batch)
    assert outcome.gates is not None
    outcome.gates.retain_grad()
    labels = torch.arange(len(batch)) % 5
    torch.nn.functional.cross_entropy(outcome.logits, labels).backward()
    per_choice = network.gate.head.bias.grad
    assert per_choice is not None
    assert (per_choice != 0).all()


def test_gate_gradient_is_upstream_times_branch_output(network: DFSResNet) -> None:
    """The block is linear in its mask, so moving a mask entry moves the output by its branch."""
    block = network.all_blocks[1]
    x = torch.rand(3, 4, SIDE, SIDE)
    gate = torch.eye(4)[[0, 2, 3]].requires_grad_()
    upstream = torch.randn(3, 4, SIDE, SIDE)
    (block.mixture(x, gate) * upstream).sum().backward()
    with torch.no_grad():
        for choice in range(4):
            wanted = (block.run(x, choice) * upstream).sum((1, 2, 3))
            assert gate.grad is not None
            assert torch.allclose(gate.grad[:, choice], wanted, rtol=1e-4, atol=1e-4)


def test_static_training_leaves_other_widths_and_the_gates_alone(batch: torch.Tensor) -> None:
    network = trained().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(batch, network.uniform(4)).logits.sum().backward()
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    norms = {name for name in changed if "blocks.2.norm" in name}
    assert norms
    assert all(".1." in name for name in norms)  # the second of the widths 2, 4, 8
    assert all(parameter.grad is None for parameter in network.gate.parameters())


def test_watching_trains_gates_only(batch: torch.Tensor) -> None:
    network = trained()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.watch(batch, network.uniform(8)).sum().backward()
    touched = {name for name, p in network.named_parameters() if p.grad is not None}
    assert touched
    assert all(name.startswith("gate.") for name in touched)
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())


def test_inheriting_starts_every_width_from_the_highest() -> None:
    network = trained()
    network.inherit()
    block = network.all_blocks[2]
    for norms in (block.norm1, block.norm2, block.shortcut_norm):
        assert torch.equal(norms[0].running_mean, norms[2].running_mean)
        assert norms[0].running_mean is not norms[2].running_mean


def test_equal_seeds_give_equal_networks_and_leave_the_global_one_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build_network("resnet8", "skip,8", 10, seed=3)
    assert torch.equal(torch.rand(1), expected)
    second = build_network("resnet8", "skip,8", 10, seed=3)
    other = build_network("resnet8", "skip,8", 10, seed=4)
    assert torch.equal(first.stem.weight, second.stem.weight)
    assert not torch.equal(first.stem.weight, other.stem.weight)


def test_unusable_requests_name_what_could_be_used(network: DFSResNet, batch: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"'vgg'.*resnet38"):
        build_network("vgg", "8", 10)
    with pytest.raises(InputError, match=r"6n\+2"):
        DFSResNet(9, network.choices, 10)
    with pytest.raises(InputError, match=r"'3' is none.*skip, 2, 4, 8"):
        network.uniform(3)
    with pytest.raises(InputError, match=r"2 choices.*5 units"):
        network.assign(["8", "8"])
    with pytest.raises(ValueError, match=r"\[5\] or \[48, 5\]"):
        network(batch, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="per input"):
        trained().train()(batch, torch.zeros(48, 5, dtype=torch.long))


def cifar_resnet38() -> Workload:
    return workload_of(build_network("resnet38", "skip,4,8", 10), (32, 32))


def test_macs_of_resnet38_are_those_published_for_dfs() -> None:
    bare = cifar_resnet38().without_gates()
    assert round(bare.macs / 1e6, 2) == 83.28
    gated = sum(layer.macs for layer in bare.layers if layer.unit)
    assert round(100 * gated / bare.macs, 2) == 93.80


def test_macs_equal_a_count_from_first_principles() -> None:
    stage = [(16, 32), (32, 16), (64, 8)]
    total = 32 * 32 * 16 * 27 + 64 * 10
    before = 16
    for width, side in stage:
        total += side * side * width * 9 * (before + 11 * width)
        total += side * side * width * before if before != width else 0
        before = width
    assert cifar_resnet38().without_gates().macs == total


def test_workload_knows_units_roles_and_tensors() -> None:
    workload = workload_of(trained(), (SIDE, SIDE))
    layers = {layer.name: layer for layer in workload.layers}
    assert workload.units == ("block2", "block3", "block4", "block5", "block6")
    assert layers["stem"].reads_image
    assert layers["block1.conv1"].role == layers["classifier"].role == "fixed"
    assert layers["block3.shortcut"].role == "shortcut"
    assert layers["block3.shortcut"].out_size == layers["block3.conv2"].out_size == (6, 6)
    lstm = layers["block4.gate.lstm"]
    assert (lstm.role, lstm.unit, lstm.macs) == ("gate", "block4", 20 * 40)
    graph = workload.graph
    assert set(graph.predecessors("block3.gate.embed")) == {"block2.conv2"}
    assert set(graph.predecessors("block2.conv2")) == {"block2.conv1", "block1.conv2"}
    assert set(graph.predecessors("block3.conv2")) == {"block3.conv1", "block3.shortcut"}
