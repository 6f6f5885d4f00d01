"""What the page on machines says first, of figures that are known."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from places import ROOT

from accel_models.documents import digest_of
from accel_models.exploration.space import BASE
from dfs_hw.baselines.judgement.resampling import Interval
from dfs_hw.baselines.judgement.verdicts import Difference, Saving, Verdict
from dfs_hw.baselines.writing import markdown_table
from dfs_hw.studies.worth import Sparing, Worth
from dfs_hw.studies.worth_page import draw_worth, summary


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


def test_names_are_shown_as_they_are() -> None:
    rule = "| --- | ---: |"
    rows = [("a|b", "two\nlines")]
    assert markdown_table(("x", "y"), rows) == ["| x | y |", rule, r"| a\|b | two lines |"]
    names = (r"x$\foo$", "bitfusion")
    found = [replace(told(0.3, 0.01, 0.1, 0.0), configuration={BASE: name}) for name in names]
    figure = draw_worth("energy", found)
    figure.savefig(io.BytesIO(), format="png")
    (legend,) = figure.legends
    assert [text.get_text().replace(r"\$", "$") for text in legend.get_texts()] == list(names)


@pytest.mark.slow
def test_the_shipped_digits_say_where_deciding_pays(
    ended: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    space = tmp_path / "two.toml"
    space.write_text('base = ["bitfusion", "tpu-int8"]\n[fields]\n')
    study = ROOT / "results/digits/study.toml"
    status, _, errors = ended("study", "machines", study, space, "--out", tmp_path / "out")
    assert status == 0, errors
    page = (tmp_path / "out/machines.md").read_text()
    space.write_text('base = ["bitfusion", "tpu-int8"]\n[fields]\ndram.gb_per_s = [6, 12]\n')
    status, _, errors = ended("study", "machines", study, space, "--out", tmp_path / "out")
    assert status == 2
    assert "is of a run with other settings (machines was" in errors
    assert page == (tmp_path / "out/machines.md").read_text()
    assert "At the accuracy of the best static network deciding spares" in page
    assert (tmp_path / "out/machines.png").stat().st_size > 10_000
    content = json.loads((tmp_path / "out/machines.json").read_text())
    sealed = content.pop("digest")
    assert digest_of(content) == sealed
    shipped = json.loads((study.parent / "bitfusion" / "compare.json").read_text())
    here = next(one for one in content["machines"] if one["configuration"]["base"] == "bitfusion")
    assert here["budget"] == shipped["budget"]["amount"]
    leads = here["leads"]
    assert leads["accuracy"] in [
        one["accuracy"] for one in shipped["verdicts"] if one["contender"] == leads["contender"]
    ]
