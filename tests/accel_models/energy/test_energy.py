"""Energy primitives: figures as published, in order between the rows, refused beyond them."""

import csv
from importlib import resources
from itertools import pairwise
from math import sqrt
from statistics import median

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from accel_models import InputError
from accel_models.energy.array import integer_op
from accel_models.energy.dram import dram_preset
from accel_models.energy.sram import (
    FIGURES,
    SramBank,
    leave_one_out_errors,
    register_file,
    sram_bank,
)
from accel_models.energy.technology import logic_area_scale, logic_energy_scale

DATA = resources.files("accel_models.energy").joinpath("data")
BANKS = {
    (int(row["size_bytes"]), 8 * int(row["block_bytes"]), row["rw_ports"] == "1"): tuple(
        float(row[name]) for name in FIGURES
    )
    for row in csv.DictReader(DATA.joinpath("sram_cacti45.csv").read_text().splitlines())
}
OUT_OF_ORDER = {
    key
    for (size, word, port), figures in BANKS.items()
    for (larger, wider, same_port), above in BANKS.items()
    if port == same_port and size <= larger and word <= wider
    if figures[0] > above[0] or figures[1] > above[1]
    for key in ((size, word, port), (larger, wider, port))
}
"""Rows with a read or write dearer than that of a larger bank, and these larger banks."""


def per_access(bank: SramBank, word: int) -> tuple[float, float]:
    return bank.read_pj_per_bit * word, bank.write_pj_per_bit * word


def smallest(word: int) -> int:
    return min(size for size, wide, _ in BANKS if wide >= word)


LARGEST = max(size for size, _, _ in BANKS)
SIZES = st.one_of(st.integers(64, LARGEST), st.sampled_from(sorted(BANKS)).map(lambda row: row[0]))
WORDS = st.one_of(st.integers(8, 256), st.sampled_from(sorted(BANKS)).map(lambda row: row[1]))


@pytest.mark.parametrize("interpolate", [True, False])
def test_a_bank_of_the_table_is_returned_as_it_stands(interpolate: bool) -> None:
    assert len(BANKS) == 136
    for (size, word, port), (read, write, *rest) in BANKS.items():
        bank = sram_bank(size, word, shared_port=port, interpolate=interpolate)
        assert per_access(bank, word) == pytest.approx((read * 1e3, write * 1e3), rel=1e-12)
        assert [bank.leakage_mw, bank.area_mm2, bank.access_ns] == rest


def test_the_rows_themselves_are_out_of_order_only_where_stated() -> None:
    assert sorted(OUT_OF_ORDER) == [
        (8192, 32, False),
        (8192, 64, False),
        (8192, 64, True),
        (8192, 128, True),
        (16384, 8, False),
        (16384, 16, False),
        (65536, 256, False),
        (131072, 256, False),
    ]


@given(SIZES, SIZES, WORDS, WORDS, st.booleans())
@example(16384, 16385, 8, 9, False)  # beside the rows out of order
@example(8191, 8192, 32, 65, False)
@example(131071, 131073, 256, 256, False)
def test_energy_per_access_never_falls_as_a_bank_or_its_word_grows(
    one_size: int, other_size: int, one_word: int, other_word: int, port: bool
) -> None:
    size, larger = sorted((one_size, other_size))
    word, wider = sorted((one_word, other_word))
    assume(size >= smallest(word) and larger >= smallest(wider))
    assume(not OUT_OF_ORDER & {(size, word, port), (larger, wider, port)})
    below = per_access(sram_bank(size, word, shared_port=port), word)
    above = per_access(sram_bank(larger, wider, shared_port=port), wider)
    for less, more in zip(below, above, strict=True):
        assert less <= more * (1 + 1e-12)


@given(SIZES, SIZES, WORDS, st.booleans())
def test_leakage_area_and_access_time_never_fall_as_a_bank_grows(
    one_size: int, other_size: int, word: int, port: bool
) -> None:
    size, larger = sorted((one_size, other_size))
    assume(size >= smallest(word))
    below, above = (sram_bank(own, word, shared_port=port) for own in (size, larger))
    assert below.leakage_mw <= above.leakage_mw * (1 + 1e-12)
    assert below.area_mm2 <= above.area_mm2 * (1 + 1e-12)
    rows = {(size, word, port), (larger, word, port)}
    if not rows & {(16384, 16, False), (32768, 16, False)}:  # the rows whose access is out of order
        assert below.access_ns <= above.access_ns * (1 + 1e-12)


@pytest.mark.parametrize("row", sorted(row for row in BANKS if 4096 <= row[0] < LARGEST))
def test_interpolation_meets_the_rows(row: tuple[int, int, bool]) -> None:
    """One byte is at most 0.025 % of these banks: what is left is the step at the row."""
    size, word, port = row
    beside = per_access(sram_bank(size + 1, word, shared_port=port), word)
    allowed = 0.037 if row in OUT_OF_ORDER else 0.0005
    for value, known in zip(beside, BANKS[row], strict=False):
        assert value == pytest.approx(known * 1e3, rel=allowed)


@given(SIZES, WORDS, st.booleans())
def test_a_bank_lies_between_the_rows_around_it(size: int, word: int, port: bool) -> None:
    assume(size >= smallest(word))
    around = [
        figures
        for (own_size, own_word, own_port), figures in BANKS.items()
        if own_port == port and size / 2 < own_size < 2 * size and word / 2 < own_word < 2 * word
    ]
    bank = sram_bank(size, word, shared_port=port)
    values = (*(pj * 1e-3 for pj in per_access(bank, word)), bank.leakage_mw, bank.area_mm2)
    for figure, value in enumerate(values):
        known = [figures[figure] for figures in around]
        assert min(known) * 0.964 <= value <= max(known) * 1.036


@pytest.mark.parametrize(
    ("size", "word", "said"),
    [
        (127, 32, r"127 bytes with 32-bit words: known sizes are 128, .*262144.*register file"),
        (100, 24, r"100 bytes with 24-bit words: known sizes are 128, .*register file"),
        (262145, 32, r"known sizes are 128, .*262144 bytes and any between$"),
        (4096, 7, r"7-bit words: known words are 8 to 256 bits wide$"),
        (4096, 257, r"257-bit words: known words are 8 to 256 bits wide$"),
        (0, 32, r"bank of 0 bytes"),
        (-5, -5, r"bank of -5 bytes"),
    ],
)
def test_a_bank_outside_the_rows_is_refused(size: int, word: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        sram_bank(size, word)


@pytest.mark.parametrize(("size", "word"), [(3072, 32), (4096, 24), (64, 32), (4096, 512)])
def test_without_interpolation_only_rows_are_accepted(size: int, word: int) -> None:
    with pytest.raises(InputError, match=f"no CACTI figures for a bank of {size} bytes"):
        sram_bank(size, word, interpolate=False)


@pytest.mark.parametrize("figure", ["leak_mW", "area_mm2"])
@pytest.mark.parametrize("along", ["size", "width"])
def test_errors_at_left_out_rows_are_those_of_the_geometric_mean(along: str, figure: str) -> None:
    """Sizes and words double from row to row, and these figures are in order along the size."""
    column = FIGURES.index(figure)
    lines: dict[tuple[int, bool], list[float]] = {}
    for (size, word, port), figures in sorted(BANKS.items()):
        lines.setdefault((word if along == "size" else size, port), []).append(figures[column])
    expected = [
        100 * abs(sqrt(before * after) / value - 1)
        for line in lines.values()
        for (before, value), (_, after) in pairwise(pairwise(line))
    ]
    (found,) = [
        error for error in leave_one_out_errors() if (error.along, error.figure) == (along, figure)
    ]
    assert found.rows == len(expected)
    assert found.median_percent == pytest.approx(median(expected))
    assert found.max_percent == pytest.approx(max(expected))
    assert found.median_percent <= found.p90_percent <= found.max_percent


def test_left_out_energies_are_as_close_as_stated() -> None:
    energies = [error for error in leave_one_out_errors() if error.figure.endswith("energy_nJ")]
    assert len(energies) == 4
    assert max(error.median_percent for error in energies) < 6.5
    assert max(error.p90_percent for error in energies) < 22.5
    assert max(error.max_percent for error in energies) < 44


def test_a_register_file_takes_over_below_the_rows() -> None:
    """Aladdin's 1-bit register: 0.009 pJ and 5.98 µm²."""
    registers = register_file(64, 32)
    assert (registers.read_pj_per_bit, registers.write_pj_per_bit) == (0.009, 0.009)
    assert registers.area_mm2 == pytest.approx(512 * 5.98e-6)
    assert (registers.leakage_mw, registers.access_ns) == (0, 0)
    for word in (8, 20, 32, 256):
        register_file(smallest(word) - 1, word)
        sram_bank(smallest(word), word)
        with pytest.raises(InputError, match="larger banks are SRAM"):
            register_file(smallest(word), word)
    with pytest.raises(InputError, match="at least 1 bit, got 0"):
        register_file(8, 0)
    with pytest.raises(InputError, match="of 0 bytes"):
        register_file(0, 8)


@pytest.mark.parametrize(
    ("name", "pj_per_bit"),
    [
        ("lpddr4", 8),  # accelergy-cacti-plug-in
        ("lpddr", 40),
        ("ddr3", 70),
        ("gddr5", 14),
        ("hbm2", 3.9),
        ("hmc", 4.2),
        ("bitfusion", 15),  # released simulator, stats.py
        ("bitsim", 1000 / 64),
        ("cornell28", 1200 / 64),  # BitMoD
        ("horowitz", (1300 + 2600) / 2 / 64),  # 1.3 to 2.6 nJ per 64 bits
    ],
)
def test_dram_presets_are_those_of_their_source(name: str, pj_per_bit: float) -> None:
    preset = dram_preset(name)
    assert preset.pj_per_bit == pytest.approx(pj_per_bit)
    assert preset.source
    assert preset.status == ("assumed" if name == "horowitz" else "published")
    assert (preset.low is None) == (preset.high is None)
    if preset.low is not None and preset.high is not None:
        assert preset.low < preset.high
        assert preset.low <= preset.pj_per_bit <= preset.high


def test_an_unknown_dram_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'lpddr7': known are lpddr4, .*horowitz"):
        dram_preset("lpddr7")


def test_integer_operations_say_what_was_checked() -> None:
    """Horowitz, ISSCC 2014: 32-bit add 0.1 pJ and multiply 3.1 pJ are reprinted in PMC8934428."""
    add, multiply = integer_op("add", 32), integer_op("multiply", 32)
    assert (add.pj, multiply.pj) == (0.1, 3.1)
    assert {add.status, multiply.status} == {"published"}
    narrow = integer_op("multiply", 8)
    assert narrow.status == narrow.area_status == add.area_status == "assumed"
    assert multiply.pj / narrow.pj == pytest.approx((32 / 8) ** 2, rel=0.05)  # grows as the square
    with pytest.raises(InputError, match=r"16-bit integer multiply: known are 8-bit add, .*32-bit"):
        integer_op("multiply", 16)


NODES = (130, 90, 65, 45, 32, 20, 16, 14, 10, 7)
NODE = st.one_of(st.floats(7, 130), st.sampled_from(NODES))
VOLTS = st.floats(0.6, 1.3)


@pytest.mark.parametrize(
    ("volts", "factors"),
    [
        (0.8, {65: 1.24, 32: 0.66, 20: 0.22, 16: 0.17, 7: 0.094}),
        (1.0, {65: 1.31, 32: 0.63, 20: 0.25, 16: 0.20, 7: 0.109}),
    ],
)
def test_energy_at_equal_voltage_follows_the_polynomials(
    volts: float, factors: dict[int, float]
) -> None:
    """The polynomials of Stillmaker and Baas as tabled in hwcomponents, rounded."""
    for node, factor in factors.items():
        assert logic_energy_scale(45, volts, node, volts) == pytest.approx(factor, rel=0.025)


@pytest.mark.parametrize(
    ("node", "volts", "factor"),
    [(65, 1.1, 1.65), (32, 0.97, 0.60), (20, 0.9, 0.20), (16, 0.86, 0.14), (7, 0.8, 0.064)],
)
def test_energy_at_the_voltage_of_each_node(node: int, volts: float, factor: float) -> None:
    """The same polynomials from 45 nm at 1 V to a node at its own voltage, rounded."""
    assert logic_energy_scale(45, 1.0, node, volts) == pytest.approx(factor, rel=0.03)


def test_energy_matches_the_worked_example_of_the_erratum() -> None:
    """65 nm at 1.3 V is 2.604; 45 nm at 1 V is the sum of its coefficients."""
    factor = logic_energy_scale(45, 1.0, 65, 1.3)
    assert factor * (1.103 - 0.362 + 0.2767) == pytest.approx(2.604, abs=5e-4)


@pytest.mark.parametrize(
    ("node", "energy", "area"),
    [
        (28, 0.513, 0.21 + 0.25 * 8 / 12),  # two thirds of the way from 20 to 32 nm
        (22, 0.294, 0.252),  # 0.586 and 0.418 if read from the wrong end
    ],
)
def test_between_nodes_the_nearer_one_weighs_more(node: int, energy: float, area: float) -> None:
    assert logic_energy_scale(45, 0.8, node, 0.8) == pytest.approx(energy, abs=5e-4)
    assert logic_area_scale(45, node) == pytest.approx(area, abs=5e-4)


@given(NODE, NODE, VOLTS)
def test_energy_and_area_fall_with_the_node(one: float, other: float, volts: float) -> None:
    small, large = sorted((one, other))
    assume(large - small > 1e-6)
    assert logic_energy_scale(large, volts, small, volts) < 1
    assert logic_area_scale(large, small) < 1


@given(NODE, VOLTS, VOLTS)
def test_energy_falls_with_the_voltage(node: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert logic_energy_scale(node, high, node, low) <= 1 + 1e-12


@given(NODE, VOLTS, NODE, VOLTS, NODE, VOLTS)
def test_scaling_there_and_on_is_scaling_there_at_once(
    a: float, a_v: float, b: float, b_v: float, c: float, c_v: float
) -> None:
    assert logic_energy_scale(a, a_v, a, a_v) == logic_area_scale(a, a) == 1
    there = logic_energy_scale(a, a_v, b, b_v)
    assert there * logic_energy_scale(b, b_v, a, a_v) == pytest.approx(1)
    assert there * logic_energy_scale(b, b_v, c, c_v) == pytest.approx(
        logic_energy_scale(a, a_v, c, c_v)
    )
    assert logic_area_scale(a, b) * logic_area_scale(b, a) == pytest.approx(1)


@pytest.mark.parametrize(
    ("node", "volts", "said"),
    [
        (180, 0.8, "at 180 nm: the range is 130 to 7 nm"),
        (5, 0.8, "at 5 nm"),
        (float("nan"), 0.8, "at nan nm"),
        (45, 0.5, r"at 0\.5 V: the range is 0\.6 to 1\.3 V"),
        (45, 1.8, r"at 1\.8 V"),
    ],
)
def test_scaling_outside_the_table_is_refused(node: float, volts: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        logic_energy_scale(45, 0.8, node, volts)
    with pytest.raises(InputError, match=said):
        logic_energy_scale(node, volts, 45, 0.8)
