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
    """A sentence on a contender that beats static networks: where, of how many budgets that were
    tried, and by how much."""

    def least(verdict: Verdict) -> float:
        assert verdict.against_static is not None  # or it would not have earned its keep
        return verdict.against_static.points.low

    best = max(points, key=least)
    assert best.against_static is not None
    gain, low, high = _hundred(best.against_static.points)
    budgets = ", ".join(f"{one.target:g}" for one in points)
    held = best.robustness
    drawn = ""
    if held is not None:
        drawn = f", and in {held.earned} of {held.draws} draws of the constants from their ranges"
    return (
        f"{_sentence_case(title)} beats the best static network at equal cost, at {budgets} x "
        f"budget (of {tried} tried): by {gain:.2f} points ({low:.2f} to {high:.2f}) at "
        f"{best.target:g}{drawn}."
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


def robust(found: Robustness | None) -> str:
    """What becomes of a verdict when constants are drawn from their ranges; "" if it is not
    known."""
    if found is None:
        return ""
    parts = []
    if found.points is not None:
        low, high = (100 * end for end in found.points)
        parts.append(
            f"it earns its keep in {found.earned} and is ahead in {found.ahead}, by {low:.2f} to "
            f"{high:.2f} points over the best static network that costs no more there"
        )
    if found.alone:
        parts.append(f"in {found.alone} nothing static costs as little")
    if found.spared is not None:
        most, least = (1 - end for end in found.spared)
        parts.append(f"it spends {least:.0%} to {most:.0%} of the cheapest that is as accurate")
    return f"Of {found.draws} draws of the constants from their ranges: {'; '.join(parts)}."


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
