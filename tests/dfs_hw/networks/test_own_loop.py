"""Networks trained in a loop of one's own: statistics move by themselves, once a step."""

import copy
import pickle
from pathlib import Path

import own_training
import pytest
import torch
from forks import side_by_side
from own_training import accuracy, own_data, own_network, prepared, steps
from safetensors.torch import load_file
from torch import Tensor, nn

from accel_models.errors import InputError
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.statistics import settle


def moved(network: DynamicNetwork, before: dict[str, Tensor]) -> bool:
    """Whether any statistics are others than before."""
    buffers = dict(network.named_buffers())
    return any(
        not torch.equal(buffers[name], before[name])
        for name in before
        if name.endswith(("mean", "variance", "magnitude", "range"))
    )


def near(first: nn.Module, second: dict[str, Tensor]) -> None:
    for name, value in first.state_dict().items():
        assert torch.allclose(value, second[name], rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("quantizer", ["normal", "minmax", "lsq", "nested"])
def test_a_plain_loop_evaluates_as_it_trained(quantizer: str) -> None:
    network = own_network(quantizer)
    steps(network, 40)
    assert accuracy(network) > 0.9


def test_what_gates_never_chose_can_be_evaluated_too() -> None:
    network = own_network(choices="skip,2,3,4,8")
    steps(network, 2).eval()
    images, _ = own_data()
    for choice in network.choices:
        assert network(images, network.uniform(choice)).logits.isfinite().all()


def test_statistics_move_with_the_optimizer_of_the_network_alone() -> None:
    network, (images, _) = prepared(), own_data()
    before = copy.deepcopy(dict(network.named_buffers()))
    elsewhere = torch.nn.Parameter(torch.zeros(1))
    elsewhere.grad = torch.ones(1)
    loss = network(images).logits.square().sum()
    torch.optim.SGD([elsewhere], lr=1.0).step()
    loss.backward(retain_graph=True)
    loss.backward()  # twice, as of several losses
    assert not moved(network, before)
    torch.optim.AdamW(network.gate.parameters()).step()
    assert moved(network, before)


def test_gradients_accumulated_over_parts_are_one_step() -> None:
    whole, parted = steps(prepared(), 3), steps(prepared(), 3, parts=4)
    near(whole, parted.state_dict())


def test_inputs_that_run_at_several_widths_count_once() -> None:
    images, _ = own_data()
    found = []
    for repeats in (1, 3):
        network = prepared()
        for _ in range(repeats):
            network(images, network.uniform(4))
        settle(network)
        found.append(network.state_dict())
    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], rtol=1e-5, atol=1e-6), name


def test_passes_without_a_step_count_in_evaluation() -> None:
    network, (images, _) = own_network(), own_data()
    for _ in range(20):
        network(images, network.uniform(8))
    assert network.eval()(images, network.uniform(8)).logits.isfinite().all()


@pytest.mark.slow
def test_a_compiled_network_trains_as_it_does_by_itself() -> None:
    plain, compiled = prepared("skip,8"), prepared("skip,8")
    steps(torch.compile(compiled, backend="eager"), 2)
    near(steps(plain, 2), compiled.state_dict())


def test_networks_in_the_middle_of_a_step_are_copied_and_pickled() -> None:
    network, (images, _) = prepared(), own_data()
    network(images)
    copies = copy.deepcopy(network), pickle.loads(pickle.dumps(network))
    for each in copies:
        near(network, each.state_dict())


@pytest.mark.slow
def test_two_processes_train_as_one_does_with_the_whole_batch(tmp_path: Path) -> None:
    side_by_side(own_training.train_in_parallel, tmp_path)
    alone = steps(steps(prepared(), 3), 2)
    for rank in range(2):
        near(alone, load_file(tmp_path / f"{rank}.safetensors"))


def test_several_processes_do_not_normalise_by_parts_of_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dfs_hw.networks.dynamic.world", lambda: (0, 2))
    with pytest.raises(InputError, match=r"call normalize_by_batch\(False\)"):
        own_network()(own_data()[0])
