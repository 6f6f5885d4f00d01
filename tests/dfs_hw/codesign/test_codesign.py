"""Machine and gates chosen for each other, on a small network that has not learned much."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from accel_models import InfeasibleError, InputError, cost_table, load_accelerator, parse_choices
from accel_models.costs.pricing import Pricing
from accel_models.exploration import parse_space
from accel_models.replay import Policy, replay
from accel_models.trace import GateTrace
from dfs_hw.codesign import Codesign, codesign
from dfs_hw.codesign.alternation import ROUNDS
from dfs_hw.data import load_dataset
from dfs_hw.networks import Design, build_network
from dfs_hw.networks.checkpoint import load_checkpoint, save_checkpoint
from dfs_hw.networks.statistics import settle
from dfs_hw.training.config import TrainConfig

pytestmark = pytest.mark.slow

PRICES = (0.0, 0.4, 1.0)
TABLES = {
    "base": "bitfusion",
    "objectives": ["energy"],
    "fields": {"array": {"rows": [8, 16], "columns": [16, 32]}, "dram": {"gb_per_s": [6, 12]}},
}
FLOOR = 0.02


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, its gates brought to depend on the price."""
    config = TrainConfig(data="digits", network="resnet8", choices="skip,2,8", knob=True)
    images = load_dataset("digits", config.seed).train
    side, channels = images.image_size, images.pixels.shape[1]
    network = build_network(
        "resnet8",
        config.choices,
        10,
        channels,
        image_size=side,
        widths=(4, 6, 8),
        design=Design(knob=True),
        seed=1,
    )
    batch = images.normalized(images.pixels[:64])
    price = torch.linspace(0, 1, len(batch))
    with torch.no_grad():
        network.calibrate([batch])
        for name, weight in network.gate.named_parameters():
            if name.endswith("price"):
                weight.copy_(
                    2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
                )
    network.train()(batch, price=price)
    settle(network)
    path = tmp_path_factory.mktemp("small") / "network.safetensors"
    facts = {"kind": "joint", "price": 0.4, "config": asdict(config)}
    return save_checkpoint(path, network, facts)


@pytest.fixture(scope="module")
def outcome(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Codesign, Path]:
    folder = tmp_path_factory.mktemp("codesign")
    space, _ = parse_space(TABLES)
    found = codesign(space, [checkpoint], floor=FLOOR, out=folder, prices=PRICES, sampler="sweep")
    return found, folder


def validation(folder: Path, price: float) -> GateTrace:
    return GateTrace.read(next(folder.glob(f"traces/*-validation-{price:g}-*.parquet")))


def test_no_pair_of_machine_and_price_is_better(outcome: tuple[Codesign, Path]) -> None:
    """On validation inputs, by which it was chosen, and all pairs tried one by one."""
    found, folder = outcome
    space, _ = parse_space(TABLES)
    costs = {}
    for price in PRICES:
        trace = validation(folder, price)
        if trace.accuracy < FLOOR:
            continue
        for configuration in space.configurations(0, space.size):
            machine = space.machine(configuration)
            table = cost_table(trace.header.workload, machine, trace.header.choices)
            key = (price, *configuration.values())
            costs[key] = float(replay(trace, table).energy_j.mean())
    best = min(costs.values())
    (price,) = found.both.prices.values()
    reached = costs[price, *(found.both.configuration or _base()).values()]
    assert reached == pytest.approx(best, rel=1e-12)
    assert len({round(cost, 12) for cost in costs.values()}) > 12  # the knob does something


def _base() -> dict[str, float]:
    machine = load_accelerator("bitfusion")
    return {name: machine.field(name) for name in ("array.rows", "array.columns", "dram.gb_per_s")}


def test_what_is_reported_is_what_test_inputs_cost(outcome: tuple[Codesign, Path]) -> None:
    found, folder = outcome
    machine = load_accelerator(folder / "chosen.toml")
    (price,) = found.both.prices.values()
    trace = GateTrace.read(next(folder.glob(f"traces/*-test-{price:g}-*.parquet")))
    table = cost_table(trace.header.workload, machine, parse_choices("skip,2,8"))
    assert found.both.cost == pytest.approx(float(replay(trace, table).energy_j.mean()), rel=1e-12)
    assert list(found.both.accuracies.values()) == [trace.accuracy]
    for report in (found.machine_alone, found.knob_alone, found.both):
        assert report.gain_percent == pytest.approx(100 * (1 - report.cost / found.start.cost))
    least = min(found.machine_alone.cost, found.knob_alone.cost)
    assert found.gain_over_alone_percent == pytest.approx(100 * (1 - found.both.cost / least))
    assert json.loads((folder / "codesign.json").read_text())["both"]["cost"] == found.both.cost


def test_the_same_again_records_nothing_and_says_the_same(
    outcome: tuple[Codesign, Path], checkpoint: Path
) -> None:
    found, folder = outcome
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("traces/*.parquet")}
    space, _ = parse_space(TABLES)
    again = codesign(space, [checkpoint], floor=FLOOR, out=folder, prices=PRICES, sampler="sweep")
    assert again == found
    assert {path: path.stat().st_mtime_ns for path in folder.glob("traces/*.parquet")} == stamps


def test_traces_are_kept_by_price_and_table(outcome: tuple[Codesign, Path]) -> None:
    """Every machine that was looked at has its own, though machines do not change decisions."""
    _, folder = outcome
    names = [path.stem.split("-") for path in folder.glob("traces/*-validation-*.parquet")]
    assert {float(name[2]) for name in names} == set(PRICES)
    assert len({name[3] for name in names}) >= 2


def test_the_machine_keeps_to_constraints_that_a_faster_base_misses(
    checkpoint: Path, tmp_path: Path
) -> None:
    fields = {"array": {"rows": [8, 16]}, "dram": {"gb_per_s": [6, 12]}}
    constrained = {"fields": fields, "objectives": ["latency"], "constraints": {"area": 1.1}}
    space, _ = parse_space({**TABLES, **constrained})
    found = codesign(space, [checkpoint], floor=FLOOR, out=tmp_path, prices=(0.4,), sampler="sweep")
    areas = [
        sum(Pricing(machine).area_mm2.values())
        for machine in (load_accelerator("bitfusion"), load_accelerator(tmp_path / "chosen.toml"))
    ]
    assert areas[0] > 1.1 >= areas[1]
    assert found.both.cost > found.start.cost  # or the base would not be tempting
    assert [report.kept for report in (found.start, found.knob_alone)] == [False, False]
    assert [report.kept for report in (found.machine_alone, found.both)] == [True, True]
    gain = 100 * (1 - found.both.cost / found.machine_alone.cost)
    assert found.gain_over_alone_percent == pytest.approx(gain)


def test_a_replay_policy_that_is_searched_counts(checkpoint: Path, tmp_path: Path) -> None:
    """Fetching weights ahead saves time, so the design has it, and costs what replay says."""
    fields = {"array": {"rows": [16]}, "policy": {"prefetch": ["none", "modal"]}}
    space, _ = parse_space({**TABLES, "objectives": ["latency"], "fields": fields})
    found = codesign(space, [checkpoint], floor=FLOOR, out=tmp_path, prices=(0.4,), sampler="sweep")
    assert found.both.configuration["policy.prefetch"] == "modal"
    trace = GateTrace.read(next(tmp_path.glob("traces/*-test-0.4-*.parquet")))
    machine = load_accelerator(tmp_path / "chosen.toml")
    table = cost_table(trace.header.workload, machine, trace.header.choices)
    ahead = replay(trace, table, Policy(prefetch="modal"))
    assert found.both.cost == pytest.approx(float(ahead.latency_s.mean()), rel=1e-12)


def test_a_floor_that_only_a_higher_price_keeps_is_kept(checkpoint: Path, tmp_path: Path) -> None:
    """A network that has not learned may be right more often where it does less."""
    trained = load_checkpoint(checkpoint)
    path = save_checkpoint(
        tmp_path / "lowest" / "network.safetensors", trained.network, {**trained.facts, "price": 0}
    )
    space, _ = parse_space(TABLES)
    wanted = {"out": tmp_path, "prices": (0.0, 0.4), "sampler": "sweep"}
    assert list(codesign(space, [path], floor=FLOOR, **wanted).start.prices.values()) == [0.0]
    low, high = (validation(tmp_path, price).accuracy for price in (0.0, 0.4))
    assert low < high
    with pytest.raises(InputError, match=r"other settings \(floor was"):
        codesign(space, [path], floor=high, **wanted)
    higher = codesign(space, [path], floor=high, overwrite=True, **wanted)
    assert list(higher.start.prices.values()) == [0.4]


def test_a_floor_that_nothing_keeps_is_said(checkpoint: Path, tmp_path: Path) -> None:
    space, _ = parse_space(TABLES)
    with pytest.raises(InfeasibleError, match=r"no price keeps '.*' at an accuracy of 99\.0%"):
        codesign(space, [checkpoint], floor=0.99, out=tmp_path, prices=(0.0,), sampler="sweep")


def test_what_cannot_be_codesigned_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    space, _ = parse_space(TABLES)
    several, _ = parse_space({**TABLES, "objectives": ["energy", "area"]})
    out = {"out": tmp_path / "out"}
    plain = save_checkpoint(
        tmp_path / "n.safetensors", build_network("resnet8", "skip,8", 2, 1), {}
    )
    for arguments, options, sentence in (
        ((several, [checkpoint]), {"floor": 0.5}, "wants one objective"),
        ((space, [checkpoint]), {"floor": 1.5}, "floor on accuracy lies between"),
        ((space, [checkpoint]), {"floor": 0.5, "prices": (2.0,)}, "prices of cost lie between"),
        ((space, []), {"floor": 0.5}, "wants a network with a knob"),
        ((space, [checkpoint]), {"floor": 0.5, "sampler": "nsga3"}, "unknown sampler 'nsga3'"),
        ((space, [checkpoint]), {"floor": 0.5, "trials": 0}, "trials must be 1 to"),
        ((space, [plain]), {"floor": 0.5}, "holds no network with a knob"),
    ):
        with pytest.raises(InputError, match=sentence):
            codesign(*arguments, **options, **out)
    assert not (tmp_path / "out").exists()
    assert ROUNDS > 1
