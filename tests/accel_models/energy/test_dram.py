"""DRAM: presets of their sources; devices whose figures follow from published currents."""

import pytest

from accel_models import InputError
from accel_models.energy.dram import dram_device, dram_preset


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


DEVICES = ("lpddr4", "lpddr4x", "lpddr5", "ddr4", "ddr5", "hbm2", "hbm2e", "hbm3")
QUANTITIES = {
    "channel_gb_per_s",
    "pj_per_bit",
    "interface_pj_per_bit",
    "interface_mw",
    "background_mw",
}


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_states_all_with_source_and_range(name: str) -> None:
    device = dram_device(name)
    assert set(device.constants) == QUANTITIES and device.channel
    for quantity, (value, source) in device.constants.items():
        assert value > 0 and source.text and source.status in ("published", "assumed")
        if quantity != "channel_gb_per_s":
            assert source.low is not None and source.high is not None
            assert source.low < value < source.high


def test_an_unknown_device_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'gddr5': known are lpddr4, .*hbm3"):
        dram_device("gddr5")


def lpddr4_mw(first_ma: float, second_ma: float, drivers_ma: float) -> float:
    """Power by the currents of the three supplies of LPDDR4, 1.8, 1.1 and 1.1 V."""
    return 1.8 * first_ma + 1.1 * (second_ma + drivers_ma)


def test_lpddr4_follows_from_its_currents() -> None:
    """Micron 6 Gb LPDDR4-3200, IDD in mA, as DRAMPower's memory specification has them."""
    constants = dram_device("lpddr4").constants
    gigabits, refresh = 16 * 3.2, 448 / 6246  # share of the time: tRFCab over tREFI
    burst = lpddr4_mw(10, 90, 0.75)
    background = [
        idle + refresh * (burst - idle)
        for idle in (
            lpddr4_mw(1.2, 3, 0.75),  # IDD2P
            lpddr4_mw(2, 27, 0.75),  # IDD2N
            lpddr4_mw(2.25, 30, 0.75),  # IDD3N
        )
    ]
    value, source = constants["background_mw"]
    assert [source.low, value, source.high] == pytest.approx(background, rel=0.01)
    active = lpddr4_mw(2.25, 30, 0.75)
    read = (lpddr4_mw(2.25, 275, 150) - active) / gigabits
    write = (lpddr4_mw(2.25, 210, 55) - active) / gigabits
    opening = (lpddr4_mw(3.5, 45, 0.75) - active) * 97 / 1.6 / 256  # tRC, a burst of 256 bits
    value, source = constants["pj_per_bit"]
    assert write < value < read
    assert [source.low, source.high] == pytest.approx([write, read + opening], rel=0.01)
    assert constants["channel_gb_per_s"][0] == gigabits / 8


def test_ddr4_follows_from_its_currents() -> None:
    """Micron 4 Gb DDR4-2400, eight of 8 bits, as DRAMPower's memory specification has them."""
    constants = dram_device("ddr4").constants
    refresh, gigabits = 313 / 4680, 8 * 2.4
    background = [8 * 1.2 * (idle + refresh * (118 - idle)) for idle in (17, 38.25, 44)]
    value, source = constants["background_mw"]
    assert [source.low, value, source.high] == pytest.approx(background, rel=0.01)
    within_a_row = [1.2 * (current - 44) / gigabits for current in (184.5, 168.75)]
    opening = 1.2 * (60.75 - 44) * 55 / 1.2 / 64
    value, source = constants["pj_per_bit"]
    assert sum(within_a_row) / 2 == pytest.approx(8.3, abs=0.05)
    assert opening == pytest.approx(14.4, abs=0.05)
    assert source.low is not None and source.high is not None
    assert source.low == pytest.approx(min(within_a_row), rel=0.05)
    assert max(within_a_row) + opening + 4 < source.high < max(within_a_row) + opening + 6
    assert constants["channel_gb_per_s"][0] == gigabits


def test_stacked_memory_idles_at_a_tenth_of_its_accesses() -> None:
    """What the table assumes, for want of a source."""
    for name in ("hbm2", "hbm2e", "hbm3"):
        constants = dram_device(name).constants
        busy_mw = 8 * constants["channel_gb_per_s"][0] * constants["pj_per_bit"][0]
        value, source = constants["background_mw"]
        assert [source.low, value, source.high] == pytest.approx(
            [busy_mw / 50, busy_mw / 10, busy_mw / 5], rel=0.02
        )
