"""What a report says of one network on one machine, as plain data in SI units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from accel_models.documents import CLOSED
from accel_models.errors import InputError, quoted

Positive = Annotated[float, Field(gt=0)]
"""A figure that others are divided by."""
Amount = Annotated[float, Field(ge=0)]
"""Energy, time, work: nothing that could be less than none."""
Share = Annotated[float, Field(ge=0, le=1)]
"""An accuracy, or a part of a whole."""
MARKED = frozenset({"mean", "p95"})
"""Figures of a spread that its charts mark."""
WAITED = ("all", "exposed", "switching")
"""Cycles of an input that pages tell where a network decides: all, those that pass with gates and
with weights that wait for them, and those of changes of width."""


@dataclass(frozen=True)
class EnergyFigures:
    """Energy of one inference, in the manner in which MLCommons has it reported.

    Args:
        joules_per_inference: mean over inputs; parts are `active_j` and `static_j`.
        active_j: spent because something happens: logic, SRAM, DRAM accesses.
        static_j: spent because time passes: leakage, DRAM's background.
        latency_s: mean over inputs, each alone.
        inferences_per_joule: over all of them.
        mean_power_w: energy over time while it works.
        samples: inputs that were counted; 1 of a static network, whose inputs cost alike.
        method: how it was come by; nothing here is measured.
        boundary: what is counted, and what is not.
    """

    __pydantic_config__ = CLOSED
    joules_per_inference: Positive
    active_j: Amount
    static_j: Amount
    latency_s: Amount
    inferences_per_joule: Amount
    mean_power_w: Amount
    bitops: Amount
    samples: int
    method: Literal["simulated"] = "simulated"
    boundary: str = "array, vector unit, buffers, DRAM and its interface; no host, no camera"


@dataclass(frozen=True)
class EnergyCell:
    """Energy of one action on one tensor, in one component, for one layer: the mean of an input.

    All cells of a subject add up to its energy, to the last bit and in any order.
    """

    __pydantic_config__ = CLOSED
    layer: str
    component: str
    tensor: str
    action: str
    energy_j: Amount


@dataclass(frozen=True)
class LayerWidth:
    """A layer at one of the widths that it runs at, under the roofline.

    Args:
        share: of the inputs that run it so.
        macs_per_bit: MACs for each bit over the DRAM port; None if nothing moves, or of what the
            array has no part in.
        macs_per_cycle: reached, waiting included.
        peak_macs_per_cycle: of the fully used array at these widths.
        occupancy: share of its multipliers that multiply while it computes.
    """

    __pydantic_config__ = CLOSED
    layer: str
    precision: str
    share: float
    macs: int
    cycles: int
    macs_per_bit: Amount | None
    macs_per_cycle: Amount | None
    peak_macs_per_cycle: Amount | None
    occupancy: Share | None
    energy_j: Amount


@dataclass(frozen=True)
class Expectation:
    """One cost of an input, three ways: as training was told, as replayed, and without deciding.

    Args:
        expected: what the training loss charges for the same choices; None if it cannot be told.
        frozen: every unit at its most frequent choice, gates paid.
        highest: the network without gates at the highest precision; None if it cannot run.
    """

    __pydantic_config__ = CLOSED
    metric: str
    title: str
    unit: str
    replayed: float
    expected: float | None
    frozen: float | None
    highest: float | None


@dataclass(frozen=True)
class HistogramBin:
    """Inputs whose energy is from `low` to `high` J."""

    __pydantic_config__ = CLOSED
    low: float
    high: float
    right: int
    wrong: int


@dataclass(frozen=True)
class ClassCost:
    """Inputs of one label: their number, and means over them."""

    __pydantic_config__ = CLOSED
    label: str
    inputs: int
    accuracy: Share
    energy_j: Amount
    latency_s: Amount


@dataclass(frozen=True)
class InputPoint:
    """One input of the sample that a report keeps."""

    __pydantic_config__ = CLOSED
    number: int
    label: str
    prediction: str
    right: bool
    energy_j: Amount
    latency_s: Amount
    confidence: Share | None = None
    severity: float | None = None


@dataclass(frozen=True)
class ShownInput:
    """One of the cheapest or dearest inputs, with its picture as a ``data:`` address, or ""."""

    __pydantic_config__ = CLOSED
    point: InputPoint
    choices: str
    picture: str = ""


@dataclass(frozen=True)
class InputSpread:
    """How cost is spread over inputs.

    Args:
        energy, latency: mean, percentiles and maximum, under equal names.
        quantiles: energy in J of the 0th to the 100th percentile, and of each the share of inputs
            that cost no more, which ties make larger than the percentile.
        sample: inputs of a report, drawn evenly; all of them where they are few.
        vectors: different decision vectors.
        severity_correlation: Spearman's, of energy with how badly an input was degraded.
        confidence_correlation: Spearman's, of energy with the probability of the predicted class.
    """

    __pydantic_config__ = CLOSED
    energy: dict[str, float]
    latency: dict[str, float]
    histogram: tuple[HistogramBin, ...]
    quantiles: tuple[tuple[float, float], ...]
    classes: tuple[ClassCost, ...]
    sample: tuple[InputPoint, ...]
    cheapest: tuple[ShownInput, ...]
    dearest: tuple[ShownInput, ...]
    vectors: int
    severity_correlation: float | None = None
    confidence_correlation: float | None = None

    def __post_init__(self) -> None:
        named = self.energy.keys() | self.latency.keys() | MARKED
        if missing := sorted(named - (self.energy.keys() & self.latency.keys())):
            raise InputError(f"energy and latency must both have {quoted(missing[0])}")


@dataclass(frozen=True)
class UnitUse:
    """What one decision unit chose.

    Args:
        came: share of the inputs that came to it; others had left.
        shares: of those, by choice.
        entropy_bits: of these shares.
        switch_rate: share of inputs that chose otherwise than the one before them.
        dead: whether all inputs that came chose alike.
    """

    __pydantic_config__ = CLOSED
    unit: str
    came: Share
    shares: dict[str, float]
    entropy_bits: Amount
    switch_rate: float
    dead: bool


@dataclass(frozen=True)
class ExitUse:
    """Inputs that leave at one unit, or go on to the end: their share, and means over them."""

    __pydantic_config__ = CLOSED
    unit: str
    share: float
    came: Share
    accuracy: Share | None
    energy_j: Amount | None
    latency_s: Amount | None


@dataclass(frozen=True)
class TrackSpan:
    """A resource at work, from `start` to `end` in s."""

    __pydantic_config__ = CLOSED
    resource: str
    work: str
    start: float
    end: float


@dataclass(frozen=True)
class Track:
    """One input through the machine, event by event; what lies too close to be drawn is one."""

    __pydantic_config__ = CLOSED
    title: str
    energy_j: Amount
    latency_s: Amount
    spans: tuple[TrackSpan, ...]


@dataclass(frozen=True)
class ConstantSwing:
    """What the range of one constant does to the energy, all others as they are."""

    __pydantic_config__ = CLOSED
    path: str
    low: float
    high: float
    energy_at_low: float
    energy_at_high: float


@dataclass(frozen=True)
class EnergyRange:
    """How far the energy of an input may be off, in J, as constants are known within ranges only.

    `taken_as_exact` are constants of the user's own without a range; `not_varied` such as would
    have changed the schedule.
    """

    __pydantic_config__ = CLOSED
    low: float
    nominal: float
    high: float
    swings: tuple[ConstantSwing, ...]
    not_varied: tuple[str, ...] = ()
    taken_as_exact: tuple[str, ...] = ()


@dataclass(frozen=True)
class StatedConstant:
    """A constant that entered the energies, with where it comes from and its range if known."""

    __pydantic_config__ = CLOSED
    name: str
    value: float
    unit: str
    status: str
    source: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MachineFacts:
    """The machine that energies are simulated of; area in mm², leakage in W."""

    __pydantic_config__ = CLOSED
    name: str
    title: str
    kind: str
    paper: str
    frequency_hz: float
    dram_bits_per_cycle: Positive
    area_mm2: dict[str, float]
    leakage_w: Amount
    fidelity: dict[str, Any]
    constants: tuple[StatedConstant, ...]


@dataclass(frozen=True)
class Origin:
    """Where a subject comes from.

    Args:
        source: file or name that was given.
        digests: SHA-256 of the files that were read, by name.
        workload_key: of the layers.
        cost_table: key of the cost table; "" of a static network, which has none.
        seed: of the training; None where there is none.
        version: that recorded it.
        settings: of the training, where they are known.
    """

    __pydantic_config__ = CLOSED
    source: str
    digests: dict[str, str]
    network: str
    dataset: str
    workload_key: str
    cost_table: str
    choices: tuple[str, ...]
    seed: int | None
    version: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One network on one machine.

    Args:
        accuracy: 0 to 1; None where no input was classified.
        waiting: cycles of an input, `WAITED` where there are expectations.
        policy: what the replay charged beside the work.
        inputs: None of a static network.
        units, exits: empty where nothing is decided.
        assumed: what was taken for granted of the layers.
    """

    __pydantic_config__ = CLOSED
    name: str
    kind: Literal["adaptive", "static"]
    origin: Origin
    machine: MachineFacts
    accuracy: Share | None
    energy: EnergyFigures
    components: dict[str, float]
    cells: tuple[EnergyCell, ...]
    roofline: tuple[LayerWidth, ...]
    expectations: tuple[Expectation, ...] = ()
    waiting: dict[str, float] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    inputs: InputSpread | None = None
    units: tuple[UnitUse, ...] = ()
    exits: tuple[ExitUse, ...] = ()
    tracks: tuple[Track, ...] = ()
    energy_range: EnergyRange | None = None
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.expectations:
            return
        if missing := [name for name in WAITED if name not in self.waiting]:
            raise InputError(f"waiting must have '{missing[0]}'")
        if self.waiting["all"] <= 0:
            raise InputError(f"waiting.all must be greater than 0, got {self.waiting['all']}")
