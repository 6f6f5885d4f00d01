"""Common ground: what ranked machines share, and arrays whose figures come from one flow."""

from pathlib import Path

import pytest

from accel_models import InputError, Precision, list_accelerators, load_accelerator
from accel_models.accelerators.arrays.one_flow import LEVELS, OneFlowArray
from accel_models.accelerators.ground import ground_fields, off_ground, on_ground, ranked
from accel_models.energy.psma import psma28, psma28_between
from accel_models.explain.data_sheet import spec_sheet

RANKED = ranked()
FROM_ONE_FLOW = ("bitfusion", "bitblade", "loom-2b")
SHARED = {
    "node": lambda m: (m.technology.node_nm, m.technology.volts, m.technology.devices),
    "SRAM": lambda m: (m.technology.sram_cell, m.technology.sram_kelvin, m.technology.sram_supply),
    "DRAM": lambda m: m.dram,
    "bytes": lambda m: (
        m.buffers.weight_bytes,
        m.buffers.input_bytes,
        m.buffers.output_bytes,
    ),
    "bandwidth": lambda m: m.dram_gb_per_s,
    "clock": lambda m: m.frequency_hz,
    "vector unit": lambda m: (m.energy.vector_pj, m.energy.vector_node_nm, m.energy.idle_share),
}


@pytest.mark.parametrize("name", RANKED)
def test_no_constant_of_a_ranked_machine_sits_at_an_end_of_its_range(name: str) -> None:
    ranged = [one for one in load_accelerator(name).constants() if one[2].low is not None]
    assert len(ranged) > 10
    for path, value, source in ranged:
        assert source.low < value < source.high, path


def test_the_two_kinds_of_machine() -> None:
    """Those whose paper is what counts are called so; all others stand on common ground."""
    own_ground = {name for name in list_accelerators() if not name.endswith("-published")}
    assert set(RANKED) <= own_ground
    assert {"bitfusion", "bitblade", "loom-1b", "loom-2b", "loom-4b", "stripes"} <= set(RANKED)
    assert {"dadiannao", "unpu", "tpu-int8", "eyeriss-int8"} <= set(RANKED)


@pytest.mark.parametrize("what", SHARED)
def test_ranked_machines_share(what: str) -> None:
    assert len({repr(SHARED[what](load_accelerator(name))) for name in RANKED}) == 1


def test_ranked_machines_peak_alike_at_eight_bits() -> None:
    sheets = {name: spec_sheet(load_accelerator(name)) for name in RANKED}
    peaks = {name: sheet.peaks[8].gops for name, sheet in sheets.items() if sheet.peaks[8]}
    assert peaks.keys() == sheets.keys()
    for gops in peaks.values():
        assert gops == pytest.approx(2 * 512 * 0.4, rel=0.005)


@pytest.mark.parametrize("name", RANKED)
def test_nominal_values_are_no_ends_of_their_ranges(name: str) -> None:
    for path, value, source in load_accelerator(name).constants():
        if source.low is not None and source.high is not None:
            assert source.low < value < source.high, path


@pytest.mark.parametrize(
    "changes",
    [
        {"frequency_hz": 200e6},
        {"dram__pj_per_bit": 4.0},
        {"buffers__weight_bytes": 65536},
        {"technology__sram_cell": "lstp"},
    ],
)
def test_a_machine_that_changes_the_ground_leaves_it(changes: dict[str, object]) -> None:
    machine = load_accelerator("stripes").configured(**changes)
    ((path, value),) = changes.items()
    (left,) = off_ground(machine)
    assert (left.path, left.here) == (path.replace("__", "."), value)
    assert left.ground == ground_fields()[left.path]


def test_a_machine_of_ones_own_may_stand_on_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    names = 'base = "{}"\nname = "mine"\ntitle = "Mine"\npaper = "none"\n'
    path.write_text(names.format("loom-1b") + "[array]\nrows = 32\n")
    assert on_ground(load_accelerator(path))
    path.write_text(names.format("common-ground"))
    with pytest.raises(InputError, match=r"mine\.toml: \[array\] is missing"):
        load_accelerator(path)


def test_the_ground_is_no_machine() -> None:
    assert "common-ground" not in list_accelerators()
    with pytest.raises(InputError, match="unknown accelerator 'common-ground'"):
        load_accelerator("common-ground")


# ---- arrays of one flow


@pytest.mark.parametrize("name", FROM_ONE_FLOW)
def test_energy_of_a_mac_lies_between_the_two_syntheses(name: str) -> None:
    """At the precisions synthesised, with nothing idling; 400 MHz lie between 1 and 5 ns."""
    machine = load_accelerator(name).configured(energy__idle_share=0.0)
    array = machine.array
    assert isinstance(array, OneFlowArray) and array.synthesis is not None
    figures = array.figures()
    for bits in LEVELS:
        peak = spec_sheet(machine).peaks[bits]
        assert peak is not None
        precision = Precision(bits, bits)
        ends = [psma28(array.synthesis, "FU", clock).pj_per_mac[precision] for clock in (1.0, 5.0)]
        assert min(ends) * 0.997 <= peak.array_pj_per_mac <= max(ends) * 1.003
        between = psma28_between(array.synthesis, 2.5).pj_per_mac[precision]
        assert peak.array_pj_per_mac == pytest.approx(between, rel=0.003)
    areas = [psma28(array.synthesis, "FU", clock).um2_per_mac * 512e-6 for clock in (1.0, 5.0)]
    assert min(areas) < figures.area_mm2 < max(areas)


def test_figures_at_a_synthesised_clock_are_as_published() -> None:
    for clock in (1.0, 5.0):
        assert psma28_between("LOOM", clock).pj_per_mac == pytest.approx(
            psma28("LOOM", "FU", clock).pj_per_mac
        )


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("bitfusion", {"array__synthesis": "BITFUSOIN"}, "array.synthesis: psma28.csv has no"),
        ("bitfusion", {"array__synthesis_ns": None}, "array.synthesis_ns is missing"),
        ("bitfusion", {"array__node_nm": 45.0}, "array.node_nm must be 28"),
        ("bitfusion", {"array__min_bits": 4}, "max_bits and min_bits must be 8 and 2"),
        ("bitblade", {"array__energy_ratio": 0.5}, "array.energy_ratio must be stated, and not"),
        ("loom-2b", {"array__synthesis": None, "array__synthesis_ns": None}, "and not both"),
    ],
)
def test_half_a_synthesis_is_refused(name: str, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as error:
        load_accelerator(name).configured(**changes)
    assert said in str(error.value)
