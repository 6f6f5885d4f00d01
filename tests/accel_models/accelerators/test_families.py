"""Families of arrays: cycles against closed forms and published runs, figures against sources."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.array import Datapath
from accel_models.accelerators.arrays.bismo import Bismo
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.pricing import Pricing
from accel_models.energy.array import array_figures
from accel_models.errors import InfeasibleError
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer

MACHINES = (
    *(
        "stripes-published",
        "loom-1b-published",
        "loom-2b-published",
        "loom-4b-published",
        "unpu-published",
        "bismo-published",
    ),
    *("bitblade-published", "dadiannao-published", "tpu-published"),
)
WIDEST = {name: 8 if name == "tpu-published" else 16 for name in MACHINES}


def cd(a: int, b: int) -> int:
    return -(-a // b)


# ---- what a datapath takes for a layer in one tile, by the definition of `Datapath`


def reduction(data: Datapath, rule: str, layer: Layer) -> int:
    rows, columns = layer.kernel
    channels = layer.in_channels // layer.groups
    steps = 0
    for lanes, passes in data.passes:
        reduced = data.rows * lanes
        if rule == "window":
            steps += passes * cd(rows * columns * channels, reduced)
        else:
            steps += passes * rows * columns * cd(channels, reduced)
    return steps


def untiled_cycles(machine: Accelerator, layer: Layer, widths: Precision) -> int:
    data = machine.array.datapath(layer, widths)
    (rule,) = machine.mapping.lane_rules
    columns = cd(layer.out_channels // layer.groups, data.columns)
    blocks = layer.groups * columns
    folds, places = blocks * reduction(data, rule, layer), cd(prod(layer.out_size), data.windows)
    working = cd(places * folds, data.stagger) * data.cycles_per_step
    waiting = places * blocks * data.block_overhead + folds * data.stream_overhead
    return working + waiting + data.ramp


# ---- closed forms, written from the sources with their own symbols


class Sizes:
    """W windows, C channels and M filters of a group, kernel area K2, G groups."""

    def __init__(self, layer: Layer) -> None:
        self.W = prod(layer.out_size)
        self.C = layer.in_channels // layer.groups
        self.M = layer.out_channels // layer.groups
        self.K2 = prod(layer.kernel)
        self.G = layer.groups
        self.linear = self.K2 == self.W == 1


def dnnsim(s: Sizes, tau: int, windows: int, filters: int, tiles: int) -> int:
    """DNNsim: tiles of 16 lanes, linear layers staggered over the window columns."""
    if not s.linear:
        return s.G * cd(s.W, windows) * cd(cd(s.M, filters), tiles) * s.K2 * cd(s.C, 16) * tau
    steps = s.G * cd(s.C, 16) * cd(cd(s.M, filters), tiles)
    if tau <= windows:
        return steps + tau - 1
    return cd(steps, windows) * tau + windows - 1


def loom(serial_bits: int) -> Callable[[Sizes, int, int], int]:
    def cycles(s: Sizes, w: int, a: int) -> int:
        return dnnsim(s, cd(a, serial_bits) * w, 16 // serial_bits, 128, 1)

    return cycles


def unpu(s: Sizes, w: int, a: int) -> int:
    inputs = 64 * (4 if w == 1 else 3)
    if s.linear:
        return s.G * cd(s.M, 12 * 6) * cd(s.C, inputs) * w
    return s.G * cd(s.W, 6) * cd(s.M, 12) * s.K2 * cd(s.C, inputs) * w


def bismo(s: Sizes, w: int, a: int) -> int:
    """One run for each pair of bits and each block of 8 x 8 results (ExecInstrGen)."""
    return s.G * cd(s.M, 8) * cd(s.W, 8) * w * a * (cd(s.K2 * s.C, 256) + 11)


def bitblade(s: Sizes, w: int, a: int) -> int:
    def faster(bits: int) -> int:
        return 4 if bits <= 2 else 2 if bits <= 4 else 1

    lanes = 16 * faster(w) * faster(a)
    return s.G * s.W * cd(s.M, 32) * cd(s.K2 * s.C, lanes) * cd(w, 8) * cd(a, 8)


CLOSED_FORMS: dict[str, Callable[[Sizes, int, int], int]] = {
    "stripes-published": lambda s, w, a: dnnsim(s, a, 16, 16, 16),
    "loom-1b-published": loom(1),
    "loom-2b-published": loom(2),
    "loom-4b-published": loom(4),
    "unpu-published": unpu,
    "bismo-published": bismo,
    "bitblade-published": bitblade,
    "dadiannao-published": lambda s, w, a: s.G * s.W * cd(cd(s.M, 16), 16) * s.K2 * cd(s.C, 16),
    "tpu-published": lambda s, w, a: (
        s.G * cd(s.K2 * s.C, 256) * cd(s.M, 256) * (s.W + 256 + 256 - 2)
    ),
}


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Ragged channels, rectangular maps and kernels; grouped, depthwise and linear layers too."""
    groups = draw(st.sampled_from((1, 1, 1, 2, 3, 40)))
    each = st.integers(1, 700 if groups == 1 else 40)
    inputs, outputs = (1, 1) if groups == 40 else (draw(each), draw(each))
    linear = draw(st.booleans())
    kernel = (1, 1) if linear else (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    size = (1, 1) if linear else (draw(st.integers(1, 23)), draw(st.integers(1, 23)))
    return Layer("layer", inputs * groups, outputs * groups, kernel, size, groups=groups)


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@given(layer=layers(), weight_bits=st.integers(1, 16), activation_bits=st.integers(1, 16))
@settings(max_examples=150)
def test_a_datapath_is_the_closed_form(
    name: str, layer: Layer, weight_bits: int, activation_bits: int
) -> None:
    widths = Precision(min(weight_bits, WIDEST[name]), min(activation_bits, WIDEST[name]))
    expected = CLOSED_FORMS[name](Sizes(layer), widths.weight_bits, widths.activation_bits)
    assert untiled_cycles(load_accelerator(name), layer, widths) == expected


@given(layer=layers())
def test_output_stationary_folds(layer: Layer) -> None:
    """SCALE-Sim: each fold takes 2 SR + SC + Kred - 2, folds are ceil(W/SR) ceil(M/SC)."""
    machine = load_accelerator("tpu-published").configured(
        array__stationary="output", array__rows=12, array__columns=14
    )
    s = Sizes(layer)
    folds = s.G * cd(s.W, 12) * cd(s.M, 14)
    fold = 2 * 12 + 14 + s.K2 * s.C - 2
    assert untiled_cycles(machine, layer, Precision(8, 8)) == folds * fold


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@given(layer=layers())
@settings(max_examples=30)
def test_no_machine_is_faster_at_wider_operands_or_busier_than_it_can_be(
    name: str, layer: Layer
) -> None:
    machine = load_accelerator(name)
    bits = range(1, WIDEST[name] + 1)
    cycles = {
        (w, a): untiled_cycles(machine, layer, Precision(w, a)) for w, a in product(bits, bits)
    }
    for (w, a), taken in cycles.items():
        assert taken >= cycles[max(w - 1, 1), a]
        assert taken >= cycles[w, max(a - 1, 1)]
        data = machine.array.datapath(layer, Precision(w, a))
        operations = layer.macs * data.operations_per_mac
        assert operations <= taken * machine.array.operations_per_cycle


@pytest.mark.parametrize("name", MACHINES)
def test_a_layer_that_fits_keeps_the_whole_array_busy(name: str) -> None:
    machine = load_accelerator(name).configured()
    layer = Layer("fitting", 768, 768, (1, 2), (48, 48))
    widths = Precision(8, 8)
    data = machine.array.datapath(layer, widths)
    waiting = data.block_overhead + data.stream_overhead
    busy = layer.macs * data.operations_per_mac / machine.array.operations_per_cycle
    if waiting == 0:
        assert untiled_cycles(machine, layer, widths) == busy
    else:
        assert untiled_cycles(machine, layer, widths) > busy


# ---- runs of a DNNsim build, and peaks that papers state

TILE = {"array__rows": 16, "array__columns": 16}
SPLIT = {"array__rows": 16, "array__columns": 8, "array__windows": 8}
CONV = Layer("conv", 64, 64, (3, 3), (16, 16))
LINEAR = Layer("linear", 512, 1000)


@pytest.mark.parametrize(
    ("name", "layer", "widths", "changes", "cycles"),
    [
        ("stripes-published", CONV, (8, 8), TILE, 18_432),
        ("stripes-published", CONV, (8, 4), TILE, 9_216),
        ("stripes-published", Layer("large", 64, 64, (3, 3), (56, 56)), (8, 8), {}, 56_448),
        ("stripes-published", LINEAR, (8, 8), TILE, 2_023),
        ("stripes-published", LINEAR, (8, 4), TILE, 2_019),
        ("dadiannao-published", CONV, (8, 8), TILE, 36_864),
        # Loom detects the widths it needs at run time; these are what it found, or a tau of them.
        ("loom-1b-published", LINEAR, (8, 7), TILE, 7_071),
        ("loom-1b-published", LINEAR, (4, 3), TILE, 2_027),
        # Serial lanes of 4 bits at 8-bit operands: two take each activation, and two each weight.
        ("stripes-published", CONV, (4, 4), SPLIT, 36_864),
        ("stripes-published", LINEAR, (4, 4), SPLIT, 4_003),
    ],
)  # fmt: skip
def test_cycles_of_dnnsim_runs(
    name: str, layer: Layer, widths: tuple[int, int], changes: dict[str, int], cycles: int
) -> None:
    machine = load_accelerator(name).configured(**changes)
    assert untiled_cycles(machine, layer, Precision(*widths)) == cycles


def test_loom_run_with_detected_widths_lies_between_fixed_ones() -> None:
    """DNNsim took 124,416 cycles at 8 bits, each group of activations needing 8 or fewer."""
    machine = load_accelerator("loom-1b-published").configured(**TILE)
    fixed = [untiled_cycles(machine, CONV, Precision(8, bits)) for bits in (6, 7, 8)]
    assert fixed[0] < 124_416 < fixed[1] < fixed[2] == 8 * 18_432


@pytest.mark.parametrize("widths", [(1, 1), (5, 1), (4, 4), (8, 5), (16, 16)])
@pytest.mark.parametrize("channels", [16, 300, 512])
def test_staggered_linear_layers_step_by_step(widths: tuple[int, int], channels: int) -> None:
    """Steps go round the window columns, one a cycle, each waiting for its column."""
    machine = load_accelerator("loom-1b-published")
    ends, clock = [0] * machine.field("array.windows"), 0
    for step in range(cd(channels, 16) * cd(1000, 128)):
        column = step % len(ends)
        clock = max(clock, ends[column])
        ends[column] = clock + prod(widths)
        clock += 1
    cycles = untiled_cycles(machine, Layer("linear", channels, 1000), Precision(*widths))
    if prod(widths) <= len(ends):
        assert cycles == max(ends)
    else:  # the last round counts as a full one
        assert 0 <= cycles - max(ends) < len(ends)


def tera_operations(name: str, widths: Precision, layer: Layer) -> float:
    """Multiplications and additions per second, in 10^12."""
    machine = load_accelerator(name)
    seconds = untiled_cycles(machine, layer, widths) / machine.frequency_hz
    return 2e-12 * layer.macs / seconds


def test_peaks_are_those_published() -> None:
    full = Layer("full", 768, 768, out_size=(48, 48))
    # UNPU, JSSC 2019, abstract: 345.6 GOPS at 16 bits, 7372 GOPS at 1 bit.
    assert tera_operations("unpu-published", Precision(16, 16), full) == pytest.approx(0.3456)
    assert tera_operations("unpu-published", Precision(1, 16), full) == pytest.approx(
        7.372, rel=2e-4
    )
    # BISMO, FPL 2018, abstract: 6.5 binary TOPS; only long reductions come near.
    deep = Layer("deep", 256 * 2000, 8, out_size=(8, 1))
    assert tera_operations("bismo-published", Precision(1, 1), deep) == pytest.approx(6.5, rel=0.01)
    # TPU, ISCA 2017, abstract: 92 TOPS; only long streams come near.
    long = Layer("long", 256, 256, out_size=(1000, 1000))
    assert tera_operations("tpu-published", Precision(8, 8), long) == pytest.approx(92, rel=0.01)


def test_serial_machines_are_as_large_as_their_parallel_base() -> None:
    """At 16 bits Stripes is DaDianNao, and Loom is 128 multipliers (its abstract)."""
    layer = Layer("full", 512, 512, (3, 3), (32, 32))
    wide = Precision(16, 16)
    parallel = untiled_cycles(load_accelerator("dadiannao-published"), layer, wide)
    assert untiled_cycles(load_accelerator("stripes-published"), layer, wide) == parallel
    for name in ("loom-1b-published", "loom-2b-published", "loom-4b-published"):
        assert untiled_cycles(load_accelerator(name), layer, wide) == layer.macs / 128


# ---- which precisions a machine tells apart


def levels(name: str) -> int:
    machine = load_accelerator(name)
    bits = range(1, WIDEST[name] + 1)
    paths = {machine.array.datapath(CONV, Precision(w, a)) for w, a in product(bits, bits)}
    return len({path._replace(conversion=0) for path in paths})


def test_levels() -> None:
    assert levels("dadiannao-published") == levels("tpu-published") == 1
    assert levels("stripes-published") == levels("unpu-published") == 16
    products = {w * a for w, a in product(range(1, 17), range(1, 17))}
    assert levels("loom-1b-published") == levels("bismo-published") == len(products)
    assert levels("loom-4b-published") < levels("loom-2b-published") < levels("loom-1b-published")


@pytest.mark.parametrize("name", MACHINES)
def test_wider_operands_than_the_array_takes(name: str) -> None:
    array = load_accelerator(name).array
    array.datapath(CONV, Precision(WIDEST[name], WIDEST[name]))
    for widths in (Precision(WIDEST[name] + 1, 1), Precision(1, WIDEST[name] + 1)):
        with pytest.raises(InfeasibleError, match=f"{WIDEST[name] + 1}-bit .* are wider"):
            array.datapath(CONV, widths)


# ---- energy and area


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_can_be_built_from_the_tables(name: str) -> None:
    pricing = Pricing(load_accelerator(name))
    assert pricing.array.pj_per_cycle > 0
    assert all(area >= 0 for area in pricing.area_mm2.values())
    assert all(buffer.bank.area_mm2 > 0 for buffer in pricing.buffers)


def test_array_energy_follows_the_published_ratios() -> None:
    """Power over the bit-parallel base: speed-up over gain in energy efficiency (abstracts)."""
    base = array_figures(16, 256, 16, 16)
    stripes = load_accelerator("stripes-published").array.figures()
    assert stripes.pj_per_cycle == pytest.approx(base.pj_per_cycle * 1.92 / 1.57, rel=1e-3)
    assert stripes.area_mm2 == pytest.approx(base.area_mm2 * 1.32, rel=1e-3)
    for name in ("loom-1b-published", "loom-2b-published", "loom-4b-published"):
        loom_pj = load_accelerator(name).array.figures().pj_per_cycle
        assert loom_pj == pytest.approx(base.pj_per_cycle / 32 * 4.38 / 3.54, rel=1e-3)


def test_bitblade_beside_bit_fusion() -> None:
    """DAC 2019, abstract: 41 % less area, 36 to 46 % less energy."""
    ours, fusion = (
        load_accelerator(name).array for name in ("bitblade-published", "bitfusion-published")
    )
    assert ours.figures().area_mm2 == pytest.approx(fusion.figures().area_mm2 * (1 - 0.41))
    saved = 1 - ours.figures().pj_per_cycle / fusion.figures().pj_per_cycle
    assert 0.36 <= saved <= 0.46
    assert ours.operations_per_cycle == fusion.operations_per_cycle


@pytest.mark.parametrize(
    ("weight_bits", "tops_per_watt", "tolerance"), [(16, 3.08, 1e-3), (1, 50.6, 0.3)]
)
def test_unpu_efficiency(weight_bits: int, tops_per_watt: float, tolerance: float) -> None:
    """JSSC 2019, abstract. One figure cannot meet both; it is that of 16 bits."""
    array = load_accelerator("unpu-published").array
    per_mac = array.datapath(CONV, Precision(weight_bits, 16)).operations_per_mac
    pj = array.figures().pj_per_cycle / array.operations_per_cycle * per_mac
    assert 2 / pj == pytest.approx(tops_per_watt, rel=tolerance)


def test_chip_figures_are_not_charged_twice() -> None:
    for name in ("unpu-published", "bismo-published"):
        pricing = Pricing(load_accelerator(name))
        assert pricing.static_power_w == 0
        assert not any(pricing.action_pj[4:10])
        assert pricing.action_pj[0] > 0 and pricing.action_pj[-1] > 0


# ---- bit planes


@given(st.integers(1, 3000), st.integers(1, 16))
def test_conversion_to_bit_planes_word_by_word(elements: int, bits: int) -> None:
    """The released converter: words of packed elements in, then one word per bit plane out."""
    array = load_accelerator("bismo-published").array
    assert isinstance(array, Bismo)
    per_word = 64 // (8 if bits <= 8 else 16)
    cycles, converted = 0, 0
    while converted < elements:
        held = 0
        while held < 64:  # the last group is padded
            held += per_word
            cycles += 1
        cycles += bits
        converted += held
    assert array.parallel_to_serial_cycles(elements, bits) == cycles
