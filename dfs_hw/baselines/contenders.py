"""Who takes part in a comparison: settings, and who cannot take part for which reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.cost_table import cost_table
from accel_models.errors import InfeasibleError, InputError
from accel_models.precision import EXIT, Precision, highest, parse_choices
from accel_models.workloads.workload import Workload
from dfs_hw.baselines.setups import ContenderSetups
from dfs_hw.baselines.smaller import Size
from dfs_hw.baselines.study import COMPOSED, STATIC, TAUGHT_BY, Study
from dfs_hw.budgets.budget import Budget, unit_of
from dfs_hw.budgets.hardware_cost import RelativeCost
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.stages.exits import left_at

AT_BUDGET = 1.0


@dataclass(frozen=True)
class Contender:
    """One network to train, for each seed anew, or something made of several."""

    name: str
    """Name of the contender, and of its folder."""
    family: str
    """Kind of contender, one of `CONTENDER_FAMILIES`."""
    title: str
    """Name that tables show."""
    config: TrainConfig
    """Settings, whose seed does not count. The budget is an amount, since shares of the highest
    precisions of different choice sets are no match."""
    choice: str = ""
    """Choice of every block for all inputs that reach it, for a network of one width; empty for
    others."""
    target: float = AT_BUDGET
    """What it is trained for, over the study's budget."""

    @property
    def adaptive(self) -> bool:
        """Whether it decides per input."""
        return self.family not in STATIC

    @property
    def trained(self) -> bool:
        """Whether it is a network of its own."""
        return self.family not in COMPOSED


@dataclass(frozen=True)
class LineUp:
    """All contenders of a study."""

    contenders: tuple[Contender, ...]
    """Networks that take part, in the order of tables."""
    left_out: dict[str, str]
    """Why some that were asked for cannot take part, by name."""
    budget: float
    """Cost allowed for one input, in the metric's SI unit."""
    difficulty: str
    """What says how hard an input is."""
    statistic: str = "mean"
    """Figure of the inputs' costs that the budget limits."""


def line_up(
    study: Study, setups: ContenderSetups | None = None, *, elsewhere: bool = False
) -> LineUp:
    """Settle who takes part; nobody is trained.

    An adaptive network whose choices cannot reach the budget is trained for the middle of what they
    can reach.

    Args:
        setups: where data and networks are looked for; by default they are loaded and built.
        elsewhere: whether everybody is trained for another machine, so that nobody has to reach
            the budget on this one.

    Raises:
        InputError: if the study's own settings cannot be used, choices of DFQ among them that are
            not the usual ones, nobody can reach the budget, or nobody is left.
        InfeasibleError: if the machine cannot run the study's own choices.
    """
    settings = study.config.without_exits()
    untaught: dict[str, Any] = dict.fromkeys(TAUGHT_BY.values(), 0.0)
    first = replace(settings, gate="lstm", knob=False, seed=study.seeds[0], **untaught)
    setups = setups or ContenderSetups()
    drafting = _Drafting(study, first, setups)
    if not 0 < drafting.budget < math.inf:
        setups.of(first)  # which says what can be reached
    contenders: list[Contender] = []
    left_out: dict[str, str] = {}
    reached = elsewhere
    for family in study.families:
        try:
            drafts = drafting.of(family)
        except InputError as error:
            asked = {"dfq": study.dfq_choices != Study.dfq_choices, "smaller": study.smaller}
            if asked.get(family):
                raise
            left_out[family] = str(error)
            continue
        for draft in drafts:
            try:
                setups.of(draft.config)
            except InputError as error:  # the budget is out of the reach of its choices
                if draft.target == AT_BUDGET:
                    contenders.append(drafting.within_reach(draft, setups.cost(draft.config)))
                else:
                    left_out[draft.name] = str(error)
            else:
                contenders.append(draft)
                reached |= draft.target == AT_BUDGET
    left_out |= drafting.left_out
    if contenders and not reached:
        _refuse_unreached(setups, first, left_out)
    if sum(not one.adaptive for one in contenders) < 2:
        for one in [one for one in contenders if not one.trained]:
            contenders.remove(one)
            left_out[one.name] = "it takes two static networks to make one"
    if not contenders:
        raise InputError(f"no contender can take part ({_reasons(left_out)})")
    known = drafting.data.test.severity is not None
    difficulty = "severity of its degradation" if known else "loss at the highest precision"
    return LineUp(tuple(contenders), left_out, drafting.budget, difficulty, drafting.statistic)


def _refuse_unreached(
    setups: ContenderSetups, config: TrainConfig, left_out: Mapping[str, str]
) -> None:
    """Refuse a budget that the study's own choices cannot reach either: says what they can, and who
    might have."""
    try:
        setups.of(config)
    except InputError as error:
        others = f"; left out: {_reasons(left_out)}" if left_out else ""
        raise InputError(f"{error}{others}") from error


def _reasons(left_out: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in left_out.items())


class _Drafting:
    """Contenders of a family, before anybody has looked whether they can reach the budget."""

    def __init__(self, study: Study, config: TrainConfig, setups: ContenderSetups) -> None:
        cost = setups.cost(config)
        budget = Budget.read(config.budget, cost)
        # Whoever leaves early may reach a budget that the study's own choices cannot.
        anything = setups.of(replace(config, budget=repr(cost.ceiling)))
        self.study, self.setups = study, setups
        self.table, self.data = anything.table, anything.splits
        self.left_out: dict[str, str] = {}
        """Why some of a family cannot take part, by name."""
        self.metric, self.statistic = cost.metric, budget.statistic
        self.budget = amount_allowed(budget, cost)
        self.base = replace(config, budget=self._amount(AT_BUDGET))

    def of(self, family: str) -> list[Contender]:
        """Everyone of a family.

        Raises:
            InputError: if nobody differs from the others.
        """
        if family == "static":
            return [self._uniform(choice) for choice in self._widths()]
        if family == "best-static":
            return [Contender(family, family, "static, best per block", self.base)]
        if family == "smaller":
            return self._smaller()
        if family in ("static-exits", "smaller-exits"):
            return self._left_early(family)
        if family == "cascade":
            return [Contender(family, family, "cascade of two static networks", self.base)]
        if family == "dfs":
            beside = self.study.points if "knob" in self.study.families else ()
            return [Contender(family, family, "DFS", self.base), *map(self._point, beside)]
        if family in _GATED:
            title, changes = _GATED[family]
            return [Contender(family, family, title, replace(self.base, **changes))]
        if family in TAUGHT_BY:
            title, usual = _TAUGHT[family]
            name = TAUGHT_BY[family]
            changes = {name: getattr(self.study.config, name) or usual}
            return [Contender(family, family, title, replace(self.base, **changes))]
        if family in _LEAVING:
            title, changes = _LEAVING[family]
            config = replace(self.base, choices=f"{self.base.choices},{EXIT}", **changes)
            return [Contender(family, family, title, config)]
        title, choices = self._choices_of(family)
        if parse_choices(choices) == parse_choices(self.base.choices):
            raise InputError(f"its choices, {choices}, are those of DFS in this comparison")
        config = replace(self.base, choices=choices)
        return [Contender(family, family, f"{title} ({choices})", config)]

    def within_reach(self, draft: Contender, cost: RelativeCost) -> Contender:
        """A contender made of a draft, trained for the middle of what its choices can reach; one of
        one width for all inputs, which no budget changes, stays as it is but for its settings."""
        floor, ceiling = cost.floor, cost.ceiling
        if draft.choice and draft.adaptive:
            floor, ceiling = self._reach(draft)
        target = (floor + ceiling) / 2 * cost.reference / self.budget
        draft = replace(draft, config=replace(draft.config, budget=self._amount(target)))
        if draft.choice and not draft.adaptive:
            return draft
        return replace(draft, title=f"{draft.title} for {target:.2f} x budget", target=target)

    def _uniform(self, choice: Precision, size: Size | None = None) -> Contender:
        """A network at one width: the study's own, or a smaller one."""
        name = f"static-{choice}".replace("/", "by")
        at = "full precision" if choice.full else f"{choice} bit"
        if size is None:
            return Contender(name, "static", f"static, {at}", self.base, choice=str(choice))
        title = f"static, {size.title}, {at}"
        name = f"{size.name}-{name}".replace(":", ".")
        return Contender(name, "smaller", title, size.config, choice=str(choice))

    def _left_early(self, family: str) -> list[Contender]:
        """Networks at one width, as `_uniform` has them, that inputs leave early; without those in
        which even the first exit is beyond the budget."""
        sizes = (None,) if family == "static-exits" else self._fewer()
        leaving: dict[str, Any] = {
            "choices": f"{self.base.choices},{EXIT}",
            "gate": "confidence",
            "budget": self.base.budget,
        }
        found = []
        for whole in (self._uniform(choice, size) for size in sizes for choice in self._widths()):
            early = replace(
                whole,
                name=f"{whole.name}-exits",
                family=family,
                title=f"{whole.title}, with exits",
                config=replace(whole.config, **leaving),
            )
            spent = self._reach(early)[0] * self.setups.cost(early.config).reference
            if spent > self.budget:
                said = f"its first exit costs {spent / self.budget:.2f} x the budget"
                self.left_out[early.name] = said
                continue
            found.append(early)
        return found

    def _reach(self, early: Contender) -> tuple[float, float]:
        """What an input costs that leaves a network of one width at the first exit, and at none;
        over the network's own highest precision."""
        network, cost = self.setups.start(early.config), self.setups.cost(early.config)
        whole = network.uniform(Precision.parse(early.choice))
        ends = torch.stack([left_at(network, whole, 0), whole])
        first, last = cost.of_choices(ends.to(self.setups.device)).tolist()
        return first, last

    def _smaller(self) -> list[Contender]:
        """Every smaller network, at every width."""
        sizes = self._fewer()
        return [self._uniform(choice, size) for size in sizes for choice in self._widths()]

    def _fewer(self) -> list[Size]:
        """Smaller networks that do cost less.

        Raises:
            InputError: if one that was asked for costs as much as the whole network, or nobody
                knows of any.
        """
        network, whole = self.base.network, self.setups.cost(self.base).reference
        asked = self.study.smaller is not None
        if not asked and not self.study.sizes:
            raise InputError(f"none is known for {network}: name some, as resnet8 or x0.5")
        found = []
        for size in (Size.of(name, self.base) for name in self.study.sizes):
            if self.setups.cost(size.config).reference < whole:
                found.append(size)
                continue
            said = f"'{size.name}' costs no less than {network} at the highest precision"
            if asked:
                raise InputError(f"a smaller network must be smaller: {said}")
            self.left_out[size.name] = said
        return found

    def _widths(self) -> list[Precision]:
        """What every block can be at."""
        return [choice for choice in parse_choices(self.base.choices) if choice.runs]

    def _point(self, multiple: float) -> Contender:
        config = replace(self.base, budget=self._amount(multiple))
        title = f"DFS for {multiple:g} x budget"
        return Contender(f"dfs-x{multiple:g}", "dfs", title, config, target=multiple)

    def _choices_of(self, family: str) -> tuple[str, str]:
        """Title and choice set of a contender that differs in nothing else."""
        if family == "skipnet":
            return "SkipNet", f"skip,{highest(self.table.choices)}"
        bare, machine = self.table.workload.without_gates(), self.table.accelerator
        wanted = parse_choices(self.study.dfq_choices)
        runnable = [str(choice) for choice in wanted if _runs(choice, bare, machine)]
        if len(runnable) < 2:
            raise InputError(f"{machine.name} runs fewer than two of {self.study.dfq_choices}")
        return "DFQ", ",".join(runnable)

    def _amount(self, multiple: float) -> str:
        """A multiple of the budget as `Budget.parse` reads it."""
        at = "" if self.statistic == "mean" else f"@{self.statistic}"
        return f"{self.budget * multiple:.6g}{unit_of(self.metric)}{at}"


def amount_allowed(budget: Budget, cost: RelativeCost) -> float:
    """The cost that a study allows for one input, in the metric's SI unit: as many digits as its
    contenders' budgets are written with."""
    return float(f"{budget.fraction * cost.reference:.6g}")


_GATED: dict[str, tuple[str, dict[str, Any]]] = {
    "feedforward": ("feed-forward gates", {"gate": "feedforward"}),
    "upfront": ("up-front gate", {"gate": "upfront"}),
    "error": ("widths by estimated error", {"gate": "error"}),
    "knob": ("DFS with a knob", {"knob": True, "controller": "sign"}),
}

_TAUGHT = {
    "supervised": ("DFS with supervised gates", 0.25),
    "shaped": ("DFS with batch-shaping", 1.0),
}
"""Titles, and amounts where the study's settings name none."""
_LEAVING: dict[str, tuple[str, dict[str, Any]]] = {
    "exits": (
        "exits and widths by confidence",
        {"gate": "confidence", "exits_on": "supernet"},
    ),
    "dfs-exits": ("DFS with exits", {"gate": "lstm"}),
}


def _runs(choice: Precision, workload: Workload, machine: Accelerator) -> bool:
    """Whether a machine can run a network with nothing but this choice."""
    try:
        return not cost_table(workload, machine, (choice,)).infeasible
    except InfeasibleError:
        return False
