"""SRAM at another temperature and supply: CACTI's tables, and stated laws between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_models import InputError
from accel_models.energy.sram import CELLS, Cell, sram_bank
from accel_models.energy.sram_process import SramProcess, leakage_kelvin_scale, own_volts
from accel_models.energy.technology import logic_delay_scale


@pytest.mark.parametrize(
    ("node", "cell", "read_pj", "leak_mw", "mm2", "ns"),
    [
        (22, "hp", 2.50, 2.31, 0.030, 0.25),
        (28, "hp", 3.83, 4.10, 0.049, 0.33),
        (45, "hp", 9.98, 19.3, 0.109, 0.44),
        (65, "hp", 16.7, 22.4, 0.232, 0.72),
        (22, "lop", 1.60, 1.34, 0.035, 0.59),
        (28, "lop", 2.03, 1.72, 0.057, 0.68),
        (45, "lop", 5.11, 1.16, 0.125, 1.04),
        (65, "lop", 9.76, 0.79, 0.261, 1.55),
        (22, "lstp", 3.09, 0.0066, 0.031, 0.78),
        (28, "lstp", 5.11, 0.0052, 0.051, 0.97),
        (45, "lstp", 10.4, 0.0022, 0.125, 1.59),
        (65, "lstp", 19.8, 0.0068, 0.226, 2.20),
    ],
)
def test_a_bank_of_16_kib_at_330_k(
    node: int, cell: Cell, read_pj: float, leak_mw: float, mm2: float, ns: float
) -> None:
    """Words of 4 bytes; leakage and gate leakage together. CACTI 7, rounded."""
    bank = SramProcess(node, cell, 330).bank(16384, 32)
    found = bank.read_pj_per_bit * 32, bank.leakage_mw, bank.area_mm2, bank.access_ns
    assert found == pytest.approx((read_pj, leak_mw, mm2, ns), rel=0.03)


@pytest.mark.parametrize(
    ("node", "cell", "at_330", "at_300"),
    [
        # Ratios to 360 K of rows of a sweep over banks and temperatures
        (28, "lstp", 0.000102621 / 0.000235588, 1.81881e-05 / 0.000235588),  # 512 B
        (28, "lstp", 0.00156866 / 0.0036012, 0.000278023 / 0.0036012),  # 8 KiB
        (90, "hp", 82.5622 / 136.953, 45.1861 / 136.953),  # 256 KiB, 32-byte words
    ],
)
def test_banks_of_one_process_leak_in_proportion(
    node: int, cell: Cell, at_330: float, at_300: float
) -> None:
    """CACTI 7 at three temperatures, banks other than the one that is tabled."""
    assert leakage_kelvin_scale(node, cell, 330) == pytest.approx(at_330, rel=1e-3)
    assert leakage_kelvin_scale(node, cell, 300) == pytest.approx(at_300, rel=1e-3)


@given(st.sampled_from((32, 45, 65)), st.floats(300, 360), st.floats(300, 360))
def test_leakage_grows_with_the_temperature_where_cacti_is_even(
    node: int, one: float, other: float
) -> None:
    cold, hot = sorted((one, other))
    for cell in CELLS:
        low, high = (leakage_kelvin_scale(node, cell, kelvin) for kelvin in (cold, hot))
        assert low <= high * (1 + 1e-9)


def test_cacti_is_uneven_where_stated() -> None:
    def step(node: int, cell: Cell, kelvin: int) -> float:
        low, high = (leakage_kelvin_scale(node, cell, at) for at in (kelvin, kelvin + 10))
        return high / low

    assert step(45, "hp", 350) == pytest.approx(1.13, abs=0.005)
    assert step(32, "hp", 300) == pytest.approx(1.02, abs=0.005)
    assert step(32, "hp", 350) == pytest.approx(1.98, abs=0.005)
    assert step(22, "lstp", 350) < step(28, "lstp", 350) < 1
    assert step(90, "lop", 340) == pytest.approx(12.65, abs=0.005)


@pytest.mark.parametrize("cell", CELLS)
def test_energy_leakage_and_time_move_with_the_supply(cell: Cell) -> None:
    own = own_volts(45, cell)
    at_own = SramProcess(45, cell, 330).bank(4096, 64)
    assert SramProcess(45, cell, 330, own, 2.3).bank(4096, 64) == at_own
    higher = SramProcess(45, cell, 330, 1.2, 2.3).bank(4096, 64)
    assert higher.read_pj_per_bit / at_own.read_pj_per_bit == pytest.approx((1.2 / own) ** 2)
    assert higher.leakage_mw > at_own.leakage_mw * 1.2 / own
    assert higher.access_ns <= at_own.access_ns
    assert higher.area_mm2 == at_own.area_mm2
    lower = SramProcess(45, cell, 330, 0.65, 2.3).bank(4096, 64)
    kind = "lp" if cell == "lstp" else "hp"
    slower = logic_delay_scale(45, own, 45, 0.65, kind)
    assert lower.access_ns / at_own.access_ns == pytest.approx(slower) and slower > 1


def test_supplies_are_cactis() -> None:
    """45nm.dat and 65nm.dat: hp 1.0 and 1.1 V, lop 0.7 and 0.8 V, lstp 1.1 and 1.2 V."""
    assert [own_volts(45, cell) for cell in CELLS] == [1.0, 0.7, 1.1]
    assert [own_volts(55, cell) for cell in CELLS] == pytest.approx([1.05, 0.75, 1.15])
    assert [own_volts(28, cell) for cell in CELLS] == pytest.approx([0.86, 0.6, 0.92])


def test_gate_leakage_comes_on_top() -> None:
    tabled = sram_bank(4096, 64, node_nm=28, cell="lop")
    process = SramProcess(28, "lop", 360)
    assert process.bank(4096, 64).leakage_mw == pytest.approx(
        tabled.leakage_mw + tabled.gate_leakage_mw
    )


def test_what_is_outside_the_tables_is_refused() -> None:
    with pytest.raises(InputError, match="at 380 K: the range is 300 to 360 K"):
        SramProcess(28, "lop", 380).bank(4096, 64)
    with pytest.raises(InputError, match="at 20 nm: the range is 22 to 90 nm"):
        SramProcess(20, "lop", 330).bank(4096, 64)
    with pytest.raises(InputError, match=r"at 0.5 V: the range is 0.6 to 1.3 V"):
        SramProcess(28, "lop", 330, 0.5).bank(4096, 64)
