"""What any gate could win on a machine, before one is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import numpy as np
from tqdm import tqdm

from accel_models.errors import InputError
from accel_models.metrics import METRICS
from dfs_hw.headroom.estimate import Curves, Judged, curves, interval
from dfs_hw.headroom.family import Choices, family, static_costs
from dfs_hw.headroom.judging import Judge

AMOUNTS = 33
"""Amounts of cost at which curves are given, evenly from the cheapest static network to the
dearest that is worth its cost."""
ASSIGNMENTS = 64
"""Assignments that an oracle may choose from, by default: as many passes over the inputs."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Gain:
    """Accuracy above the best static assignments' at the same cost, 0 to 1, mean over networks."""

    mean: float
    low: float
    """Lower end of the 95 % interval: bootstrap over the test inputs, paired, networks fixed."""
    high: float


@dataclass(frozen=True)
class AtCost:
    """Mean accuracies, 0 to 1, where an input costs so much on average."""

    amount: float
    """Cost of an input in the network without gates, in J, s or BitOps."""
    static: float
    """Accuracy of the best static assignments, by validation inputs."""
    oracle: float
    """Accuracy of an oracle that sees the label and chooses by all other networks."""
    limit: float
    """Accuracy expected of one that chooses by infinitely many."""
    lottery: float
    """Accuracy of one that chooses by the network itself, and so by luck, too."""
    shown: Gain
    """What the oracle gains."""
    headroom: Gain
    """What it would gain in the limit."""


@dataclass(frozen=True)
class Choosers:
    """What comes of so many networks choosing for another one, at the budget."""

    number: int
    repeats: float
    """Share of what an assignment changes for an input, beside what it changes for all, that
    repeats in the network judged."""
    shown: Gain


@dataclass(frozen=True)
class Headroom:
    """What reading the input is worth in a family of assignments."""

    metric: str
    seeds: tuple[int, ...]
    inputs: int
    """Test inputs."""
    assignments: tuple[tuple[str, ...], ...]
    """Choices of the units in each member of the family."""
    costs: tuple[float, ...]
    """Cost of one input at each, without gates."""
    alone: tuple[float, ...]
    """Test accuracy at each for all inputs, mean over networks."""
    points: tuple[AtCost, ...]
    """Curves, the cheapest point first."""
    at_budget: AtCost
    choosers: tuple[Choosers, ...]
    """Results by number of choosers; the last one's gain is that shown by `at_budget`."""

    @property
    def sentence(self) -> str:
        """What no gate can be expected to win: what is shown, where the estimate is below it."""
        point, metric = self.at_budget, METRICS[self.metric]
        gain = max(point.headroom, point.shown, key=lambda one: one.mean)
        return (
            f"At {metric.text(point.amount)} no gate can be expected to earn more than "
            f"{100 * gain.mean:.1f} points here (95 % interval {100 * gain.low:.1f} to "
            f"{100 * gain.high:.1f}, {self.inputs} inputs): the best static assignment is right in "
            f"{point.static:.1%}; an oracle that sees the label, and what every width does to the "
            f"input in {_others(len(self.seeds) - 1)}, in {point.oracle:.1%}; by ever more "
            f"networks, an estimated {point.limit:.1%}. One that may go by luck, too, reaches "
            f"{point.lottery:.1%}."
        )


def headroom_of(
    judges: Sequence[Judge],
    budget: float,
    *,
    most: int = ASSIGNMENTS,
    resamples: int = RESAMPLES,
    progress: bool = False,
) -> Headroom:
    """Ask networks that differ in their seeds alone, and hold oracles against static networks.

    Args:
        judges: at least two networks of one kind, with the same test inputs.
        budget: mean cost of an input that the sentence is about, in SI units of the setups' metric.
        most: assignments that oracles choose from, at most.
        resamples: samples of the inputs that intervals come from.
        progress: show bars.

    Raises:
        InputError: if there are fewer than two judges, or their test inputs differ.
    """
    if len(judges) < 2 or len({judge.inputs for judge in judges}) > 1:
        raise InputError(
            "headroom takes two networks or more that are judged on the same test inputs: one "
            "network's luck is no headroom"
        )
    table, metric = judges[0].setup.table, judges[0].setup.cost.metric
    members = _members(judges, most, progress)
    costs = static_costs(table, members, metric)
    judged = [_judged(judge, members, progress) for judge in judges]
    amounts = np.append(_range(judged, costs), budget)
    found = curves(judged, costs, amounts, resamples=resamples)
    points = _points(found, amounts)
    return Headroom(
        metric,
        tuple(judge.setup.seed for judge in judges),
        len(judged[0].right),
        tuple(tuple(str(table.choices[one]) for one in member) for member in members),
        tuple(costs.tolist()),
        tuple(np.mean([one.right.mean(axis=0) for one in judged], axis=0).tolist()),
        points[:-1],
        points[-1],
        tuple(
            Choosers(number, repeats, _gains(chosen, found.static)[-1])
            for number, (repeats, chosen) in enumerate(
                zip(found.repeats, found.chosen, strict=True), start=1
            )
        ),
    )


def _members(judges: Sequence[Judge], most: int, progress: bool) -> tuple[Choices, ...]:
    """The family that all networks are asked for, found by their mean risk."""
    setup, offered = judges[0].setup, judges[0].network.offered.cpu().numpy()
    with tqdm(desc="validation", total=most, disable=not progress) as bar:

        @cache
        def risk(choices: Choices) -> float:
            bar.update()
            return fmean(judge.risk(choices) for judge in judges)

        return family(setup.table, offered, setup.cost.metric, most, risk)


def _judged(judge: Judge, members: Sequence[Choices], progress: bool) -> Judged:
    name = f"judged, seed {judge.setup.seed}"
    seen = [judge.ask("test", one) for one in tqdm(members, desc=name, disable=not progress)]
    return Judged(
        np.array([judge.risk(member) for member in members]),
        np.stack([one.risk.numpy() for one in seen], axis=1).astype(np.float32),
        np.stack([one.right.numpy() for one in seen], axis=1),
    )


def _range(judged: Sequence[Judged], costs: np.ndarray) -> np.ndarray:
    """Amounts from the cheapest assignment to the dearest of least risk."""
    return np.linspace(costs.min(), max(costs[one.validation.argmin()] for one in judged), AMOUNTS)


def _points(found: Curves, amounts: np.ndarray) -> tuple[AtCost, ...]:
    oracle = found.chosen[-1]
    samples = (found.static, oracle, found.limit, found.lottery)
    columns = [amounts.tolist(), *(sample[0].tolist() for sample in samples)]
    shown, headroom = (_gains(one, found.static) for one in (oracle, found.limit))
    return tuple(map(AtCost, *columns, shown, headroom))


def _gains(oracle: np.ndarray, static: np.ndarray) -> list[Gain]:
    """Differences of accuracies [R, G]: the first row is the inputs themselves."""
    difference = oracle - static
    return list(map(Gain, difference[0].tolist(), *(end.tolist() for end in interval(difference))))


def _others(number: int) -> str:
    return "another network" if number == 1 else f"{number} other networks"
