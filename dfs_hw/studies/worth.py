"""Which machine makes deciding pay: a study's finished networks on every machine of a space."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from tqdm import tqdm

from accel_models.accelerators.accelerator import Accelerator
from accel_models.errors import DfsHwError, InputError
from accel_models.exploration.space import Configuration, Space, is_outside
from dfs_hw.baselines.judgement.frontier import AS_ACCURATE
from dfs_hw.baselines.judgement.resampling import Resampling
from dfs_hw.baselines.judgement.verdicts import Evidence, Saving, Verdict
from dfs_hw.baselines.records import Run
from dfs_hw.studies.finished_networks import FinishedNetworks


@dataclass(frozen=True)
class Sparing:
    """What deciding spares at the accuracy of the best static network, within 0.3 points on the
    validation inputs: the cheapest that decides beside the cheapest static network."""

    contender: str
    target: float
    """Budget over the study's."""
    saving: Saving


@dataclass(frozen=True)
class Worth:
    """What deciding per input is worth on a machine."""

    configuration: Configuration
    """The machine, by what the space varies."""
    refused: str = ""
    """Why nothing can be said of it; "" if something can."""
    budget: float | None = None
    """The study's budget there, in the metric's SI unit; None if it is refused."""
    floor: float | None = None
    """What the study's network costs at the narrowest width, over what it costs at the widest: the
    share of the cost that no width saves. None if it is refused."""
    leads: Verdict | None = None
    """The verdict on who is seen furthest ahead of the best static network at equal cost; None if
    none costs so little."""
    spares: Sparing | None = None
    """What deciding spares at the accuracy of the best static network; None if nobody who decides
    is as accurate."""


def worth_on(
    networks: FinishedNetworks,
    configuration: Configuration,
    machine: Accelerator,
    resampling: Resampling | None = None,
) -> Worth:
    """What deciding is worth on a machine.

    Args:
        configuration: the machine, by what is varied.
        resampling: of the study's test inputs, where they have been drawn already.

    Raises:
        InfeasibleError: if it cannot run one of the networks.
    """
    there = networks.elsewhere(machine)
    runs, line = there.runs(), there.field
    evidence = Evidence(runs, line, resampling=resampling)
    seen = [
        _Seen.of(runs, one.name, variant, target)
        for one in line.contenders
        if one.adaptive
        for variant, target in evidence.points(one)
    ]
    return Worth(
        configuration,
        budget=there.budget,
        floor=there.floor,
        leads=_leading(evidence, seen),
        spares=_sparing(evidence, seen),
    )


@dataclass(frozen=True)
class _Seen:
    """What chooses what is shown of a contender at one point: the labels of test inputs have no
    part in it."""

    contender: str
    variant: str
    target: float
    share: float
    """Mean cost of the test inputs over the study's budget."""
    accuracy: float
    """Mean accuracy on the validation inputs, 0 to 1."""

    @classmethod
    def of(cls, runs: list[Run], contender: str, variant: str, target: float) -> _Seen:
        """Mean over the seeds."""
        point = contender, variant, target
        own = [
            one.record
            for one in runs
            if (one.record.contender, one.record.variant, one.record.target) == point
        ]
        seen = [one.validation_accuracy for one in own if one.validation_accuracy is not None]
        return cls(*point, fmean(one.share for one in own), fmean(seen))


def _leading(evidence: Evidence, seen: list[_Seen]) -> Verdict | None:
    """The verdict on who is seen furthest ahead of the best static network at equal cost."""
    ahead: list[tuple[float, _Seen]] = []
    for one in seen:
        rival = evidence.frontier.best_within(max(one.target, one.share))
        if rival is not None:
            ahead.append((one.accuracy - rival.validation_accuracy, one))
    if not ahead:
        return None
    _, first = max(ahead, key=lambda each: each[0])
    contender = next(c for c in evidence.field.contenders if c.name == first.contender)
    return evidence.verdict(contender, first.variant, first.target)


def _sparing(evidence: Evidence, seen: list[_Seen]) -> Sparing | None:
    """The cheapest that is seen to be as accurate as the best static network, beside the cheapest
    static one that is."""
    best = max(one.validation_accuracy for one in evidence.frontier.networks)
    static = evidence.frontier.cheapest_with(best)
    good = [one for one in seen if one.accuracy >= best - AS_ACCURATE]
    if static is None or not good:
        return None
    first = min(good, key=lambda one: (one.share, -one.accuracy))
    saving = evidence.saving((first.contender, first.variant, first.target), static)
    return Sparing(first.contender, first.target, saving)


def check_space(space: Space) -> int:
    """How many machines a space has that deciding can be told on.

    Raises:
        InputError: if the space varies anything but machines, or there is no end of them.
    """
    varied = (path for dimension in space.dimensions for path in dimension.paths)
    if outside := next((path for path in varied if is_outside(path)), ""):
        raise InputError(
            f"{space.name}: {outside} is no field of a machine, and a study is told by machines: "
            "leave it out"
        )
    if space.size is None:
        endless = next(one.name for one in space.dimensions if not one.is_finite)
        raise InputError(
            f"{space.name}: {endless} has no end of values, and every machine is tried: give it a "
            "step, or a set"
        )
    return space.size


def worth_in(networks: FinishedNetworks, space: Space, progress: bool = False) -> list[Worth]:
    """What deciding is worth on every machine of a space, in the order of the space.

    Objectives and constraints of the space are those of `explore`, and not asked here.

    Args:
        progress: show a bar on stderr.

    Raises:
        InputError: as `check_space`.
    """
    size = check_space(space)
    every = space.configurations(0, size)
    bar = tqdm(every, desc="machines", total=size, disable=not progress)
    resampling = networks.resampling()
    found: list[Worth] = []
    for configuration in bar:
        try:
            machine = space.machine(configuration)
            found.append(worth_on(networks, configuration, machine, resampling))
        except DfsHwError as error:
            found.append(Worth(configuration, refused=str(error)))
    return found


__all__ = ["Sparing", "Worth", "check_space", "worth_in", "worth_on"]
