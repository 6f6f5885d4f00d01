"""Data sheets: which widths machines tell apart and their peaks, against what is published."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import every_operator

from accel_models import InfeasibleError, InputError, Layer, Precision, list_accelerators, simulate
from accel_models import load_accelerator as load
from accel_models.accelerators.arrays.colonnade import (
    critical_path_ns,
    energy_fj_per_mac,
    throughput_gops,
)
from accel_models.energy.array import array_figures
from accel_models.energy.published_tables import read_table
from accel_models.explain.comparison import compare_machines, differing_fields
from accel_models.explain.data_sheet import (
    PEAK_BITS,
    WIDEST,
    DistinctWidths,
    SpecSheet,
    Widths,
    spec_sheet,
)
from accel_models.explain.layer import explain
from accel_models.mapping.problem_of import Tensors, problem_of
from accel_models.mapping.search import compute_cycles
from accel_models.workloads.workload import Ends, Workload

SHEETS = {name: spec_sheet(load(name)) for name in list_accelerators()}
VAST = Layer("vast", 400 * 768, 768, out_size=(20400, 2))
"""Fills any array of the library, and outlasts any overhead: row-stationary elements want rows
without end, 256 TPU rows a long stream, BISMO a deep reduction."""
BRICKS = [(1, 2), (3, 4), (5, 8), (9, 16)]
EACH = [(bits, bits) for bits in range(1, 17)]
ALIKE = [(1, 16)]


def gops(name: str, bits: int) -> float:
    peak = SHEETS[name].peaks[bits]
    assert peak is not None
    return peak.gops


def cycles(name: str, layer: Layer, widths: Precision) -> int:
    return compute_cycles(problem_of(layer, widths, Tensors(Ends(), 32), 1, load(name)))


# ---- widths that are told apart


@pytest.mark.parametrize(
    ("name", "weights", "activations"),
    [
        # The released simulator's formula, int(8 / max(bits, 2)) for either operand; 16 bits take
        # four passes (ISCA 2018).
        ("bitfusion", BRICKS, BRICKS),
        ("bitblade-published", BRICKS, BRICKS),
        ("bitfusion-published", BRICKS[:3], BRICKS[:3]),
        # Stripes: time goes with activations (MICRO 2016). UNPU: with weights (JSSC 2019).
        ("stripes-published", ALIKE, EACH),
        ("unpu-published", EACH, ALIKE),
        # Loom: with both; its variants take 1, 2 or 4 activation bits a cycle (DAC 2018).
        ("loom-1b-published", EACH, EACH),
        ("loom-2b-published", EACH, [(bits, bits + 1) for bits in range(1, 17, 2)]),
        ("loom-4b-published", EACH, [(bits, bits + 3) for bits in range(1, 17, 4)]),
        ("bismo-published", EACH, EACH),
        ("dadiannao-published", ALIKE, ALIKE),
        ("eyeriss-published", ALIKE, ALIKE),
        ("tpu-published", [(1, 8)], [(1, 8)]),
    ],
)
def test_widths_told_apart_are_those_of_the_papers(
    name: str, weights: list[tuple[int, int]], activations: list[tuple[int, int]]
) -> None:
    sheet = SHEETS[name]
    for levels, expected in ((sheet.weights, weights), (sheet.activations, activations)):
        assert levels.speed == tuple(Widths(*pair) for pair in expected)
        assert levels.array_energy == levels.speed


def test_colonnade_tells_energies_apart_that_are_equally_fast() -> None:
    """Weights of 6 and 7 bits leave room for equally many in 128 columns, of 13 and 14 each."""
    levels = SHEETS["colonnade-published"].weights
    assert Widths(6, 7) in levels.speed
    assert levels.array_energy == tuple(Widths(*pair) for pair in EACH)


def test_what_is_stored_and_moved() -> None:
    every = tuple(Widths(*pair) for pair in EACH)
    fusion, stripes, unpu = (
        SHEETS[name] for name in ("bitfusion", "stripes-published", "unpu-published")
    )
    assert fusion.weights.dram == fusion.activations.dram == fusion.weights.buffer == every
    assert stripes.weights.dram == stripes.weights.buffer == (Widths(1, 16),)
    assert stripes.activations.buffer == every
    assert stripes.activations.dram == (Widths(1, 16),)
    assert unpu.weights.dram == every
    assert unpu.activations.buffer == (Widths(1, 16),)


def test_refused_widths_are_named() -> None:
    for name in ("bitfusion-published", "tpu-published"):
        for levels in (SHEETS[name].weights, SHEETS[name].activations):
            assert levels.refused == (Widths(9, 16),)
            assert levels.why_refused == f"9-bit {levels.operand} are wider than the array's 8 bits"
        assert SHEETS[name].peaks[16] is None
    assert SHEETS["bitfusion"].weights.refused == ()


@pytest.mark.parametrize("name", SHEETS)
def test_groups_hold_every_width_once(name: str) -> None:
    for levels in (SHEETS[name].weights, SHEETS[name].activations):
        for groups in (levels.speed, levels.array_energy, levels.buffer, levels.dram):
            widths = [bits for low, high in groups for bits in range(low, high + 1)]
            refused = [bits for low, high in levels.refused for bits in range(low, high + 1)]
            assert sorted(widths + refused) == list(range(1, WIDEST + 1))


conv_layers = st.builds(
    Layer,
    name=st.just("any"),
    in_channels=st.integers(1, 300),
    out_channels=st.integers(1, 300),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    out_size=st.tuples(st.integers(1, 20), st.integers(2, 20)),
)


def group(levels: DistinctWidths, bits: int) -> Widths:
    return next(one for one in levels.speed if one.low <= bits <= one.high)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHEETS)
@settings(max_examples=30)
@given(layer=conv_layers, bits=st.integers(1, 16), other=st.integers(1, 16))
def test_widths_of_a_group_take_equally_long(
    name: str, layer: Layer, bits: int, other: int
) -> None:
    sheet = SHEETS[name]
    bits = min(bits, sheet.weights.speed[-1].high)
    other = min(other, sheet.weights.speed[-1].high)
    here = cycles(name, layer, Precision(bits, other))
    assert cycles(name, layer, Precision(group(sheet.weights, bits).high, other)) == here
    here = cycles(name, layer, Precision(other, bits))
    assert cycles(name, layer, Precision(other, group(sheet.activations, bits).high)) == here


# ---- peaks


def test_peaks_are_those_published() -> None:
    # JSSC 2019, abstract: 345.6 GOPS at 16 bits, 7372 GOPS at 1 bit.
    assert gops("unpu-published", 16) == pytest.approx(345.6)
    assert gops("unpu-published", 1) == pytest.approx(7372, rel=2e-4)
    # ISCA 2017, abstract: 92 TOPS of 65,536 multipliers.
    assert gops("tpu-published", 8) == pytest.approx(92e3, rel=3e-3)
    # FPL 2018, abstract: 6.5 binary TOPS.
    assert gops("bismo-published", 1) == pytest.approx(6.5e3, rel=0.01)
    # Fig. 15 as tabulated: GOPS of one macro at 16 registers and 16 bits, the slowest of all.
    slowest = {row["bits"]: float(row["gops_16reg"]) for row in read_table("colonnade_silicon.csv")}
    assert gops("colonnade-published", 16) == pytest.approx(slowest["16"], rel=0.02)


def test_bit_fusion_peaks_are_its_elements_times_the_released_formula() -> None:
    """512 elements, each int(8 / max(bits, 2)) squared products; 16 bits: a quarter."""
    for name in ("bitfusion", "bitfusion-published", "bitblade-published"):
        for bits in (8, 4, 2, 1):
            products = int(8 / max(bits, 2)) ** 2
            per_ns = 2 * 512 * products * SHEETS[name].frequency_hz * 1e-9
            assert gops(name, bits) == pytest.approx(per_ns)
    assert gops("bitfusion", 16) == gops("bitfusion", 8) / 4


def test_serial_machines_are_as_large_as_their_parallel_base() -> None:
    """At 16 bits Stripes is DaDianNao and Loom 128 multipliers (abstracts), here at 1 GHz; they
    speed up by 16 / activation bits, and by 256 / (weight bits x activation bits)."""
    for bits in PEAK_BITS:
        assert gops("stripes-published", bits) == pytest.approx(
            gops("dadiannao-published", 16) * 16 / bits
        )
        assert gops("loom-1b-published", bits) == pytest.approx(2 * 128 * (16 / bits) ** 2)
        assert gops("bismo-published", bits) == pytest.approx(gops("bismo-published", 1) / bits**2)
    assert gops("loom-4b-published", 2) == gops("loom-1b-published", 2) / 2


def test_colonnade_peaks_are_its_throughput_at_the_machine_s_clock() -> None:
    for bits in PEAK_BITS:
        clocks = critical_path_ns(bits, 16) * 1e-9 * SHEETS["colonnade-published"].frequency_hz
        assert gops("colonnade-published", bits) == pytest.approx(
            throughput_gops(bits, bits, 16) * clocks
        )


@pytest.mark.parametrize("name", sorted(set(SHEETS) - {"neureka-published", "ne16-published"}))
def test_a_vast_layer_comes_near_the_peak(name: str) -> None:
    """But for two engines whose 1x1 mode does not use every multiplier, nor all cycles."""
    for bits, peak in SHEETS[name].peaks.items():
        if peak is not None:
            reached = VAST.macs / cycles(name, VAST, Precision(bits, bits))
            assert 0.98 * peak.macs_per_cycle < reached <= peak.macs_per_cycle * (1 + 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHEETS)
@settings(max_examples=30)
@given(layer=conv_layers, bits=st.sampled_from(PEAK_BITS))
def test_no_layer_is_faster_than_the_peak(name: str, layer: Layer, bits: int) -> None:
    peak = SHEETS[name].peaks[bits]
    if peak is not None:
        reached = layer.macs / cycles(name, layer, Precision(bits, bits))
        assert reached <= peak.macs_per_cycle * (1 + 1e-12)


# ---- energy, leakage, area, constants


@pytest.mark.parametrize("name", sorted(set(SHEETS) - {"colonnade-published"}))
def test_power_at_full_use_is_that_of_the_whole_array(name: str) -> None:
    watts = {b: peak.array_w for b, peak in SHEETS[name].peaks.items() if peak is not None}
    pj_per_cycle = load(name).array.figures().pj_per_cycle
    if getattr(load(name).array, "synthesis", None):
        assert max(watts.values()) == pytest.approx(
            pj_per_cycle * load(name).energy.array_scale * 1e-12 * SHEETS[name].frequency_hz
        )
        return
    assert max(watts.values()) == pytest.approx(min(watts.values()))
    built = load(name).technology
    if (built.node_nm, built.volts) == (load(name).array.node_nm, built.figures_volts):
        assert watts[8] == pytest.approx(pj_per_cycle * 1e-12 * SHEETS[name].frequency_hz)


def test_energy_of_a_mac() -> None:
    """Bit Fusion: the synthesised array's cycle over its 512 elements, and their products.
    Colonnade: Fig. 16, whose figures are those of full use."""
    element = array_figures(16, 32, 8, 2).pj_per_cycle / 512
    for bits, products in ((8, 1), (4, 4), (2, 16)):
        peak = SHEETS["bitfusion-published"].peaks[bits]
        assert peak is not None
        assert peak.array_pj_per_mac == pytest.approx(element / products)
    busy = spec_sheet(load("colonnade-published").configured(energy__idle_share=0.0))
    for bits in (8, 4, 2):
        peak = busy.peaks[bits]
        assert peak is not None
        published = energy_fj_per_mac(bits, bits, 0.8) * 1e-3
        assert peak.array_pj_per_mac == pytest.approx(published, rel=1e-3)


def test_area_of_bit_fusion_is_that_of_the_released_notebook() -> None:
    """0.888 + 0.767 + 0.242 + 0.243 = 2.14 mm²."""
    area = SHEETS["bitfusion-published"].area_mm2
    assert [round(mm2, 3) for mm2 in area.values()] == [0.888, 0.767, 0.242, 0.243]
    assert SHEETS["bitfusion-published"].total_area_mm2 == pytest.approx(2.14, abs=0.005)
    assert SHEETS["bismo-published"].total_area_mm2 is None  # on an FPGA


def test_leakage_is_stated_whether_or_not_it_is_charged() -> None:
    ours, published = SHEETS["bitfusion"], SHEETS["bitfusion-published"]
    assert ours.static_power_charged and not published.static_power_charged
    assert sum(published.leakage_w.values()) == pytest.approx(0.243, abs=0.001)  # of its tables
    assert set(ours.leakage_w) == set(ours.area_mm2)
    assert ours.total_leakage_w == pytest.approx(sum(ours.leakage_w.values()))


@pytest.mark.parametrize("name", SHEETS)
def test_every_constant_has_a_source(name: str) -> None:
    sheet = SHEETS[name]
    names = [constant.name for constant in sheet.constants]
    assert len(set(names)) == len(names)
    assert {path for path, _, _ in load(name).constants()} < set(names)
    assert {"weight buffer read", "output buffer area"} < set(names)
    for constant in sheet.constants:
        assert constant.source and constant.status in ("measured", "published", "assumed")
        if constant.low is not None and constant.high is not None:
            assert constant.low <= constant.value <= constant.high


@pytest.mark.parametrize("name", ["bitfusion", "bitblade", "loom-2b"])
def test_leakage_of_the_one_flow_is_an_assumption(name: str) -> None:
    """Only power and area were published."""
    status = {constant.name: constant.status for constant in SHEETS[name].constants}
    assert status["array, every element at work"] == status["array area"] == "published"
    assert status["array leakage"] == "assumed"


def test_departures_are_told_with_their_reasons() -> None:
    sheet = SHEETS["bitfusion"]
    assert sheet.base == "bitfusion-published"
    assert all(title and why for title, why in sheet.departures)
    assert SHEETS["stripes-published"].base is None and not SHEETS["stripes-published"].departures


def test_a_machine_that_cannot_run_at_all_is_refused() -> None:
    stuck = load("tpu-published").configured(storage__weights="full", storage__full_bits=1)
    assert spec_sheet(stuck).weights.refused == (Widths(2, 16),)
    with pytest.raises(InfeasibleError, match="too fast"):
        spec_sheet(load("tpu-published").configured(frequency_hz=1e11))


# ---- side by side

NETWORK = Workload.chain("small", [Layer("conv", 16, 32, (3, 3), (8, 8)), Layer("fc", 2048, 10)])


@given(rows=st.integers(1, 64), volts=st.floats(0.6, 1.3))
def test_fields_that_differ_are_those_that_were_changed(rows: int, volts: float) -> None:
    machine = load("bitfusion")
    other = machine.configured(array__rows=rows, technology__volts=volts)
    expected = {"array.rows": (16, rows)} if rows != 16 else {}
    if volts != machine.technology.volts:
        expected["technology.volts"] = (machine.technology.volts, volts)
    assert differing_fields([machine, other]) == expected


def test_a_comparison_is_the_simulations_side_by_side() -> None:
    machines = [load(name) for name in ("bitfusion", "tpu-published", "bismo-published")]
    compared = compare_machines(machines, NETWORK, (16, 8))
    fusion, tpu, bismo = compared.runs["8"]
    assert compared.runs["16"][1] is None
    assert fusion is not None and tpu is not None and bismo is not None
    for run, machine in zip((fusion, tpu, bismo), machines, strict=True):
        alone = simulate(NETWORK, machine, 8)
        assert (run.cycles, run.energy_j) == (alone.cycles, alone.energy_j)
    area = SHEETS["bitfusion"].total_area_mm2
    assert area is not None
    assert fusion.inputs_per_s_mm2 == pytest.approx(1 / (fusion.latency_s * area))
    assert bismo.inputs_per_s_mm2 is None
    macs = sum(layer.macs for layer in NETWORK.layers)
    for run in (fusion, tpu, bismo):
        assert run.efficiency.mean_power_w == pytest.approx(run.energy_j / run.latency_s)
        assert run.efficiency.tops_per_w == pytest.approx(2e-12 * macs / run.energy_j)
        assert run.efficiency.inputs_per_j == pytest.approx(1 / run.energy_j)
    assert compared.differences["array.stationary"] == (None, "weight", None)
    assert compared.differences["frequency_hz"] == (400e6, 700e6, 200e6)


def test_a_comparison_needs_different_machines() -> None:
    machine = load("bitfusion")
    with pytest.raises(InputError, match="two machines or more"):
        compare_machines([machine], NETWORK)
    with pytest.raises(InputError, match="bitfusion twice"):
        compare_machines([machine, machine], NETWORK)


def test_a_sheet_says_what_the_machine_is() -> None:
    sheet: SpecSheet = SHEETS["stripes-published"]
    assert (sheet.shape, sheet.family) == ("16 x 256 x 16", "stripes")
    assert sheet.on_chip_bytes == 3 * 131072  # bf_s_conf.ini of the released simulator
    # bf_e_conf.ini: 192 bits per cycle at 500 MHz.
    assert SHEETS["bitfusion-published"].dram_gb_per_s == 12


# ---- what of a buffer is in use


@pytest.mark.parametrize("single", [(), ("weight",), ("input", "output")])
def test_what_is_in_use_and_what_is_reserved_make_up_each_buffer(single: tuple[str, ...]) -> None:
    kinds = {f"buffers__{tensor}_double_buffered": False for tensor in single}
    machine = load("bitfusion").configured(**kinds)
    sheet = spec_sheet(machine).buffers
    found = explain(simulate(every_operator(), machine, 4), "stem")
    for tensor, block in zip(("weight", "input", "output"), found.blocks, strict=True):
        size = machine.field(f"buffers.{tensor}_bytes")
        assert block.room_bits + block.reserved_bits == 8 * size == 8 * sheet[tensor].size_bytes
        assert block.reserved_bits == 8 * sheet[tensor].reserved_bytes
        assert sheet[tensor].reserved_bytes == (0 if tensor in single else size / 2)
        assert block.bits <= block.room_bits
