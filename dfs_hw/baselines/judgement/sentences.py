"""Verdicts in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from dfs_hw.baselines.judgement.resampling import Interval
from dfs_hw.baselines.judgement.robustness import Robustness
from dfs_hw.baselines.judgement.verdicts import Saving, Verdict
from dfs_hw.baselines.records import MET, ROUNDING

Titles = Mapping[str, str]
"""Names that tables show, by names of contenders."""
_HEADS = {
    True: "{} earned its keep",
    False: "{} did NOT earn its keep",
    None: "Whether {} earned its keep cannot be told",
}


def lead(verdicts: Iterable[Verdict], titles: Titles) -> str:
    """What all verdicts come to: who beats the static networks, at which budgets, by how much."""
    found = list(verdicts)
    earned: dict[str, list[Verdict]] = {}
    for verdict in found:
        if verdict.earned:
            earned.setdefault(verdict.contender, []).append(verdict)
    if not earned:
        return _nobody(found, titles)
    tried = Counter(one.contender for one in found)
    return " ".join(_gain(titles[name], points, tried[name]) for name, points in earned.items())


def _nobody(found: list[Verdict], titles: Titles) -> str:
    """What is said where nobody has earned anything: of one seed, who may have."""
    unsure = sum(one.earned is None for one in found)
    if not unsure:
        return "No network that decides per input beats the best static one at equal cost."
    ahead = dict.fromkeys(one.contender for one in found if _is_ahead(one))
    if ahead and all(len(one.against_shuffled.points.by_seed) == 1 for one in found):
        each = (
            _lead_over_inputs(titles[name], [one for one in found if one.contender == name])
            for name in ahead
        )
        return (
            f"One seed says nothing of other trainings: nothing is called earned. {' '.join(each)}"
        )
    some = "all" if unsure == len(found) else f"{unsure} of {len(found)}"
    return (
        "No network that decides per input is shown to beat the best static one at equal cost; for "
        f"{some} it cannot be told."
    )


def _is_ahead(verdict: Verdict) -> bool:
    """Whether it is more accurate than the best static network and than itself shuffled, by more
    than chance in inputs."""
    fixed = verdict.against_static
    return fixed is not None and fixed.points.side > 0 and verdict.against_shuffled.points.side > 0


def _lead_over_inputs(title: str, points: list[Verdict]) -> str:
    """A sentence on a contender of one seed: at how many budgets it is ahead, by how much."""
    ahead = [one.against_static.points for one in points if one.against_static and _is_ahead(one)]
    least, most = (f"{100 * end(one.mean for one in ahead):.2f}" for end in (min, max))
    by = most if least == most else f"{least} to {most}"
    return (
        f"Over inputs, {title} is ahead of the best static network at equal cost at {len(ahead)} "
        f"of {len(points)} budgets, by {by} points."
    )


def _gain(title: str, points: list[Verdict], tried: int) -> str:
    """A sentence on a contender that beats static networks: at which of the budgets that were
    tried, by how much, and at how many draws of the constants."""
    each = []
    for verdict in points:
        assert verdict.against_static is not None  # or it would not have earned its keep
        gain, low, high = _hundred(verdict.against_static.points)
        held = verdict.robustness
        drawn = "" if held is None else f"; in {held.earned} of {held.draws} draws of the constants"
        each.append(
            f"at {verdict.target:g} x budget by {gain:.2f} points ({low:.2f} to {high:.2f}{drawn})"
        )
    return (
        f"{_sentence_case(title)} beats the best static network at equal cost at {len(points)} of "
        f"{tried} budgets: {', '.join(each)}."
    )


def sentence(verdict: Verdict, titles: Titles) -> str:
    """The verdict on one contender at one budget."""
    title, fixed = titles[verdict.contender], verdict.against_static
    head = _sentence_case(_HEADS[verdict.earned].format(title))
    if fixed is None:
        return f"{head}: no static network of this comparison costs as little."
    shuffled = verdict.against_shuffled.points
    seeds = len(shuffled.by_seed)
    said = (
        f"{head}: at {verdict.share:.0%} of the budget it is {_than(fixed.points)} the best "
        f"static network ({titles[fixed.than]}), and {_than(shuffled)} itself with its decisions "
        f"shuffled ({seeds} seed{'s' if seeds > 1 else ''}, 95 % intervals)."
    )
    said += _spared(verdict.saving, titles)
    if verdict.share / verdict.target > 1 + MET:
        said += " It spends more than it was to, and is held against what is static at that."
    if seeds == 1:
        return said + " One seed says nothing of chance in training."
    both = (("the best static network", fixed.points), ("shuffled decisions", shuffled))
    unsure = [name for name, points in both if points.side == 0]
    if not unsure:
        return said
    return f"{said} The difference to {' and to '.join(unsure)} may be chance."


def _spared(saving: Saving | None, titles: Titles) -> str:
    if saving is None:
        return " No static network is as accurate on the validation split."
    share, low, high = _hundred(saving.share)
    amount = f"{share:.0f} % less ({low:.0f} to {high:.0f})"
    if share < 0:
        amount = f"{-share:.0f} % more ({-high:.0f} to {-low:.0f})"
    return (
        f" It spends {amount} than the cheapest static network that is as accurate "
        f"({titles[saving.than]})."
    )


def robust(found: Robustness | None, titles: Titles) -> str:
    """What becomes of a verdict when constants are drawn from their ranges; "" if it is not
    known."""
    if found is None:
        return ""
    rivals = [
        f"in {one.draws} the best static network within its budget is {titles[one.than]} "
        f"({_difference(one.points)})"
        for one in found.rivals
    ]
    if found.alone:
        rivals.append(f"in {found.alone} no static network costs as little")
    said = f"Of {found.draws} draws of the constants from their ranges, {', '.join(rivals)}."
    if found.spared is None:
        return said
    most, least = (1 - end for end in found.spared)
    return f"{said} It spends {least:.0%} to {most:.0%} of the cheapest as accurate there."


def nominal(not_drawn: Iterable[str]) -> str:
    """Which constants stay as they are at all draws; "" if none does."""
    names = ", ".join(not_drawn)
    return f" At their nominal value, as they are no mere prices here: {names}." if names else ""


def _difference(points: Interval) -> str:
    """A difference of accuracies with its interval, such as +1.20 points, 0.31 to 2.09."""
    mean, low, high = (round(end, 2) + 0.0 for end in _hundred(points))  # no -0
    return f"{mean:+.2f} points, {low:.2f} to {high:.2f}"


def _than(points: Interval) -> str:
    """A difference in words, such as 1.20 points (0.31 to 2.09) more accurate than."""
    mean, low, high = _hundred(points)
    if points.mean < -ROUNDING:
        return f"{-mean:.2f} points ({-high:.2f} to {-low:.2f}) less accurate than"
    return f"{mean:.2f} points ({low:.2f} to {high:.2f}) more accurate than"


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]


def _hundred(interval: Interval) -> tuple[float, float, float]:
    """Mean and ends in hundredths."""
    return 100 * interval.mean, 100 * interval.low, 100 * interval.high
