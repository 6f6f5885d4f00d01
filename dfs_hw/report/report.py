"""The report: data alone, of which every page, table and figure is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from accel_models.documents import CLOSED
from dfs_hw.report.subject import Amount, Positive, Share, Subject

FORMAT = 1
"""Version of a report's JSON."""


@dataclass(frozen=True)
class Bounds:
    """A figure with the ends of its 95 % interval."""

    __pydantic_config__ = CLOSED
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Survival:
    """Whether a ranking by energy survives the ranges of the constants.

    Args:
        of: who is held against `than`.
        kept: draws, of `draws` from all ranges together, in which it spends less.
        low, high: energy of the first over the second's, least and most of all draws.
    """

    __pydantic_config__ = CLOSED
    of: str
    than: str
    draws: int
    kept: int
    low: float
    high: float
    constants: tuple[str, ...]


@dataclass(frozen=True)
class ReportVerdict:
    """The verdict, in a sentence.

    Args:
        sentence: with its interval; says plainly where nothing static was measured beside it.
        earned: whether deciding per input earned its keep; None if that cannot be told.
        against: the static network that it is held against; "" if none was measured.
        points: accuracy less that network's, 0 to 1.
        saving: share of the cost of the cheapest static network as accurate that is spared.
        seeds: trainings.
        inputs: test inputs of each.
        survives: whether it holds within the ranges of the constants, in a sentence.
    """

    __pydantic_config__ = CLOSED
    sentence: str
    earned: bool | None = None
    against: str = ""
    points: Bounds | None = None
    saving: Bounds | None = None
    seeds: int = 0
    inputs: int = 0
    survives: str = ""
    survival: Survival | None = None


@dataclass(frozen=True)
class Competitor:
    """One way to run a network, in the scatter of accuracy and energy.

    Args:
        kind: static, adaptive, frozen or shuffled.
        group: its family; what it is coloured by.
        accuracy: mean over seeds, 0 to 1.
        energy_j, latency_s: mean over inputs and seeds.
        accuracy_sd, energy_sd: standard deviation between seeds; None of one seed.
        share: cost over the budget, where there is one.
        leads: whether it is what the verdict speaks of.
        best: whether it is what that is held against.
    """

    __pydantic_config__ = CLOSED
    name: str
    kind: str
    group: str
    accuracy: Share
    energy_j: Positive
    latency_s: Positive
    bitops: Amount
    seeds: int = 1
    accuracy_sd: float | None = None
    energy_sd: Amount | None = None
    validation_accuracy: Share | None = None
    share: float | None = None
    leads: bool = False
    best: bool = False


@dataclass(frozen=True)
class SweepPoint:
    """A contender of one seed at one budget: a share of the study's."""

    __pydantic_config__ = CLOSED
    contender: str
    seed: int
    variant: str
    target: float
    share: float
    accuracy: Share
    energy_j: Amount
    latency_s: Amount


@dataclass(frozen=True)
class SeedReplay:
    """The network that is looked at, trained from one seed: means over its test inputs.

    Args:
        expected_j, expected_s: what the training loss charges for the same choices; None if it
            cannot be told.
        energy_j, latency_s: replayed now.
        recorded_j: energy that the comparison has; None where it has none.
    """

    __pydantic_config__ = CLOSED
    seed: int
    inputs: int
    accuracy: Share | None
    expected_j: Amount | None
    energy_j: Amount
    expected_s: Amount | None
    latency_s: Amount
    recorded_j: Amount | None = None


@dataclass(frozen=True)
class Judgement:
    """The verdict on one contender at one budget, as the comparison has it.

    Args:
        drawn: accuracy over the best static network within its budget, 0 to 1, the least and the
            most of all draws of the constants from their ranges; None where there is none in any.
        ahead: share of the draws in which it is more accurate than that, be it by chance.
        keeps: share of the draws in which it earns its keep.
        alone: share of the draws in which no static network costs as little.
    """

    __pydantic_config__ = CLOSED
    contender: str
    target: float
    share: float
    accuracy: Share
    than: str
    points: Bounds | None
    shuffled: Bounds
    saving: Bounds | None
    earned: bool | None
    sentence: str
    drawn: tuple[float, float] | None = None
    ahead: Share | None = None
    keeps: Share | None = None
    alone: Share | None = None


@dataclass(frozen=True)
class HeadroomPoint:
    """Accuracy at an energy of an input in J: of the best static assignments, and of what no gate
    can be expected to pass."""

    __pydantic_config__ = CLOSED
    energy_j: Amount
    static: float
    limit: float


@dataclass(frozen=True)
class SavedAmount:
    """What was saved of one cost, from one way to run a network to another."""

    __pydantic_config__ = CLOSED
    title: str
    unit: str
    before: float
    after: float


@dataclass(frozen=True)
class Comparison:
    """Everybody who was run beside the subjects.

    Args:
        saved_from: the way that `saved` starts from.
        replays: who is looked at, seed by seed, where traces are there.
        looked_at: the network, as training left it, that `replays` and the subject are of.
        headroom: what any gate could win, in a sentence; "" if that was not looked for.
    """

    __pydantic_config__ = CLOSED
    competitors: tuple[Competitor, ...]
    saved_from: str = ""
    saved: tuple[SavedAmount, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    sweep: tuple[SweepPoint, ...] = ()
    replays: tuple[SeedReplay, ...] = ()
    headroom: str = ""
    headroom_curve: tuple[HeadroomPoint, ...] = ()
    budget: str = ""
    remarks: tuple[str, ...] = ()
    looked_at: str = ""


@dataclass(frozen=True)
class EnergyReport:
    """One report.

    Args:
        format: `FORMAT`.
        command: that makes it again.
        made: versions, commit, platform and time.
        comparison: None where nothing was run beside the subjects.
    """

    __pydantic_config__ = CLOSED
    title: str
    verdict: ReportVerdict
    subjects: tuple[Subject, ...]
    comparison: Comparison | None
    command: str
    made: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
