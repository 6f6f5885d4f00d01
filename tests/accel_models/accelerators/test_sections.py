"""Process, DRAM and buffers of a machine: node, voltage and clock hang together, none is free."""

from pathlib import Path

import numpy as np
import pytest
from default_machines import TABLES_45

from accel_models import (
    InfeasibleError,
    InputError,
    Layer,
    Workload,
    list_accelerators,
    load_accelerator,
    simulate,
)
from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import read_accelerator
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.uncertainty import uncertainty_of
from accel_models.energy.dram import dram_device
from accel_models.energy.sram_process import SramProcess
from accel_models.energy.technology import logic_delay_scale, logic_energy_scale
from accel_models.explain.data_sheet import spec_sheet
from accel_models.exploration.machine_toml import machine_toml
from accel_models.exploration.space import choice

NAMES = 'name = "mine"\ntitle = "Mine"\npaper = "none"\nbase = "bitfusion-published"\n'
BASE = TABLES_45
NETWORK = Workload.chain(
    "two",
    [
        Layer("first", 16, 32, kernel=(3, 3), out_size=(16, 16), padding=(1, 1)),
        Layer("second", 32, 32, kernel=(3, 3), out_size=(16, 16), padding=(1, 1)),
    ],
)
CLOCKED = BASE.configured(technology__devices="hp", technology__figures_hz=500e6)
AT_28_NM = BASE.configured(
    technology__node_nm=28.0,
    technology__volts=0.8,
    technology__devices="lp",
    technology__sram_cell="lop",
    technology__sram_kelvin=330.0,
    technology__leakage_per_volt=2.3,
)


def written(folder: Path, text: str) -> Accelerator:
    path = folder / "mine.toml"
    path.write_text(NAMES + text)
    return load_accelerator(path)


def reached_hz(node: float, volts: float) -> float:
    return 500e6 / logic_delay_scale(45, 0.9, node, volts, "hp")


# ---- clock


@pytest.mark.parametrize(("node", "volts"), [(45.0, 0.9), (45.0, 0.6), (28.0, 0.7), (65.0, 1.0)])
def test_logic_runs_up_to_its_clock_and_no_further(node: float, volts: float) -> None:
    fastest = reached_hz(node, volts)
    changes = {"technology__node_nm": node, "technology__volts": volts}
    Pricing(CLOCKED.configured(**changes, frequency_hz=fastest))
    said = rf"too fast: at {node:g} nm and {volts:g} V its logic reaches {fastest / 1e6:.4g} MHz"
    with pytest.raises(InfeasibleError, match=said):
        Pricing(CLOCKED.configured(**changes, frequency_hz=fastest * 1.001))


def test_two_gigahertz_at_six_tenths_of_a_volt_are_refused() -> None:
    fast = {"frequency_hz": 2e9, "technology__volts": 0.6}
    with pytest.raises(InfeasibleError, match=r"reaches 124\.\d MHz"):
        simulate(NETWORK, CLOCKED.configured(**fast), "8")
    Pricing(BASE.configured(technology__figures_hz=None, **fast))  # nothing said of its logic


@pytest.mark.parametrize("name", list_accelerators())
def test_no_machine_of_the_library_runs_two_gigahertz_at_six_tenths_of_a_volt(name: str) -> None:
    machine = load_accelerator(name).configured(frequency_hz=2e9, technology__volts=0.6)
    with pytest.raises(InfeasibleError, match=rf"{name}: frequency_hz, 2000 MHz, is too fast"):
        Pricing(machine)


def test_a_clock_at_which_a_bank_is_read_is_the_one_that_it_is_said_to_reach(
    tmp_path: Path,
) -> None:
    text = "frequency_hz = {:.5g}e6\n[technology]\nfigures_hz = 5e9\nsram_cell = 'lstp'\n"
    text += "sram_kelvin = 330\n[fidelity]\nsram_figures = 'interpolated'\n"
    said = r"mine\.toml: frequency_hz, 4000 MHz, is too fast for buffers\.input_bytes = 32768: "
    with pytest.raises(InfeasibleError, match=said) as refused:
        written(tmp_path, text.format(4000))
    reached = float(str(refused.value).split()[-2])
    written(tmp_path, text.format(0.999 * reached))
    with pytest.raises(InfeasibleError):
        written(tmp_path, text.format(1.001 * reached))


# ---- SRAM and logic of a process


def test_banks_are_those_of_the_process() -> None:
    pricing = Pricing(AT_28_NM)
    for buffer in pricing.buffers:
        size = buffer.size_bytes // buffer.shape.number
        process = SramProcess(28, "lop", 330)
        expected = process.bank(size, buffer.shape.word_bits, shared_port=buffer.name == "output")
        assert buffer.bank == expected
    (said,) = {
        source.text.split(":")[0] for name, _, _, source in pricing.constants() if "read" in name
    }
    assert said == "CACTI 7, 28 nm, itrs-lop at 330 K"


def test_low_power_sram_leaks_a_small_part_of_the_published() -> None:
    buffers = [name for name in Pricing(BASE).leakage_w if "buffer" in name]
    before, after = (
        sum(Pricing(machine).leakage_w[name] for name in buffers) for machine in (BASE, AT_28_NM)
    )
    assert after < 0.15 * before


def test_everything_moves_with_the_voltage() -> None:
    at_logic = AT_28_NM.configured(technology__sram_supply="logic")
    low, high = (Pricing(at_logic.configured(technology__volts=volts)) for volts in (0.7, 0.9))
    assert low.array.pj_per_cycle / high.array.pj_per_cycle == pytest.approx(
        logic_energy_scale(28, 0.9, 28, 0.7, "lp")
    )
    assert low.action_pj[4] / high.action_pj[4] == pytest.approx((0.7 / 0.9) ** 2)
    falls = 0.7 / 0.9 * np.exp(2.3 * (0.7 - 0.9))
    for name, watts in low.leakage_w.items():
        assert watts / high.leakage_w[name] == pytest.approx(falls)
    for one, other in zip(low.buffers, high.buffers, strict=True):
        assert one.bank.access_ns > other.bank.access_ns
        assert one.bank.area_mm2 == other.bank.area_mm2
    own = [Pricing(AT_28_NM.configured(technology__volts=volts)) for volts in (0.7, 0.9)]
    assert own[0].buffers == own[1].buffers


def test_the_vector_unit_moves_where_its_process_is_known() -> None:
    moved = AT_28_NM.configured(energy__vector_node_nm=45.0, energy__vector_volts=0.9)
    factor = logic_energy_scale(45, 0.9, 28, 0.8, "lp")
    assert Pricing(AT_28_NM).action_pj[3] == BASE.energy.vector_pj
    assert Pricing(moved).action_pj[3] == pytest.approx(BASE.energy.vector_pj * factor)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[technology]\nsram_cell = "lop"\n', "technology.sram_kelvin is missing"),
        ("[technology]\nsram_kelvin = 330\n", "technology.sram_cell is missing"),
        ('[technology]\nsram_supply = "logic"\n', "technology.sram_cell is missing"),
        (
            '[technology]\nsram_cell = "lop"\nsram_kelvin = 330\nsram_supply = "logic"\n',
            "technology.leakage_per_volt is missing",
        ),
        ('[technology]\nsram_cell = "fast"\n', "technology.sram_cell must be 'hp', 'lop' or 'lst"),
        ("[energy]\nvector_volts = 0.9\n", "energy.vector_node_nm is missing"),
        ('[dram]\ndevice = "sdram"\n', "dram.device: unknown DRAM device 'sdram': known are lpddr"),
        ('[dram]\ndevice = "hbm2"\npreset = "hbm2"\n', "dram.preset and dram.device are both stat"),
        ("[dram]\nbackground_mw = 40\n", "dram.channel_gb_per_s is missing"),
    ],
)
def test_half_a_process_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"mine\.toml: {said}"):
        written(tmp_path, text)


def test_a_clock_of_figures_needs_the_kind_of_devices() -> None:
    with pytest.raises(InputError, match=r"technology\.devices is missing: figures_hz scales"):
        CLOCKED.configured(technology__devices=None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[technology]\nnode_nm = 16\nsram_cell = "lop"\nsram_kelvin = 330\n',
            "technology.node_nm: no SRAM figures at 16 nm: the range is 22 to 90 nm",
        ),
        (
            "[technology]\nnode_nm = 200\n",
            "technology.node_nm: logic cannot be scaled at 200 nm: the range is 130 to 7 nm",
        ),
        ("[array]\nnode_nm = 200\n", "array.node_nm: logic cannot be scaled at 200 nm"),
        (
            "[energy]\nvector_node_nm = 3\nvector_volts = 0.9\n",
            "energy.vector_node_nm: logic cannot be scaled at 3 nm: the range is 130 to 7 nm",
        ),
        (
            '[technology]\nsram_cell = "lop"\nsram_kelvin = 400\n',
            "technology.sram_kelvin: no SRAM leakage at 400 K: the range is 300 to 360 K",
        ),
        (
            "[buffers]\nweight_bytes = 2048\n",
            "buffers.weight_bytes = 2048, in 512 banks: no CACTI figures for a bank of 4 bytes",
        ),
        (
            "[buffers]\nweight_bytes = 65537\n",
            "buffers.weight_bytes = 65537 does not split evenly into 512 banks: it must be a multi",
        ),
        ("[technology]\nvolts = 0.4\n", r"technology.volts: logic cannot be scaled at 0\.4 V"),
        (
            'frequency_hz = 2e9\n[technology]\ndevices = "hp"\nfigures_hz = 5e8\n',
            "frequency_hz, 2000 MHz, is too fast: at 45 nm and 0.9 V its logic reaches 500 MHz",
        ),
    ],
)
def test_a_file_whose_process_does_not_hang_together_is_named(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises((InputError, InfeasibleError), match=rf"mine\.toml: {said}"):
        written(tmp_path, text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"technology__node_nm": 16.0}, "no SRAM figures at 16 nm: the range is 22 to 90 nm"),
        ({"technology__sram_kelvin": 400.0}, "no SRAM leakage at 400 K: the range is 300 to 360"),
        ({"technology__volts": 0.4}, r"at 0\.4 V: the range is 0\.6 to 1\.3 V"),
    ],
)
def test_a_process_outside_the_tables_is_refused(changes: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Pricing(AT_28_NM.configured(**changes))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("[technology]\nsram_kelvin = { value = 330, low = 300, high = 400 }", "is 300 to 360 K"),
        ("[technology]\nvolts = { value = 0.9, low = 0.5, high = 1 }", "is 0.6 to 1.3 V"),
        (
            "[buffers]\nweight_bytes = { value = 131072, low = 100, high = 131072 }",
            "multiple of 512",
        ),
    ],
)
def test_ranges_that_leave_the_tables_are_refused_with_the_file(section: str, said: str) -> None:
    """Not only by whoever asks what the range does to the energy."""
    text = f'base = "bitfusion"\nname = "x"\ntitle = "x"\npaper = "x"\n{section}\n'
    with pytest.raises(InputError, match=rf"x\.toml: .*{said} \(an end of the range of"):
        read_accelerator(text, "x.toml")


def test_ranges_may_reach_where_the_clock_is_too_fast() -> None:
    text = 'base = "bitfusion"\nname = "x"\ntitle = "x"\npaper = "x"\n[technology]\n'
    machine = read_accelerator(text + "volts = { value = 0.9, low = 0.6, high = 1 }", "x.toml")
    assert machine.provenance["technology.volts"].low == 0.6


# ---- DRAM


def test_a_device_fills_in_what_the_file_does_not_say(tmp_path: Path) -> None:
    machine = written(tmp_path, '[dram]\ndevice = "lpddr4"\ninterface_mw = 7\n')
    constants = dram_device("lpddr4").constants
    assert machine.dram.preset is None and machine.dram.interface_mw == 7
    for field, (value, source) in constants.items():
        if field != "interface_mw":
            assert getattr(machine.dram, field) == value
            assert machine.provenance[f"dram.{field}"] == source
    assert machine.provenance["dram.interface_mw"].status == "own"


def test_a_device_set_by_the_caller_brings_its_constants_and_their_ranges() -> None:
    """Its name alone would leave the energy of another."""
    machine = load_accelerator("bitfusion")
    stacked = machine.configured(dram__device="hbm3", dram__interface_mw=7.0)
    for field, (value, source) in dram_device("hbm3").constants.items():
        if field != "interface_mw":
            assert getattr(stacked.dram, field) == value
            assert stacked.provenance[f"dram.{field}"] == source
    assert stacked.dram.interface_mw == 7
    assert stacked.provenance["dram.interface_mw"].text == "set by the caller"
    tied = machine.configured(dram__bits_per_cycle=192.0)
    assert (tied.dram.gb_per_s, tied.dram.bits_per_cycle) == (None, 192)
    with pytest.raises(
        InputError, match=r"bitfusion: dram\.device: unknown DRAM device 'hbm9': kno"
    ):
        machine.configured(dram__device="hbm9")


def test_bandwidth_takes_channels_and_channels_take_power() -> None:
    machine = BASE.configured(
        dram__channel_gb_per_s=6.4, dram__background_mw=40.0, dram__interface_mw=10.0
    )
    for bandwidth, channels in ((1.0, 1), (6.4, 1), (6.5, 2), (12.8, 2), (64.0, 10)):
        wide = machine.configured(dram__gb_per_s=bandwidth)
        assert wide.dram_channels == channels
        assert Pricing(wide).background_power_w == pytest.approx(channels * 0.05)
    tied = machine.configured(dram__gb_per_s=None, dram__bits_per_cycle=192.0)
    assert tied.dram_gb_per_s == pytest.approx(12) and tied.dram_channels == 2


def test_background_is_charged_by_time_beside_accesses() -> None:
    machine = BASE.configured(dram__device="lpddr4")
    run, plain = simulate(NETWORK, machine, "8"), simulate(NETWORK, BASE, "8")
    parts, before = (dict(zip(COMPONENTS, one.energy_pj, strict=True)) for one in (run, plain))
    assert before["dram background"] == 0
    pricing = Pricing(machine)
    assert parts["dram background"] == pytest.approx(
        pricing.background_power_w * run.latency_s * 1e12
    )
    assert pricing.static_power_w == pricing.leakage_power_w + pricing.background_power_w
    assert parts["leakage"] == pytest.approx(pricing.leakage_power_w * run.latency_s * 1e12)
    dram_bits = run.counts[-2:].sum()
    assert parts["dram"] == pytest.approx(dram_bits * (8 + 0.96))


def test_ranges_of_a_device_show_in_the_energy(tmp_path: Path) -> None:
    machine = written(tmp_path, '[dram]\ndevice = "ddr4"\n')
    run = simulate(NETWORK, machine, "8")
    found = {one.path: one for one in uncertainty_of(run.counts, run.cycles, machine).contributions}
    for field in ("pj_per_bit", "interface_pj_per_bit", "interface_mw", "background_mw"):
        assert found[f"dram.{field}"].swing > 0


@pytest.mark.parametrize("name", ["dram.device", "dram.preset"])
def test_presets_and_devices_make_way_for_each_other(name: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    for first in ("dram.preset", "dram.device"):
        before = BASE.configured(**{first.replace(".", "__"): "lpddr4"})
        after = before.configured(**{name.replace(".", "__"): "hbm2"})
        (change,) = choice(name, ["hbm2"]).changes
        varied = {field.replace(".", "__"): value for field, value in change.items()}
        assert before.configured(**varied).dram == after.dram
        path.write_text(machine_toml(after))
        assert load_accelerator(path).dram == after.dram
        text = (
            NAMES.replace('"bitfusion-published"', '"ours.toml"') + f'[dram]\n{name[5:]} = "hbm2"\n'
        )
        path.write_text(machine_toml(before))
        (tmp_path / "mine.toml").write_text(text)
        assert load_accelerator(tmp_path / "mine.toml").dram == after.dram


# ---- area and power


def test_buffers_inside_the_arrays_area_are_not_counted_again() -> None:
    chip = BASE.configured(buffers__inside_array_area=True)
    area, before = Pricing(chip).area_mm2, Pricing(BASE).area_mm2
    assert area["array"] == before["array"] and sum(area.values()) == area["array"]
    assert Pricing(chip).leakage_w == Pricing(BASE).leakage_w
    assert spec_sheet(chip).total_area_mm2 == before["array"]


@pytest.mark.parametrize("bits", ["8", "4", "2"])
@pytest.mark.parametrize("machine", [BASE, AT_28_NM, BASE.configured(dram__device="lpddr5")])
def test_no_run_draws_more_than_all_units_at_work(machine: Accelerator, bits: str) -> None:
    run = simulate(NETWORK, machine, bits)
    mean = run.energy_j / run.latency_s
    assert Pricing(machine).static_power_w < mean < Pricing(machine).peak_power_w


def test_peak_power_by_hand() -> None:
    """The published array: 235.1 pJ a cycle, and 512 weight, 16 input and 32 output banks of 32
    bits beside 192 bits a cycle of DRAM at 15 pJ."""
    machine = load_accelerator("bitfusion-published")
    banks = {buffer.name: buffer.bank for buffer in Pricing(machine).buffers}
    cycle = 235.104 + 192 * (15 + banks["input"].write_pj_per_bit)
    cycle += 512 * 32 * banks["weight"].read_pj_per_bit + 16 * 32 * banks["input"].read_pj_per_bit
    cycle += 32 * 32 * (banks["output"].read_pj_per_bit + banks["output"].write_pj_per_bit)
    assert Pricing(machine).peak_power_w == pytest.approx(cycle * 500e6 * 1e-12, rel=1e-4)


@pytest.mark.parametrize(
    "path", ["dram__gb_per_s__x", "array__rows__x__y", "name__x", "provenance__x", "x", "x__y", ""]
)
def test_what_is_no_field_cannot_be_configured(path: str) -> None:
    with pytest.raises(InputError, match="there is no field"):
        load_accelerator("bitfusion").configured(**{path: 1})
