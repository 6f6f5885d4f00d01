"""Logic moved to another node and voltage: published polynomials, refused beyond them."""

from math import exp

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from accel_models import InputError
from accel_models.energy.technology import (
    Devices,
    leakage_volt_scale,
    logic_area_scale,
    logic_delay_scale,
    logic_energy_scale,
)

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


@pytest.mark.parametrize(("devices", "at_20_nm"), [(None, 0.221), ("hp", 0.275), ("lp", 0.180)])
def test_kinds_of_devices_differ_below_65_nm(devices: Devices | None, at_20_nm: float) -> None:
    """45 to 20 nm at 0.8 V, by the polynomials as nodeScale tables them."""
    assert logic_energy_scale(45, 0.8, 20, 0.8, devices) == pytest.approx(at_20_nm, abs=5e-4)
    assert logic_energy_scale(130, 0.8, 90, 0.8, devices) == logic_energy_scale(130, 0.8, 90, 0.8)


@pytest.mark.parametrize(
    ("devices", "node", "volts", "factor"),
    [
        # cubics of nodeScale, evaluated by hand
        ("hp", 45, 0.6, 50.4744 / 12.6036),
        ("lp", 45, 0.6, 206.1288 / 78.6147),
        ("hp", 65, 0.9, 25.8583 / 12.6036),
        ("lp", 28, 0.9, (58.7589 * 8 + 14.1765 * 4) / 12 / 78.6147),
    ],
)
def test_delay_follows_the_cubics(
    devices: Devices, node: float, volts: float, factor: float
) -> None:
    """From 45 nm at 0.9 V."""
    assert logic_delay_scale(45, 0.9, node, volts, devices) == pytest.approx(factor, rel=1e-4)


@given(NODE, VOLTS, VOLTS, st.sampled_from(("hp", "lp")))
def test_logic_is_never_faster_at_a_lower_voltage(
    node: float, one: float, other: float, devices: Devices
) -> None:
    low, high = sorted((one, other))
    assert logic_delay_scale(node, high, node, low, devices) >= 1 - 1e-12


def test_leakage_falls_with_the_voltage_and_faster_than_it() -> None:
    assert leakage_volt_scale(0.9, 0.9, 2.3) == 1
    assert leakage_volt_scale(0.9, 0.6, 0.0) == pytest.approx(2 / 3)
    assert leakage_volt_scale(0.9, 0.6, 2.3) == pytest.approx(2 / 3 * exp(-0.69))


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
    with pytest.raises(InputError, match=said):
        logic_delay_scale(45, 0.8, node, volts, "lp")
