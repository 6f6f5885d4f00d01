"""Colonnade against its published throughput and energy (Kim et al., JSSC 2021, Figs. 15 and 16).

Tolerances are those asked of the model, 3 % and 4 %, tightened to what it reaches.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accel_models import InfeasibleError, InputError, Layer, Precision, load_accelerator
from accel_models.accelerators.arrays.colonnade import (
    REGISTERS,
    SUPPLIES,
    Colonnade,
    Delays,
    critical_path_ns,
    energy_fj_per_mac,
    fit_delays,
    throughput_gops,
    weights_per_row,
)
from accel_models.energy.published_tables import read_table

ROWS = read_table("colonnade_silicon.csv")
CONV = Layer("conv", 256, 256, kernel=(3, 3), out_size=(8, 8), padding=(1, 1))


def throughput_errors(registers: int, delays: Delays | None = None) -> Iterator[float]:
    for row in ROWS:
        bits = int(row["bits"])
        published = float(row[f"gops_{registers}reg"])
        yield abs(throughput_gops(bits, bits, registers, delays) / published - 1)


def energy_errors(volts: float, odd: bool) -> Iterator[float]:
    for row in ROWS:
        bits = int(row["bits"])
        if bits % 2 == odd:
            for series, input_bits in (("w", 1), ("iw", bits)):
                published = float(row[f"{series}_fj_{SUPPLIES[volts]}"])
                yield abs(energy_fj_per_mac(bits, input_bits, volts) / published - 1)


def colonnade(**changes: object) -> Colonnade:
    array = load_accelerator("colonnade-published").configured(**changes).array
    assert isinstance(array, Colonnade)
    return array


def test_all_80_throughputs() -> None:
    errors = [error for registers in REGISTERS for error in throughput_errors(registers)]
    assert len(errors) == 80
    assert max(errors) < 0.02


@pytest.mark.parametrize("registers", REGISTERS)
def test_throughput_of_a_number_of_registers_that_was_left_out(registers: int) -> None:
    assert max(throughput_errors(registers, fit_delays(registers))) < 0.022


@pytest.mark.parametrize("volts", SUPPLIES)
def test_energies_of_even_widths_from_a_fit_to_the_odd_ones(volts: float) -> None:
    predicted = list(energy_errors(volts, odd=False))
    assert len(predicted) == 16  # both series
    assert max(predicted) < 0.028
    assert max(energy_errors(volts, odd=True)) < 0.026


def test_a_register_in_the_path_shortens_it_and_a_bit_lengthens_it() -> None:
    assert all(delay > 0 for delay in fit_delays())
    assert critical_path_ns(8, 16) < critical_path_ns(8, 8) < critical_path_ns(9, 8)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("macros", [1, 4])
def test_the_array_is_as_fast_and_as_frugal_as_the_figures_it_was_fitted_to(
    bits: int, macros: int
) -> None:
    array = colonnade(array__macros=macros)
    data = array.datapath(CONV, Precision(bits, bits))
    clock = array.fastest_clock_hz(Precision(bits, bits))
    macs_per_second = data.rows * data.columns / data.cycles_per_step * clock
    gops = macros * throughput_gops(bits, bits, array.pipeline_registers)
    assert 2e-9 * macs_per_second == pytest.approx(gops, rel=1e-12)
    pj_per_operation = array.figures().pj_per_cycle / array.operations_per_cycle
    fj = energy_fj_per_mac(bits, bits, array.supply_volts)
    # A MAC takes a whole number of operations, at least 800.
    assert 1e3 * data.operations_per_mac * pj_per_operation == pytest.approx(fj, rel=0.5 / 800)


def test_weights_and_inputs_have_widths_of_their_own() -> None:
    data = colonnade().datapath(CONV, Precision(weight_bits=4, activation_bits=7))
    assert data.columns == weights_per_row(4) == 11
    assert data.cycles_per_step == 7


@pytest.mark.parametrize("bits", range(1, 17))
def test_the_machine_reaches_its_clock_at_every_width(bits: int) -> None:
    machine = load_accelerator("colonnade-published")
    array = machine.array
    assert isinstance(array, Colonnade)
    assert machine.frequency_hz <= array.fastest_clock_hz(Precision(bits, bits))
    row = next(row for row in ROWS if int(row["bits"]) == bits)
    gops = float(row[f"gops_{array.pipeline_registers}reg"])
    published_ns = 2 * 128 * weights_per_row(bits) / (bits * gops)
    assert machine.frequency_hz <= 1e9 / published_ns


@pytest.mark.parametrize("volts", SUPPLIES)
def test_a_supply_is_measured_and_not_scaled_to(volts: float) -> None:
    technology = load_accelerator("colonnade-published").technology
    assert technology.volts == technology.figures_volts == colonnade().supply_volts
    lower = colonnade(
        array__supply_volts=volts, technology__volts=volts, technology__figures_volts=volts
    )
    published = float(ROWS[0][f"w_fj_{SUPPLIES[volts]}"])
    assert lower.figures().pj_per_cycle * 1e3 / (128 * 16) == pytest.approx(published, rel=0.028)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rows", 64, "array.rows must be 128, as published for the macro, got 64"),
        ("columns", 256, "array.columns must be 128"),
        ("node_nm", 45.0, "array.node_nm must be 65.0"),
        ("pipeline_registers", 3, "array.pipeline_registers must be 1, 2, 4, 8, 16"),
        ("supply_volts", 0.65, "array.supply_volts must be 0.6, 0.7, 0.8"),
        ("macros", 0, "array.macros must be greater than 0"),
    ],
)
def test_nothing_but_the_measured_macro_is_offered(field: str, value: float, said: str) -> None:
    with pytest.raises(InputError) as error:
        colonnade(**{f"array__{field}": value})
    assert said in str(error.value)


def test_widths_and_supplies_without_figures_are_refused() -> None:
    with pytest.raises(InfeasibleError, match="17-bit weights are wider than the array's 16 bits"):
        colonnade().datapath(CONV, Precision(17, 8))
    with pytest.raises(InfeasibleError, match="20-bit activations"):
        colonnade().datapath(CONV, Precision(8, 20))
    with pytest.raises(InputError, match="weights have 1 to 16 bits, got 0"):
        weights_per_row(0)
    with pytest.raises(InputError, match=r"published at 0\.6, 0\.7, 0\.8 V, not at 0\.65 V"):
        energy_fj_per_mac(8, 8, 0.65)
