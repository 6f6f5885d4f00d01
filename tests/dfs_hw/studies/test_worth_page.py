"""What the page on machines says first, of figures that are known."""

from dfs_hw.baselines.judgement.resampling import Interval
from dfs_hw.baselines.judgement.verdicts import Difference, Saving, Verdict
from dfs_hw.studies.worth import Sparing, Worth
from dfs_hw.studies.worth_page import summary


def interval(mean: float, reach: float = 0.001) -> Interval:
    return Interval(mean, mean - reach, mean + reach, {0: mean, 1: mean})


def told(
    floor: float, ahead: float, spared: float | None, points: float, earned: bool | None = True
) -> Worth:
    """A machine on which deciding is ahead by so much, and spares so much at an accuracy that is
    apart by so many points."""
    leads = Verdict(
        contender="cascade",
        target=1.0,
        as_trained=False,
        share=1.0,
        accuracy=0.8,
        against_static=Difference("static-8", interval(ahead)),
        against_shuffled=Difference("shuffled", interval(0.05)),
        saving=None,
        earned=earned,
    )
    spares = None
    if spared is not None:
        saving = Saving("static-8", interval(spared), interval(points))
        spares = Sparing("cascade", 1.0, saving)
    return Worth({}, "", budget=1e-5, floor=floor, leads=leads, spares=spares)


def test_the_accuracies_at_which_something_is_spared_are_said() -> None:
    found = [told(0.3, 0.02, 0.1, -0.005), told(0.6, 0.02, 0.2, 0.003), told(0.9, 0.02, 0.3, 0.0)]
    said = summary("energy", found)
    assert "spares 30% of the energy on the machine where it spares most, and 10% where" in said
    assert "what no width saves is 90% of the cost on the one, and 30% on the other" in said
    assert "On test inputs whoever spares is -0.5 to +0.3 points from its rival" in said
    assert "and on 1 of 3 machines less accurate by more than chance." in said
    equal = summary("energy", found[1:])
    assert "less accurate" not in equal


def test_what_is_won_either_way_round_is_held_against_what_no_width_saves() -> None:
    ways = [(0.3, 0.04, 0.1), (0.5, 0.03, 0.2), (0.7, 0.02, None), (0.9, 0.01, 0.3)]
    found = [told(floor, ahead, spared, 0.0) for floor, ahead, spared in ways]
    said = summary("latency", found)
    assert (
        "Rank correlation with what no width saves: +1.00 of what is spared, -1.00 of the points "
        "ahead at equal cost." in said
    )
    assert "On 1 of 4 machines nobody is as accurate." in said
    alike = [told(0.5, 0.01 * number, 0.1, 0.0) for number in range(4)]
    assert "Rank correlation" not in summary("latency", alike)


def test_keep_that_is_earned_is_counted_where_seeds_can_tell() -> None:
    some = [told(0.3, 0.02, 0.1, 0.0), told(0.6, 0.0, 0.1, 0.0, earned=False)]
    assert "at equal cost earned its keep on 1 of 2 machines." in summary("energy", some)
    one_seed = [told(0.3, 0.02, 0.1, 0.0, earned=None)] * 2
    assert "earned" not in summary("energy", one_seed)
