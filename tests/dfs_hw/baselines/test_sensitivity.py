"""Sensitivities are differences of losses that were measured, one unit changed at a time."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from accel_models import DfsHwError, InputError, cost_table, load_accelerator
from accel_models.assignment.assignment import best_assignment
from dfs_hw.baselines import sensitivity
from dfs_hw.data import Dataset
from dfs_hw.networks import DynamicNetwork, build_network, make_dynamic
from dfs_hw.networks.statistics import settle
from dfs_hw.networks.workload_of import workload_of

SIDE, CLASSES = 12, 5
CHOICES = "skip,2,4,8"


def fresh(seed: int = 0) -> DynamicNetwork:
    size = {"image_size": (SIDE, SIDE), "widths": (4, 8, 12)}
    return build_network("resnet14", CHOICES, CLASSES, 1, seed=seed, **size)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    generator = torch.Generator().manual_seed(3)
    return Dataset(
        "noise",
        torch.randint(256, (41, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8),
        torch.randint(CLASSES, (41,), generator=generator),
        mean=torch.tensor([0.5]),
        std=torch.tensor([0.3]),
    )


@pytest.fixture
def network(dataset: Dataset) -> DynamicNetwork:
    """Its statistics have seen data at every precision."""
    network = fresh()
    network.calibrate([dataset.normalized(dataset.pixels)])
    return network.eval()


@torch.no_grad()
def loss_of(network: DynamicNetwork, dataset: Dataset, assignment: Tensor) -> float:
    """Mean cross-entropy, all images at once."""
    logits = network(dataset.normalized(dataset.pixels), assignment).logits.double()
    right = logits.log_softmax(1)[torch.arange(len(dataset)), dataset.labels]
    return -float(right.mean())


@pytest.mark.slow
@pytest.mark.parametrize("base", [None, [1, 3, 0, 2, 3]])
def test_each_entry_is_what_changing_that_unit_alone_does_to_the_loss(
    network: DynamicNetwork, dataset: Dataset, base: list[int] | None
) -> None:
    rest = network.uniform(8) if base is None else torch.tensor(base)
    before = loss_of(network, dataset, rest)
    increase = sensitivity(network, dataset, base=None if base is None else rest, batch=16)
    assert increase.shape == (5, 4)
    for unit in range(5):
        assert increase[unit, int(rest[unit])] == 0.0
        for choice in range(4):
            changed = rest.clone()
            changed[unit] = choice
            expected = loss_of(network, dataset, changed) - before
            assert increase[unit, choice] == pytest.approx(expected, abs=1e-6)
    assert np.count_nonzero(increase) == 5 * 3


def test_a_unit_that_adds_nothing_can_be_skipped_at_no_loss(
    network: DynamicNetwork, dataset: Dataset
) -> None:
    """The first unit has no shortcut: without its body it hands on its input."""
    norm = network.blocks[0].block.norm2
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
    increase = sensitivity(network, dataset)
    assert increase[0].tolist() == [0.0] * 4
    assert (increase[1:, :-1] != 0).all()


def test_the_network_stays_as_it_was(network: DynamicNetwork, dataset: Dataset) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = sensitivity(network, dataset)
    assert network.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)
    assert np.array_equal(sensitivity(network.eval(), dataset), first)
    assert not network.training


class Widening(nn.Module):
    """A block that changes the shape and has nothing to stand in for it: it cannot be skipped."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.same, self.wider = Widening(4, 4), Widening(4, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wider(self.same(torch.relu(self.stem(x))))
        return self.head(x.mean((2, 3)))


def test_what_is_not_offered_is_not_measured_nor_chosen(dataset: Dataset) -> None:
    torch.manual_seed(0)
    model = Plain()
    network = make_dynamic(model, CHOICES, image=(1, SIDE, SIDE), blocks=["same", "wider"])
    network.calibrate([dataset.normalized(dataset.pixels)])
    increase = sensitivity(network, dataset)
    assert np.array_equal(np.isnan(increase), ~network.offered.numpy())
    assert np.isnan(increase).tolist() == [[False] * 4, [True] + [False] * 3]
    table = cost_table(workload_of(network), load_accelerator("bitfusion"), network.choices)
    best = best_assignment(table, increase, np.inf, offered=network.offered.numpy())
    assert best.choices == tuple(np.nanargmin(increase, axis=1))
    assert best.loss == np.nanmin(increase, axis=1).sum()


def test_a_width_that_never_trained_is_named(dataset: Dataset) -> None:
    network = fresh()
    with pytest.raises(DfsHwError, match="not finite in the base assignment"):
        sensitivity(network, dataset)
    network.train()
    for choice in (8, 2):
        network(dataset.normalized(dataset.pixels), network.uniform(choice))
        settle(network)
    with pytest.raises(DfsHwError, match="not finite with unit 'block2' at 4: "):
        sensitivity(network, dataset)
    assert network.training


def test_what_makes_no_sense_is_refused(network: DynamicNetwork, dataset: Dataset) -> None:
    with pytest.raises(InputError, match="'noise' has no images"):
        sensitivity(network, dataset.subset(torch.arange(0)))
    for base in ([3] * 4, [3, 3, 3, 3, 4], [3, 3, 3, 3, -1], [[3] * 5]):
        with pytest.raises(InputError, match="one offered choice, by index, for each of its 5"):
            sensitivity(network, dataset, base=torch.tensor(base))
