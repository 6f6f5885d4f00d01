"""Ranges of constants become ranges of energy, and nothing else does."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import cifar_resnet38, gated_pair

from accel_models import Accelerator, list_accelerators, load_accelerator, simulate
from accel_models.costs.pricing import ACTIONS, COMPONENTS, Pricing
from accel_models.costs.simulator import Simulation
from accel_models.costs.uncertainty import Contribution, Uncertainty, uncertainty_of
from accel_models.source import Source

BITFUSION = load_accelerator("bitfusion")
PRICES = (
    "energy.idle_share",
    "energy.other_share",
    "energy.vector_pj",
    "energy.array_scale",
    "energy.sram_scale",
    "energy.leakage_scale",
    "dram.pj_per_bit",
)
SCHEDULE = ("dram.latency_ns",)


def with_ranges(machine: Accelerator, ranges: Mapping[str, tuple[float, float]]) -> Accelerator:
    """The machine with exactly these ranges."""
    sources = {path: source._replace(low=None, high=None) for path, source in known(machine)}
    for path, (low, high) in ranges.items():
        sources[path] = sources[path]._replace(low=low, high=high)
    return machine.model_copy(update={"provenance": sources})


def known(machine: Accelerator) -> list[tuple[str, Source]]:
    return list(machine.provenance.items())


def changed(machine: Accelerator, changes: Mapping[str, float]) -> Accelerator:
    return machine.configured(**{path.replace(".", "__"): v for path, v in changes.items()})


def run(machine: Accelerator) -> Simulation:
    return simulate(gated_pair(), machine, 8, uncertainty=True)


def of(machine: Accelerator) -> Uncertainty:
    found = run(machine).uncertainty
    assert found is not None
    return found


def by_path(found: Uncertainty) -> dict[str, Contribution]:
    return {one.path: one for one in found.contributions}


def repriced(simulation: Simulation, changes: Mapping[str, float]) -> float:
    """Energy in J of the same counts under other constants."""
    pricing = Pricing(changed(simulation.accelerator, changes))
    return float(pricing.energy_pj(simulation.counts, simulation.cycles).sum()) * 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", list_accelerators())
def test_the_range_holds_the_nominal_energy_on_every_machine(name: str) -> None:
    machine = load_accelerator(name)
    plain, asked = simulate(gated_pair(), machine, 8), run(machine)
    found = asked.uncertainty
    assert plain.uncertainty is None
    assert found is not None
    assert asked.energy_pj.tolist() == plain.energy_pj.tolist()
    assert found.nominal == plain.energy_j
    assert found.low < found.nominal or found.nominal < found.high
    assert found.low <= found.nominal <= found.high
    swings = [one.swing for one in found.contributions]
    assert swings == sorted(swings, reverse=True)
    ends = [e for one in found.contributions for e in (one.energy_at_low, one.energy_at_high)]
    assert found.low <= min(ends)
    assert found.high >= max(ends)
    ranged = {path for path, source in known(machine) if source.low is not None}
    assert set(by_path(found)) == ranged
    assert found.not_varied == ()


def test_no_ranges_no_range() -> None:
    found = of(with_ranges(BITFUSION, {}))
    assert found.low == found.nominal == found.high == simulate(gated_pair(), BITFUSION, 8).energy_j
    assert found.contributions == ()


def test_a_price_moves_energy_in_proportion_to_what_it_prices() -> None:
    ranges = {"dram.pj_per_bit": (9.0, 18.0), "energy.sram_scale": (0.5, 3.0)}
    # A sixth on top of everything dynamic, so that it has to be carried along.
    machine = with_ranges(BITFUSION.configured(energy__other_share=1 / 6), ranges)
    simulation = run(machine)
    found = by_path(of(machine))
    bits = sum(simulation.counts[ACTIONS.index(a)] for a in ("dram_read_bits", "dram_write_bits"))
    dram = found["dram.pj_per_bit"]
    assert dram.energy_at_high - dram.energy_at_low == pytest.approx(bits * 9e-12 * 7 / 6)
    sram = sum(
        pj for name, pj in zip(COMPONENTS, simulation.energy_pj, strict=True) if "buffer" in name
    )
    buffers = found["energy.sram_scale"]
    assert buffers.energy_at_high - simulation.energy_j == pytest.approx(sram * 2e-12 * 7 / 6)
    assert simulation.energy_j - buffers.energy_at_low == pytest.approx(sram * 0.5e-12 * 7 / 6)
    assert not dram.reschedules
    assert not buffers.reschedules


def test_a_leakage_range_is_the_leakage_component() -> None:
    simulation = run(with_ranges(BITFUSION, {"energy.leakage_scale": (0.0, 1.0)}))
    assert simulation.uncertainty is not None
    leakage = simulation.energy_pj[COMPONENTS.index("leakage")] * 1e-12
    assert simulation.uncertainty.high == simulation.energy_j
    assert simulation.uncertainty.low == pytest.approx(simulation.energy_j - leakage)


@pytest.mark.parametrize(
    ("name", "path", "end"),
    [
        ("bitfusion", "dram.latency_ns", 1000),
        ("bitfusion", "dram.burst_bytes", 128),
        ("bismo-published", "array.run_overhead", 0),
        ("eyeriss-published", "frequency_hz", 100e6),  # a price too: leakage is charged by time
    ],
)
def test_a_constant_of_the_schedule_is_simulated_again(name: str, path: str, end: float) -> None:
    machine = load_accelerator(name)
    value = machine.field(path)
    machine = with_ranges(machine, {path: (min(end, value), max(end, value))})
    one = by_path(of(machine))[path]
    again = simulate(gated_pair(), changed(machine, {path: end}), 8)
    nominal = simulate(gated_pair(), machine, 8)
    assert again.cycles != nominal.cycles
    assert one.reschedules
    assert sorted((one.energy_at_low, one.energy_at_high)) == sorted(
        (again.energy_j, nominal.energy_j)
    )


def test_prices_do_not_change_the_mapping() -> None:
    """Under costly DRAM other mappings would win: the range is that of the mappings chosen."""
    path, high = "dram.pj_per_bit", 1500.0
    machine = with_ranges(BITFUSION, {path: (15.0, high)})
    simulation = simulate(cifar_resnet38(), machine, 8, uncertainty=True)
    assert simulation.uncertainty is not None
    remapped = simulate(cifar_resnet38(), changed(machine, {path: high}), 8)
    assert simulation.uncertainty.high == repriced(simulation, {path: high})
    assert simulation.uncertainty.high > remapped.energy_j


def test_an_end_the_machine_cannot_run_at_is_not_taken() -> None:
    """Colonnade's clock is bounded by what its array reaches."""
    machine = load_accelerator("colonnade-published")
    found = of(with_ranges(machine, {"frequency_hz": (machine.frequency_hz, 2e9)}))
    one = found.contributions[0]
    assert (one.low, one.high, one.swing) == (machine.frequency_hz, machine.frequency_hz, 0)
    assert found.low == found.nominal == found.high


@pytest.mark.slow
@settings(max_examples=30)
@given(st.data())
def test_prices_span_exactly_what_their_corners_span(data: st.DataObject) -> None:
    """Against every combination of ends."""
    ranges = {}
    for path in data.draw(st.lists(st.sampled_from(PRICES), unique=True, max_size=4)):
        value = BITFUSION.field(path)
        top = 1.0 if path == "energy.idle_share" else 2 * value + 1
        ranges[path] = (data.draw(st.floats(0, value)), data.draw(st.floats(value, top)))
    simulation = run(with_ranges(BITFUSION, ranges))
    corners = [
        repriced(simulation, dict(zip(ranges, ends, strict=True)))
        for ends in itertools.product(*ranges.values())
    ]
    found = simulation.uncertainty
    assert found is not None
    assert found.low == pytest.approx(min(corners), rel=1e-12)
    assert found.high == pytest.approx(max(corners), rel=1e-12)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.data())
def test_any_ranges_hold_the_nominal_energy(data: st.DataObject) -> None:
    ranges: dict[str, tuple[float, float]] = {
        "dram.latency_ns": (data.draw(st.floats(0, 100)), data.draw(st.floats(100, 1e4))),
        "dram.burst_bytes": (data.draw(st.integers(0, 32)), data.draw(st.integers(32, 512))),
        "dram.gb_per_s": (data.draw(st.floats(0.1, 12)), data.draw(st.floats(12, 100))),
        "dram.pj_per_bit": (data.draw(st.floats(0, 15)), data.draw(st.floats(15, 100))),
    }
    found = of(with_ranges(BITFUSION, ranges))
    ends = [e for one in found.contributions for e in (one.energy_at_low, one.energy_at_high)]
    assert found.low <= min(*ends, found.nominal)
    assert found.high >= max(*ends, found.nominal)


def test_counts_alone_give_the_same_prices_and_name_what_is_missing() -> None:
    simulation = run(BITFUSION)
    whole = simulation.uncertainty
    assert whole is not None
    given_counts = uncertainty_of(simulation.counts, simulation.cycles, BITFUSION)
    assert set(given_counts.not_varied) == {
        *SCHEDULE,
        "array.reconfiguration_cycles",
        "technology.leakage_per_volt",  # at the voltage of the figures
    }
    assert given_counts.nominal == whole.nominal
    prices = [
        one
        for one in whole.contributions
        if not one.reschedules and one.path not in given_counts.not_varied
    ]
    assert list(given_counts.contributions) == prices


def test_means_over_inputs_give_mean_energies() -> None:
    one, other = (simulate(gated_pair(), BITFUSION, bits) for bits in (2, 8))
    counts = np.mean([one.counts, other.counts], axis=0)
    mean = uncertainty_of(counts, (one.cycles + other.cycles) / 2, BITFUSION)
    assert mean.nominal == pytest.approx((one.energy_j + other.energy_j) / 2, rel=1e-12)
    apart = [uncertainty_of(run.counts, run.cycles, BITFUSION) for run in (one, other)]
    assert mean.low == pytest.approx(sum(found.low for found in apart) / 2, rel=1e-12)
    assert mean.high == pytest.approx(sum(found.high for found in apart) / 2, rel=1e-12)
