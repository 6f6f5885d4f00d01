from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from accel_models import load_accelerator
from accel_models.costs.cost_table import cost_table
from accel_models.errors import DfsHwError, InputError
from accel_models.precision import highest
from accel_models.replay import replay
from accel_models.trace import GateTrace, TraceHeader
from dfs_hw.budgets.hardware_cost import HardwareCost
from dfs_hw.data import Dataset
from dfs_hw.networks import Design, DynamicNetwork, build_network
from dfs_hw.networks.statistics import settle
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.recording import evaluate, modal_assignment, record, shuffled

SIDE = 12


def deciding(knob: bool = False) -> DynamicNetwork:
    """A small network that has seen data, and whose gates decide differently for each input."""
    network = build_network(
        "resnet14",
        "skip,2,4,8",
        5,
        1,
        image_size=(SIDE, SIDE),
        widths=(4, 8, 12),
        design=Design(knob=knob),
    )
    generator = torch.Generator().manual_seed(0)
    contrast = 4 * torch.rand(32, 1, 1, 1, generator=generator)
    images = contrast * torch.randn(32, 1, SIDE, SIDE, generator=generator)
    price = torch.rand(32, generator=generator) if knob else None
    with torch.no_grad():
        network.calibrate([images, images])
        for name, weight in network.gate.named_parameters():
            if name.endswith("weight") and "cell" not in name:
                weight.mul_(20)
    for _ in range(2):  # with gradients, so that the gates' quantisers observe
        network.train()(images, price=price)
        settle(network)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> DynamicNetwork:
    return deciding()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    generator = torch.Generator().manual_seed(3)
    contrast = torch.rand(61, 1, 1, 1, generator=generator)
    noise = torch.rand(61, 1, SIDE, SIDE, generator=generator) - 0.5
    return Dataset(
        "noise",
        (255 * (0.5 + noise * contrast)).to(torch.uint8),
        torch.randint(5, (61,), generator=generator),
        mean=torch.tensor([0.5]),
        std=torch.tensor([0.1]),
    )


def header(network: DynamicNetwork) -> TraceHeader:
    workload = workload_of(network, (SIDE, SIDE))
    top = highest(network.choices)
    return TraceHeader(
        "resnet14", "noise", workload, network.choices, top, "bitfusion-published", 0, "0"
    )


def test_evaluation_is_that_of_the_network(network: DynamicNetwork, dataset: Dataset) -> None:
    with torch.no_grad():
        outcome = network(dataset.normalized(dataset.pixels))
    result = evaluate(network, dataset, batch=17)
    assert torch.equal(result.predictions, outcome.logits.argmax(1))
    assert torch.equal(result.choices, outcome.choices)
    right = (outcome.logits.argmax(1) == dataset.labels).float().mean()
    assert result.accuracy == pytest.approx(float(right))


def test_forced_choices_follow_their_inputs_through_batches(
    network: DynamicNetwork, dataset: Dataset
) -> None:
    free = evaluate(network, dataset)
    forced = evaluate(network, dataset, free.choices, batch=13)
    assert torch.equal(free.predictions, forced.predictions)
    assert torch.equal(free.choices, forced.choices)


def test_evaluation_leaves_the_mode_as_it_was(network: DynamicNetwork, dataset: Dataset) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    evaluate(network, dataset)
    assert network.training
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())
    network.eval()


def test_a_width_that_never_trained_is_refused(dataset: Dataset) -> None:
    network = build_network("resnet8", "2,8", 5, 1, widths=(4, 4, 4))
    with pytest.raises(DfsHwError, match=r"resnet8 .* quantisers have not seen an input yet"):
        evaluate(network, dataset)
    with pytest.raises(DfsHwError, match="not been trained"):
        evaluate(network, dataset, assignment=network.uniform(8))


def test_a_trace_holds_what_evaluation_finds(
    network: DynamicNetwork, dataset: Dataset, tmp_path: Path
) -> None:
    trace = GateTrace.read(record(network, dataset, tmp_path / "t.parquet", header(network)))
    result = evaluate(network, dataset)
    assert trace.input_ids.tolist() == list(range(61))
    assert trace.labels.tolist() == dataset.labels.tolist()
    assert trace.predictions.tolist() == result.predictions.tolist()
    assert trace.choices.tolist() == result.choices.tolist()
    assert trace.accuracy == pytest.approx(result.accuracy)


@pytest.mark.parametrize("loaded", [True, False], ids=["loader", "list"])
def test_batches_of_ones_own_are_recorded_as_a_data_set_is(
    network: DynamicNetwork, dataset: Dataset, tmp_path: Path, loaded: bool
) -> None:
    images = dataset.normalized(dataset.pixels)
    pairs = TensorDataset(images, dataset.labels)
    sizes = (20, 1, 40)
    listed = list(zip(images.split(sizes), dataset.labels.split(sizes), strict=True))
    batches = DataLoader(pairs, batch_size=17) if loaded else listed
    paths = [
        record(network, data, tmp_path / f"{name}.parquet", header(network))
        for name, data in (("own", batches), ("known", dataset))
    ]
    own, known = map(GateTrace.read, paths)
    assert own.input_ids.tolist() == known.input_ids.tolist()
    assert own.labels.tolist() == known.labels.tolist()
    assert own.predictions.tolist() == known.predictions.tolist()
    assert own.choices.tolist() == known.choices.tolist()
    assert evaluate(network, batches).accuracy == evaluate(network, dataset).accuracy
    forced = evaluate(network, batches, torch.tensor(known.choices).flip(0).long())
    assert forced.choices.tolist() == known.choices[::-1].tolist()


IMAGES, LABELS = torch.zeros(4, 1, SIDE, SIDE), torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "data is a Dataset, or batches .* not NoneType"),
        ([], "no batch"),
        ((IMAGES, LABELS), "a pair of inputs and labels.* not Tensor"),
        (TensorDataset(IMAGES, LABELS), r"a whole number for each input, not torch.int64 \[\]"),
        ([(IMAGES, [0, 0, 0, 0])], "labels of a batch are one tensor.* not list"),
        ([({"image": IMAGES}, LABELS)], "inputs of a batch are one tensor.* not dict"),
        ([(IMAGES, LABELS[:3])], "a whole number for each input"),
        ([(IMAGES, LABELS.float())], "a whole number for each input"),
    ],
)
def test_what_is_no_labelled_data_is_refused(
    network: DynamicNetwork, tmp_path: Path, data: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        record(network, data, tmp_path / "t.parquet", header(network))
    with pytest.raises(InputError, match=said):
        evaluate(network, data)
    assert not list(tmp_path.iterdir())


def test_replaying_a_trace_costs_what_the_loss_was_told(
    network: DynamicNetwork, dataset: Dataset, tmp_path: Path
) -> None:
    about = header(network)
    machine = load_accelerator("bitfusion-published")
    table = cost_table(about.workload, machine, network.choices)
    trace = GateTrace.read(record(network, dataset, tmp_path / "t.parquet", about))
    energies = replay(trace, table).energy_j
    cost = HardwareCost(table)
    told = cost.of_choices(torch.tensor(trace.choices)) * cost.reference
    assert told.tolist() == pytest.approx(energies.tolist(), rel=1e-5)
    assert len(set(energies.tolist())) > 3


def test_a_network_with_a_knob_runs_at_the_price_that_is_asked(
    dataset: Dataset, tmp_path: Path
) -> None:
    network = deciding(knob=True)
    with torch.no_grad():
        for embed in network.gate.embed:
            embed.price.fill_(5.0)
    free, dear = (evaluate(network, dataset, price=price) for price in (0.0, 1.0))
    assert not torch.equal(free.choices, dear.choices)
    path = record(network, dataset, tmp_path / "t.parquet", header(network), price=1.0)
    assert GateTrace.read(path).choices.tolist() == dear.choices.tolist()
    with pytest.raises(InputError, match="has a knob"):
        evaluate(network, dataset)


def test_modal_choice_is_the_most_frequent_of_each_unit() -> None:
    choices = torch.tensor([[0, 3], [0, 1], [2, 1], [0, 1], [2, 3]])
    assert modal_assignment(choices).tolist() == [0, 1]


def test_shuffling_deals_whole_decisions_to_other_inputs() -> None:
    choices = torch.arange(40).reshape(20, 2)
    dealt = shuffled(choices, torch.Generator().manual_seed(0))
    assert not torch.equal(dealt, choices)
    assert sorted(dealt.tolist()) == choices.tolist()
