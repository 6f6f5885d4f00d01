"""Tables of a machine's file beside its array, each field with its unit, meaning and range."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accel_models.accelerators.arrays.array import LaneRule
from accel_models.energy.sram import Cell
from accel_models.energy.technology import Devices
from accel_models.source import In, Part

Objective = Literal["latency", "energy", "edp", "latency-then-energy"]
MOST = 1e9
"""Largest factor, and largest figure in pJ: far more than sensible, far less than what
overflows."""
MOST_ON_CHIP = 10**12
"""Largest on-chip memory in bytes, number of banks, and width of a bank in bits."""
MOST_GB_PER_S = 1e12
"""Largest bandwidth in 10^9 bytes a second: what it would draw is a number yet."""
DEVICE_FIELDS = (
    "pj_per_bit",
    "interface_pj_per_bit",
    "channel_gb_per_s",
    "interface_mw",
    "background_mw",
)
"""Fields of ``[dram]`` that a device fills in."""


class Buffers(Part):
    """On-chip memories in bytes. Of a double buffer, half is in use while the other half is filled
    or emptied; all of a single one is in use, and it changes its block between two tiles.

    Banks are stated only where the array does not split its buffers itself.
    """

    weight_bytes: Annotated[int, In("bytes")] = Field(gt=0, le=MOST_ON_CHIP)
    """Size of the weight buffer."""
    input_bytes: Annotated[int, In("bytes")] = Field(gt=0, le=MOST_ON_CHIP)
    """Size of the input buffer."""
    output_bytes: Annotated[int, In("bytes")] = Field(gt=0, le=MOST_ON_CHIP)
    """Size of the output buffer, which holds partial sums too."""
    weight_double_buffered: bool = True
    """Whether the weight buffer is a double one. The first weights of a layer load during the layer
    before only where it is."""
    input_double_buffered: bool = True
    """Whether the input buffer is a double one."""
    output_double_buffered: bool = True
    """Whether the output buffer is a double one."""
    weight_banks: Annotated[int | None, In("banks")] = Field(default=None, gt=0, le=MOST_ON_CHIP)
    """Banks of the weight buffer."""
    input_banks: Annotated[int | None, In("banks")] = Field(default=None, gt=0, le=MOST_ON_CHIP)
    """Banks of the input buffer."""
    output_banks: Annotated[int | None, In("banks")] = Field(default=None, gt=0, le=MOST_ON_CHIP)
    """Banks of the output buffer."""
    word_bits: Annotated[int | None, In("bits")] = Field(default=None, gt=0, le=MOST_ON_CHIP)
    """Width of one access to a bank."""
    inside_array_area: bool = False
    """Whether the array's stated area is that of a whole chip, buffers and all: they are then not
    counted again."""


class Dram(Part):
    """Memory port, and what a bit, a request and a burst over it cost. Where channels are spoken
    of, bandwidth takes channels, and each draws power whether it is used or not."""

    preset: str | None = None
    """Name of a kind of memory, which `pj_per_bit` is taken from."""
    device: str | None = None
    """Name of a standard, such as ``lpddr4`` or ``hbm3``, which the energy of a bit and all that
    is said of channels and interface is taken from, where the file does not state it."""
    pj_per_bit: Annotated[float, In("pJ per bit")] = Field(ge=0, le=MOST)
    """Energy of a bit over the port, either way; not stated beside a preset, which has it."""
    interface_pj_per_bit: Annotated[float, In("pJ per bit")] = Field(default=0.0, ge=0, le=MOST)
    """Energy of a bit in the machine's own interface."""
    channel_gb_per_s: Annotated[float | None, In("10^9 bytes per second")] = Field(
        default=None, ge=1e-6
    )
    """Bandwidth of one channel: a machine has as many as its bandwidth takes."""
    interface_mw: Annotated[float, In("mW")] = Field(default=0.0, ge=0, le=MOST)
    """Power of a channel's interface on the machine, in use or not."""
    background_mw: Annotated[float, In("mW")] = Field(default=0.0, ge=0, le=MOST)
    """Power of a channel's memory, in use or not: standby and refresh."""
    gb_per_s: Annotated[float | None, In("10^9 bytes per second")] = Field(
        default=None, ge=1e-6, le=MOST_GB_PER_S
    )
    """Bandwidth, whatever the clock of the array."""
    bits_per_cycle: Annotated[float | None, In("bits per cycle")] = Field(default=None, ge=1e-6)
    """Bandwidth tied to the array's clock, as the published simulator has it."""
    latency_ns: Annotated[float, In("ns")] = Field(ge=0, le=1e9)
    """Time from the request to the first bit, paid once a layer."""
    burst_bytes: Annotated[int, In("bytes")] = Field(ge=0, le=2**20)
    """Smallest transfer; every block is moved in whole bursts. 0: any number of bits."""

    @model_validator(mode="after")
    def _said_once(self) -> Dram:
        if (self.gb_per_s is None) == (self.bits_per_cycle is None):
            raise ValueError("dram states its bandwidth once: as gb_per_s or as bits_per_cycle")
        if self.preset is not None and self.device is not None:
            raise ValueError("dram.preset and dram.device are both stated: leave one out")
        if self.channel_gb_per_s is None and self.interface_mw + self.background_mw > 0:
            raise ValueError(
                "dram.channel_gb_per_s is missing: interface_mw and background_mw are a channel's"
            )
        return self


class Storage(Part):
    """How tensors lie in DRAM, and what stays on chip."""

    weights: Literal["full", "planes", "copies"]
    """``full``: one copy at `full_bits`, truncated on arrival. ``planes``: nested bit planes, of
    which only the needed ones travel. ``copies``: one for each width."""
    activations: Literal["packed", "full"]
    """Tensors inside a decision unit: packed at the unit's width, or in words of `stream_bits`."""
    full_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Width of the one copy that ``weights = "full"`` stores."""
    stream_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Width between decision units, where the reader's width is not yet known. The accumulator's
    width here means holding sums unrounded until the decision."""
    resident: bool
    """Tensors that fit stay in the input buffer between layers."""


class MappingOptions(Part):
    """Which mappings are tried, and which is best."""

    tiles: Literal["all", "pow2-square"]
    """``all``: every ceil(D/n) in every dimension. ``pow2-square``: powers of two, and as many
    rows as columns."""
    objective: Objective
    """What the best mapping has least of; ``edp`` is energy x delay."""
    tolerance: Annotated[float, In("share")] = Field(ge=0)
    """Share by which a mapping may be slower than the fastest, for ``latency-then-energy``."""
    lane_rules: tuple[LaneRule, ...] = Field(min_length=1, strict=False)
    """What may fill the lanes that reduce one output."""
    image_lane_rules: tuple[LaneRule, ...] = Field(min_length=1, strict=False)
    """Rules for layers that read the image, whose few channels fill no lanes."""
    grouped_lane_rules: tuple[LaneRule, ...] = Field(default=(), strict=False)
    """Rules for grouped layers, whose groups have few channels; by default all that the array can
    follow."""


class Energy(Part):
    """What is charged beside the tables of array, SRAM and DRAM."""

    idle_share: Annotated[float, In("share")] = Field(ge=0, le=1)
    """Energy of an element that idles, as a share of one that works: its clock and registers."""
    other_share: Annotated[float, In("share")] = Field(ge=0, le=MOST)
    """Control and clock tree, and DRAM's background where ``[dram]`` states none, as a share of all
    other dynamic energy."""
    vector_pj: Annotated[float, In("pJ")] = Field(ge=0, le=MOST)
    """Requantising one output, or adding it to the residual."""
    vector_node_nm: Annotated[float | None, In("nm")] = Field(default=None, gt=0)
    """Process that `vector_pj` is stated for, at `vector_volts`. None: that of the machine."""
    vector_volts: Annotated[float | None, In("V")] = Field(default=None, gt=0)
    """Supply that `vector_pj` is stated for."""
    array_scale: Annotated[float, In("factor")] = Field(ge=0, le=MOST)
    """Factor on the array's energy; 1 leaves it as tabled."""
    logic_scale: Annotated[float, In("factor")] = Field(default=1.0, ge=0, le=MOST)
    """Factor on the energy of array and vector unit, for what is uncertain about all machines of a
    ground alike; 1 leaves it as tabled."""
    sram_scale: Annotated[float, In("factor")] = Field(ge=0, le=MOST)
    """Factor on the buffers' energy; 1 leaves it as tabled."""
    leakage_scale: Annotated[float, In("factor")] = Field(ge=0, le=MOST)
    """Factor on leakage; 1 leaves it as tabled."""

    @model_validator(mode="after")
    def _vector_process(self) -> Energy:
        if (self.vector_node_nm is None) != (self.vector_volts is None):
            missing = "vector_node_nm" if self.vector_node_nm is None else "vector_volts"
            raise ValueError(f"energy.{missing} is missing: it goes with the other")
        return self


class Technology(Part):
    """Process that the machine is built in, and how its logic and SRAM are brought there. Only node
    and voltages are needed. Without the rest, logic is scaled across kinds of transistors, any
    clock is taken for possible, leakage does not depend on the voltage, and SRAM is CACTI's of
    45 nm, hp, 360 K, as the released Bit Fusion simulator has it."""

    node_nm: Annotated[float, In("nm")] = Field(gt=0)
    """Process that logic is scaled to, and SRAM where `sram_cell` is stated."""
    volts: Annotated[float, In("V")] = Field(gt=0)
    """Supply of the logic."""
    figures_volts: Annotated[float, In("V")] = Field(gt=0)
    """Supply at which the array's figures were taken."""
    devices: Devices | None = None
    """Transistors of the logic: ``hp``, high performance, or ``lp``, low power. None: low power
    down to 32 nm and high performance below, as one transcription of the tables mixes them."""
    figures_hz: Annotated[float | None, In("Hz")] = Field(default=None, ge=1, le=1e12)
    """Clock that the array reaches where its figures were taken. It says which clock the logic
    reaches at another node or supply; none: any clock is accepted."""
    leakage_per_volt: Annotated[float | None, In("1/V")] = Field(default=None, ge=0, le=20)
    """Exponent by which leakage current grows with the voltage. None: leakage is that of the
    figures, whatever the voltage."""
    sram_cell: Cell | None = None
    """Transistors of the SRAM: ``hp``, ``lop`` (low operating power) or ``lstp`` (low standby
    power), at the machine's node. Gate leakage is then charged, too."""
    sram_kelvin: Annotated[float | None, In("K")] = Field(default=None, gt=0)
    """Temperature at which the SRAM leaks."""
    sram_supply: Literal["own", "logic"] = "own"
    """Whether SRAM runs at the supply of its rows in CACTI's table, or at that of the logic."""

    @model_validator(mode="after")
    def _complete(self) -> Technology:
        if self.figures_hz is not None and self.devices is None:
            raise ValueError(
                "technology.devices is missing: figures_hz scales with the delay of one kind"
            )
        if (self.sram_cell is None) != (self.sram_kelvin is None):
            one, other = "sram_cell", "sram_kelvin"
            missing = one if self.sram_cell is None else other
            raise ValueError(f"technology.{missing} is missing: {one} and {other} go together")
        if self.sram_supply == "logic" and None in (self.sram_cell, self.leakage_per_volt):
            missing = "sram_cell" if self.sram_cell is None else "leakage_per_volt"
            raise ValueError(
                f"technology.{missing} is missing: sram_supply = 'logic' changes the SRAM's voltage"
            )
        return self


class Fidelity(Part):
    """What the model charges. The default of each option is the physically sensible one; the
    other is the published Bit Fusion simulator's."""

    edges: Literal["true", "whole-tiles"] = "true"
    """Tiles at the end of a dimension cost what they hold, or as much as full ones."""
    weight_alignment: bool = False
    """Whether weights are padded to whole steps of the array, in the buffer and over DRAM."""
    padding: Literal["clipped", "fetched"] = "clipped"
    """Zero padding and rows no window touches stay where they are, or come over DRAM."""
    halos: Literal["shared", "per-tile"] = "shared"
    """Input lines that the windows of several tiles touch: fetched and held once where these tiles
    are on chip together, or for each tile."""
    image_gather: Literal["on-chip", "before-dram"] = "on-chip"
    """Where windows are laid out for the ``window`` lane rule. ``before-dram``: every pixel travels
    once for each window it is in."""
    outputs: Literal["stored", "accumulators"] = "stored"
    """Width at which outputs travel: as their reader wants them, or the accumulator's."""
    partial_sums: Literal["revisited", "always"] = "revisited"
    """Outputs are fetched when something was added to them before, or before every use."""
    output_padding: bool = False
    """Whether outputs are padded to a multiple of the array's columns even in DRAM."""
    input_reads: Literal["per-row", "per-mac"] = "per-row"
    """Input buffer reads: one shared by all columns of a row, or one for each MAC."""
    array_side: Literal["cheapest", "published"] = "cheapest"
    """What stays in the array: outputs or weights, whichever costs less energy; or one of three
    by the published tool's estimate, its output drain counted apart."""
    core_energy: Literal["by-use", "per-cycle"] = "by-use"
    """Working elements cost full, idle and waiting ones `idle_share`; or every computing cycle
    costs the whole array and waiting nothing."""
    schedule: Literal["pipelined", "fluid"] = "pipelined"
    """Blocks of the next step load while one is computed; or memory and array each work through
    their total, whichever takes longer."""
    sram_figures: Literal["interpolated", "tabled"] = "interpolated"
    """Banks between CACTI rows are interpolated, or refused."""
    groups: Literal["true", "dense"] = "true"
    """Grouped convolutions run group by group, or as if all channels were connected."""
    accumulators: Literal["widened", "fixed"] = "widened"
    """Sums that overflow the accumulator take two words, or are not looked at."""
    gates: Literal["vector-unit", "array"] = "vector-unit"
    """Where gates decide: on the vector unit with weights that stay on chip, or on the array like
    any other layer."""
    prefetch: bool = True
    """A layer's first weights load while DRAM idles at the end of the layer before."""
    residual_add: bool = True
    """The residual addition fetches its second operand."""
    vector_unit: bool = True
    """Requantising and adding are charged."""
    static_power: bool = True
    """Leakage of array and buffers is charged for the time a network takes."""


class Departure(Part):
    """One difference from another machine: what changes, where, and why."""

    title: str
    """What changes."""
    why: str
    """Reason of the change."""
    fields: tuple[str, ...] = Field(min_length=1, strict=False)
    """Dotted paths of the fields that change together."""


class Departures(Part):
    """How this machine differs from another, step by step."""

    base: str
    """Machine that the steps lead from."""
    step: tuple[Departure, ...] = Field(min_length=1, strict=False)
    """Changes in order, each on top of those before."""
