"""Machines made equal, compared, and ranked: what adds up, and how firm an order is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from accel_models import Accelerator, InputError, Layer, Workload, load_accelerator, simulate
from accel_models.accelerators.ground import ranked
from accel_models.costs.energy_split import energy_split
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.explain import compare_machines, equalised, ranking, spec_sheet
from accel_models.source import Source

NETWORK = Workload.chain(
    "small",
    [Layer("conv", 16, 32, (3, 3), (8, 8), padding=(1, 1)), Layer("fc", 2048, 10)],
)
FUSION = load_accelerator("bitfusion")


def area(machine: Accelerator) -> float:
    return sum(Pricing(machine).area_mm2.values())


# ---- equal peak, equal area


@pytest.mark.parametrize("name", ranked())
def test_equal_peak_is_the_closest_that_columns_reach(name: str) -> None:
    larger = FUSION.configured(array__rows=8, array__columns=32)
    machine = load_accelerator(name)
    scaled = equalised(machine, larger)
    column = machine.array.operations_per_cycle / machine.array.columns
    peaks = [spec_sheet(one).peaks[8] for one in (scaled, larger)]
    assert peaks[0] is not None and peaks[1] is not None
    apart = abs(peaks[0].macs_per_cycle - peaks[1].macs_per_cycle)
    assert apart <= 0.5 * peaks[0].macs_per_cycle / scaled.array.columns * (1 + 1e-9)
    assert column == scaled.array.operations_per_cycle / scaled.array.columns
    assert scaled.array.rows == machine.array.rows


@pytest.mark.parametrize("name", ranked())
def test_equal_area_is_within_half_a_column(name: str) -> None:
    scaled = equalised(load_accelerator(name), FUSION, "area")
    step = Pricing(scaled).area_mm2["array"] / scaled.array.columns
    assert abs(area(scaled) - area(FUSION)) <= 0.75 * step
    total = sum(getattr(scaled.buffers, f"{one}_bytes") for one in ("weight", "input", "output"))
    assert total == pytest.approx(224 * 1024, rel=0.01)


def test_what_cannot_be_made_equal_is_said() -> None:
    with pytest.raises(InputError, match=r"equal by peak or area, got 'watts'"):
        equalised(FUSION, FUSION, "watts")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"bismo-published cannot be scaled by area: nobody knows"):
        equalised(FUSION, load_accelerator("bismo-published"), "area")


# ---- how energy splits


@pytest.mark.parametrize("name", ["bitfusion", "loom-2b", "bitfusion-published"])
def test_parts_of_a_split_add_up(name: str) -> None:
    run = simulate(NETWORK, load_accelerator(name), 4)
    split, parts = energy_split(run.energy_pj), dict(zip(COMPONENTS, run.energy_pj, strict=True))
    assert split.total_j == pytest.approx(run.energy_j, rel=1e-12)
    assert split.dynamic_j + split.static_j == pytest.approx(run.energy_j, rel=1e-12)
    assert sum(split.shares().values()) == pytest.approx(1)
    watts = Pricing(run.accelerator).static_power_w
    assert split.static_j == pytest.approx(watts * run.latency_s, abs=1e-18)
    assert split.leakage_j == pytest.approx(parts["leakage"] * 1e-12)


def test_a_comparison_states_occupancy_and_split() -> None:
    machines = [load_accelerator(name) for name in ("bitfusion", "stripes", "tpu-published")]
    convs = [Layer("one", 16, 32, (3, 3), (8, 8)), Layer("two", 32, 40, (3, 3), (6, 6))]
    network = Workload.chain("convs", convs)
    compared = compare_machines(machines, network, (8,))
    macs = sum(layer.macs for layer in convs)
    for machine, sheet, run in zip(machines, compared.sheets, compared.runs["8"], strict=True):
        assert run is not None and sheet.peaks[8] is not None
        cycles = sum(layer.compute_cycles for layer in simulate(network, machine, 8).layers)
        assert run.occupancy == pytest.approx(macs / (sheet.peaks[8].macs_per_cycle * cycles))
        assert run.split.total_j == pytest.approx(run.energy_j)
    assert [bool(sheet.off_ground) for sheet in compared.sheets] == [False, False, True]


# ---- how firm


def ranged(machine: Accelerator, low: float, high: float) -> Accelerator:
    """The machine, only its array's factor known within a range."""
    sources = {
        path: source._replace(low=None, high=None) for path, source in machine.provenance.items()
    }
    sources["energy.array_scale"] = Source("assumed", "of this test", low, high)
    return machine.model_copy(update={"provenance": sources})


def test_a_pair_turns_around_as_often_as_its_ends_do() -> None:
    """Of four combinations of ends, those in which the worse array is the better one."""
    fusion, blade = ranged(FUSION, 0.5, 1.5), ranged(load_accelerator("bitblade"), 0.5, 1.5)
    found = ranking([fusion, blade], NETWORK, 8)
    (pair,) = found.flips
    assert pair == tuple(found.energy_j)

    def energy(machine: Accelerator, factor: float) -> float:
        run = simulate(NETWORK, machine, 8)
        array = run.energy_pj[COMPONENTS.index("array")]
        share = 1 + machine.energy.other_share
        return float(run.energy_pj.sum() + array * share * (factor - 1)) * 1e-12

    machines = {machine.name: machine for machine in (fusion, blade)}
    better, worse = ([energy(machines[name], end) for end in (0.5, 1.5)] for name in pair)
    turned = np.mean([one > other for one in better for other in worse])
    assert found.flips[pair] == turned > 0
    for name in pair:
        ends = [energy(machines[name], end) for end in (0.5, 1.5)]
        assert found.ranges_j[name] == pytest.approx((min(ends), max(ends)))
    assert found.firm == 0 and found.mean_flip == turned
    assert not found.shared


def test_constants_that_all_share_move_together() -> None:
    """Where only what is shared is uncertain, no pair turns around by itself."""
    machines = [load_accelerator(name) for name in ("bitfusion", "loom-2b", "tpu-int8")]
    for number, machine in enumerate(machines):
        sources = dict(machine.provenance)
        for path, source in sources.items():
            if path.startswith("array.") or path == "energy.array_scale":
                sources[path] = source._replace(low=None, high=None)
        machines[number] = machine.model_copy(update={"provenance": sources})
    found = ranking(machines, NETWORK, 8)
    assert found.firm == 1 and found.mean_flip == 0
    for (path, end), pairs in found.shared.items():
        for better, worse in pairs:
            moved = {}
            for machine in machines:
                run = simulate(NETWORK, machine, 8)
                changed = machine.configured(**{path.replace(".", "__"): end})
                priced = replace(run, accelerator=changed)
                moved[machine.name] = priced.energy_j
            assert moved[better] > moved[worse]
    assert found.energy_j == {
        machine.name: simulate(NETWORK, machine, 8).energy_j for machine in machines
    }
