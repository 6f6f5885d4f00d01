"""Who takes part in a comparison, and what cannot be compared."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from comparing import CONFIG, STUDY

from accel_models import InputError, Precision
from dfs_hw.baselines.contenders import line_up
from dfs_hw.baselines.setups import same_trunk
from dfs_hw.baselines.smaller import usual_sizes
from dfs_hw.baselines.study import Study
from dfs_hw.cli import main
from dfs_hw.cli.app import app
from dfs_hw.networks.build import NETWORKS, register_network
from dfs_hw.networks.cifar_resnet import BasicBlock, CifarResNet
from dfs_hw.training.setup import TrainingSetup

LEAVING = replace(CONFIG, choices="2,8,exit", gate="confidence")


@pytest.mark.slow
def test_dfq_takes_what_the_machine_supports_and_says_so() -> None:
    study = Study(CONFIG, (0,), ("dfq",), dfq_choices="4/3,4,4/20")
    (dfq,) = line_up(study).contenders
    assert dfq.config.choices == "4/3,4"
    assert "(4/3,4)" in dfq.title
    with pytest.raises(InputError, match="bitfusion runs fewer than two of 4,20"):
        line_up(replace(study, dfq_choices="4,20"))


@pytest.mark.slow
def test_who_cannot_reach_the_budget_is_trained_for_the_middle_of_what_it_can() -> None:
    study = Study(CONFIG, (0,), ("dfq",), dfq_choices="4/3,4")
    field = line_up(study)
    (dfq,) = field.contenders
    setup = TrainingSetup.of(dfq.config, progress=False)
    middle = (setup.cost.floor + setup.cost.ceiling) / 2
    assert setup.budget.fraction == pytest.approx(middle, rel=1e-5)
    spent = setup.budget.fraction * setup.cost.reference
    assert dfq.target == pytest.approx(spent / field.budget, rel=1e-5)
    assert f"for {dfq.target:.2f} x budget" in dfq.title


def test_who_leaves_early_may_reach_a_budget_that_no_width_does() -> None:
    config = replace(CONFIG, choices="8", budget="0.8")
    field = line_up(Study(config, (0,), ("static", "static-exits")))
    whole, early = field.contenders
    assert (whole.title, whole.target) == ("static, 8 bit", 1)
    assert TrainingSetup.of(early.config, progress=False).budget.text == early.config.budget
    with pytest.raises(InputError, match=r"budget '0.8' is .* can be reached"):
        line_up(Study(config, (0,), ("static",)))
    (elsewhere,) = line_up(Study(config, (0,), ("static",)), elsewhere=True).contenders
    assert elsewhere == whole
    with pytest.raises(InputError, match=r"left out: static-8-exits: its first exit costs [1-9]"):
        line_up(Study(replace(config, budget="0.1"), (0,), ("static", "static-exits")))
    for budget in ("0", "1e-9", "1e300"):
        with pytest.raises(InputError, match="can be reached"):
            line_up(Study(replace(config, budget=budget), (0,), ("static", "static-exits")))


def test_smaller_networks_that_are_left_early_are_the_static_ones_with_exits() -> None:
    config = replace(CONFIG, network="resnet14")
    asked = ("static", "smaller", "static-exits", "smaller-exits")
    field = line_up(Study(config, (0,), asked, smaller=("resnet8",)))
    found = {one.name: one for one in field.contenders}
    for width in ("2", "8"):
        whole, early = (found[f"resnet8-static-{width}{end}"] for end in ("", "-exits"))
        assert early.adaptive
        assert (early.choice, early.config.network) == (whole.choice, "resnet8")
        assert same_trunk(whole.config, early.config)
    # One whose inputs all stay may cost less than the budget: it is set to what it can reach.
    narrow = found["resnet8-static-2-exits"]
    setup = TrainingSetup.of(narrow.config, progress=False)
    network, narrowest = setup.start, Precision.parse("2")
    dearest = setup.cost.of_choices(network.uniform(narrowest)[None]).item()
    assert narrow.target == 1 or setup.budget.fraction < dearest
    with pytest.raises(InputError, match="contender 'smaller' with exits: it has to take part"):
        Study(config, (0,), ("static", "smaller-exits"))


def test_who_differs_from_nobody_and_points_out_of_reach_are_left_out_by_name() -> None:
    config = replace(CONFIG, choices="skip,8")
    study = Study(config, (0,), ("dfs", "skipnet", "knob"), points=(0.1,))
    field = line_up(study)
    assert [one.name for one in field.contenders] == ["dfs", "knob"]
    assert field.left_out.keys() == {"skipnet", "dfs-x0.1"}
    assert "those of DFS" in field.left_out["skipnet"]
    assert "can be reached" in field.left_out["dfs-x0.1"]


def test_gates_that_are_taught_differ_from_those_of_dfs_in_that_alone() -> None:
    config = replace(CONFIG, shaping=0.3)
    field = line_up(Study(config, (0,), ("dfs", "supervised", "shaped"), points=()))
    dfs, supervised, shaped = (one.config for one in field.contenders)
    assert (dfs.supervised, dfs.shaping) == (0, 0)
    assert supervised == replace(dfs, supervised=supervised.supervised)
    assert supervised.supervised > 0
    assert shaped == replace(dfs, shaping=0.3)
    with pytest.raises(InputError, match="shaping of a comparison has no effect"):
        Study(config, (0,), ("dfs", "supervised"))


def test_smaller_networks_are_those_of_fewer_blocks_and_of_fewer_channels() -> None:
    study = Study(replace(CONFIG, network="resnet14", widths=(4, 6, 9)), (0,), ("smaller",))
    assert study.sizes == ("resnet8", "x0.75", "x0.5")
    field = line_up(study)
    found = {one.name: (one.config.network, one.config.widths) for one in field.contenders}
    assert found == {
        f"{name}-static-{width}": size
        for name, size in (
            ("resnet8", ("resnet8", (4, 6, 9))),
            ("x0.75", ("resnet14", (3, 4, 7))),
            ("x0.5", ("resnet14", (2, 3, 4))),
        )
        for width in (2, 8)
    }
    assert {one.choice for one in field.contenders} == {"2", "8"}
    assert not any(one.adaptive for one in field.contenders)
    assert usual_sizes("resnet32") == ("resnet20", "resnet14", "resnet8", "x0.75", "x0.5")


@pytest.mark.parametrize(
    ("smaller", "said"),
    [
        (("resnet14",), "'resnet14' costs no less than resnet8"),
        (("resnet8",), "another one than resnet8"),
        (("x1.5",), "below 1 such as x0.5, got 'x1.5'"),
        (("x0",), "below 1 such as x0.5, got 'x0'"),
        (("resnet9",), "no network is called 'resnet9'"),
    ],
)
def test_smaller_networks_that_were_asked_for_are_smaller(
    smaller: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        line_up(Study(CONFIG, (0,), ("static", "smaller"), smaller=smaller))


def test_nobody_knows_what_is_smaller_than_a_network_of_ones_own() -> None:
    register_network("own", lambda *shape: CifarResNet(8, *shape), BasicBlock)
    try:
        own = replace(CONFIG, network="own")
        field = line_up(Study(own, (0,), ("static", "smaller", "dfs")))
        assert field.left_out["smaller"].startswith("none is known for own: name some")
        named = line_up(Study(own, (0,), ("smaller",), smaller=("x0.5",)))
        assert [one.name for one in named.contenders] == ["x0.5-static-2", "x0.5-static-8"]
    finally:
        del NETWORKS["own"]


def test_a_cascade_takes_two_static_networks() -> None:
    field = line_up(Study(CONFIG, (0,), ("cascade", "best-static")))
    assert [one.name for one in field.contenders] == ["best-static"]
    assert field.left_out == {"cascade": "it takes two static networks to make one"}


def test_choices_of_dfq_that_were_asked_for_are_not_left_out() -> None:
    config = replace(CONFIG, accelerator="tpu-int8", choices="skip,8")
    usual = Study(config, (0,), ("dfs", "dfq"))
    own = replace(usual, dfq_choices="16,32")
    with pytest.raises(InputError, match=r"tpu-int8 runs fewer than two of 16,32"):
        line_up(own)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": ()}, "different, and at least one"),
        ({"seeds": (1, 1)}, "seeds of a comparison must be different"),
        ({"families": ("haq",)}, "no contender is called 'haq'.*dfs"),
        ({"families": ("dfs", "dfs")}, "contenders of a comparison must be .* none twice"),
        *(({"points": points}, "above 0 and finite") for points in ((0.0,), (-1.0,), (math.inf,))),
        *(({"points": points}, "different multiples") for points in ((math.nan,), (0.5, 0.5))),
        ({"points": (0.5, 0.50000001)}, "different multiples"),
        ({"config": replace(LEAVING, floor=0.9)}, "floor has no effect in a comparison"),
        ({"config": replace(LEAVING, exits_on="supernet")}, "exits_on has no effect in a comp"),
        ({"grid": (0.5, 0.5)}, "grid of a comparison must be different multiples"),
        ({"grid": (math.inf,)}, "grid of a comparison must be different multiples"),
        ({"smaller": ("x0.5", "x0.5")}, "smaller of a comparison must be different"),
        (
            {"families": ("dfs", "knob"), "smaller": ("x0.5",)},
            "smaller .* no effect without the contender 'smaller'",
        ),
        ({"prices": (1.5,)}, "between 0 and 1"),
        ({"prices": (0.5, 0.5)}, "different, between 0 and 1"),
        ({"families": ("dfs", "dfq"), "dfq_choices": "9999"}, "choices of DFQ: .*1 to 32 bits"),
        ({"families": ("dfs", "dfq"), "dfq_choices": "4/4"}, "at least two"),
        ({"families": ("dfs", "dfq"), "dfq_choices": "4/4,many"}, "'many' is not a precision"),
        ({"dfq_choices": "4/2,4/4"}, "no effect without the contender 'dfq'"),
        ({"config": replace(CONFIG, gate="feedforward")}, "gate has no effect .* got feedforward"),
        ({"config": replace(CONFIG, knob=True)}, "knob has no effect in a comparison"),
        ({"families": ("dfs",), "points": (0.5,)}, "no effect without the contender 'knob'"),
        ({"families": ("dfs",)}, r"prices.*\(0\.0, 0\.5, 1\.0\).* without the contender 'knob'"),
        ({"shuffles": 0}, "at least 1"),
        ({"config": replace(CONFIG, metric="edp")}, "energy, latency or bitops .* not in edp"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(STUDY, **change)


def test_the_command_asks_for_what_a_study_does_by_default() -> None:
    (command,) = (c for c in app.registered_commands if c.callback.__name__ == "compare")  # type: ignore[union-attr]
    options = {
        p.name: p.default
        for p in typer.main.get_command_from_info(
            command, pretty_exceptions_short=False, rich_markup_mode=None
        ).params
    }
    usual = Study(CONFIG, (0, 1, 2))
    assert options["contenders"].split(",") == list(usual.families)
    assert options["dfq"] == usual.dfq_choices
    assert tuple(map(float, options["points"].split(","))) == usual.points
    assert tuple(map(float, options["grid"].split(","))) == usual.grid
    assert options["smaller"] is usual.smaller is None
    assert tuple(map(float, options["prices"].split(","))) == usual.prices
    assert options["shuffles"] == usual.shuffles


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "0,x"), "--seeds takes numbers with commas between them, got '0,x'"),
        (("--contenders", "haq"), "no contender is called 'haq'"),
        (("--dfq", "9999"), "choices of DFQ: a precision is 1 to 32 bits"),
        (("--points", "inf"), "points of a comparison must be different multiples of the budget"),
        (("--metric", "paper"), "not in paper"),
    ],
)
def test_the_command_refuses_with_a_sentence(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dfs-hw", "compare", *words, "--out", str(tmp_path / "o")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
