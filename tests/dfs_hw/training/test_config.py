"""Settings of training: what they can be, how they are written down, and the paper's constants."""

import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from accel_models.errors import InputError
from accel_models.precision import highest, parse_choices
from dfs_hw.budgets.controllers import CONTROLLERS
from dfs_hw.budgets.hardware_cost import block_cost
from dfs_hw.gates import ESTIMATORS
from dfs_hw.networks import FAULTS as NETWORK_FAULTS
from dfs_hw.training.config import OPTIONS, TrainConfig
from dfs_hw.training.faults import FAULTS
from dfs_hw.training.recipes import read_setting, recipe


def test_settings_come_back_from_json_as_they_were() -> None:
    for config in (TrainConfig(), recipe("cifar10", "paper", faults=("all",), amp=True)):
        assert TrainConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_names_a_setting_can_have_are_those_that_are_known_elsewhere() -> None:
    assert set(OPTIONS["controller"]) == {*CONTROLLERS, "paper"}
    assert OPTIONS["estimator"] == ESTIMATORS


def test_the_paper_is_followed_to_the_constant() -> None:
    paper = recipe("cifar10", "paper")
    assert (paper.network, paper.gate, paper.quantizer, paper.metric) == (
        "resnet38",
        "lstm",
        "minmax",
        "paper",
    )
    choices = parse_choices(paper.choices)
    assert [block_cost(choice) for choice in choices] == [
        *(0, 1 / 16, 25 / 256, 9 / 64, 49 / 256, 1 / 4, 1)
    ]
    assert highest(choices).full  # and so are the first block and the gates
    assert not paper.first_block
    lengths = [paper.length(stage, pass_steps=351) for stage in ("backbone", "gate", "joint")]
    assert lengths == [(64_000, 500), (2_000, 390), (64_000, 390)]
    assert paper.length("supernet", pass_steps=351).steps == 0
    assert paper.length("static", pass_steps=351) == (64_000, 390)
    assert (paper.backbone_lr, paper.gate_lr, paper.joint_lr) == (0.1, 0.01, 0.01)
    assert (paper.schedule, paper.nesterov, paper.decay_all) == ("step", False, True)
    assert (paper.weight_decay, paper.batch) == (1e-4, 128)
    assert (paper.controller, paper.beta) == ("paper", 1e-5)
    assert (paper.estimator, paper.norm, paper.gate_start) == (
        "straight-through",
        "batch",
        "taught",
    )
    assert (paper.distill, paper.knob, paper.feasibility, paper.amp) == (0, False, False, False)
    assert paper.faults == ()


def test_the_released_code_is_the_paper_with_all_its_faults() -> None:
    released = recipe("cifar10", "paper", faults=("all",))
    assert set(released.faults) == FAULTS.keys() | NETWORK_FAULTS.keys()
    assert released.training_faults == FAULTS.keys()
    assert set(released.design().faults) == NETWORK_FAULTS.keys()
    assert not FAULTS.keys() & NETWORK_FAULTS.keys()
    for sentence in FAULTS.values():
        assert "." not in sentence  # one of each


def test_a_stage_is_counted_in_passes_epochs_or_steps() -> None:
    config = TrainConfig(backbone_epochs=3, joint_epochs=4, joint_steps=90, epoch_steps=(0, 0, 20))
    assert config.length("backbone", 17) == (3 * 17, 17)
    assert config.length("joint", 17) == (90, 20)
    assert replace(config, joint_steps=0).length("joint", 17) == (80, 20)


def test_recipes_take_changes_and_refuse_unknown_ones() -> None:
    assert recipe("cifar10", seed=4).seed == 4
    assert recipe("digits") == TrainConfig()
    assert recipe("folder:flowers") == replace(recipe("cifar10"), data="folder:flowers")
    with pytest.raises(InputError, match=r"'sead'.*seed"):
        recipe("digits", sead=4)
    with pytest.raises(InputError, match=r"'baroque'.*modern, exits, paper"):
        recipe("digits", "baroque")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"joint_epochs": 0}, "joint_epochs must be at least 1"),
        ({"supernet_epochs": -1}, "supernet_epochs must be at least 0"),
        ({"supernet_lr": 0.0}, "supernet_lr must be above 0"),
        ({"backbone_steps": -5}, "backbone_steps must be at least 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"distill": float("nan")}, "distill must be at least 0, got nan"),
        ({"joint_lr": 0.0}, "joint_lr must be above 0"),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295, got 4294967296"),
        ({"widths": (10**8, 16, 16)}, "widths must be 1 to 16384 channels each"),
        ({"epoch_steps": (0, 0, 10**30)}, "epoch_steps must be three numbers"),
        ({"batch": 10**5000}, "batch must be at most 1000000000, got a whole number of 16610 bits"),
        ({"tries": 1e308}, "tries must be at most 1000000000"),
        ({"backbone_lr": float("inf")}, "backbone_lr must be at most 1000000000, got inf"),
        ({"beta": -0.1}, "beta must be above 0"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"top_price": 0.0}, "top_price must be above 0"),
        ({"widths": (16, 32)}, "three numbers of channels"),
        ({"widths": (16, 0, 64)}, "1 to 16384 channels"),
        ({"epoch_steps": (500, 390)}, "epoch_steps must be three"),
        ({"epoch_steps": (500, 390, -1)}, "epoch_steps must be three"),
        ({"controller": "pid"}, "controller must be one of sign, hinge, pi, paper, got 'pid'"),
        ({"estimator": "reinforce"}, "estimator must be one of straight-through, gumbel"),
        ({"schedule": "linear"}, "schedule must be one of cosine, step"),
        ({"norm": "layer"}, "norm must be one of running, batch"),
        ({"gate_start": "cold"}, "gate_start must be one of taught, biased"),
        ({"faults": ("haste",)}, "'haste': choose from all, .*shared-norm.*selects-on-test"),
        ({"knob": True, "controller": "paper"}, "cannot go with knob"),
        ({"batch": 2.5}, "batch is a setting which is a whole number, not 2.5"),
        ({"batch": True}, "batch is a setting which is a whole number, not True"),
        ({"beta": "strong"}, "beta is a setting which is a number, not 'strong'"),
        ({"amp": 1}, "amp is a setting which is true or false, not 1"),
        ({"budget": 0.5}, "budget is a setting which is text, not 0.5"),
        ({"widths": "wide"}, "widths is a setting which is a list, not 'wide'"),
        ({"widths": (16, 32, 64.5)}, "widths is a setting which is a list"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TrainConfig(**change)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("joint_lr=0.01", "joint_lr", 0.01),
        ("joint_lr = 1e-2", "joint_lr", 0.01),
        ("batch=32", "batch", 32),
        ("amp=true", "amp", True),
        ("first_block=no", "first_block", False),
        ("budget=45uJ@p95", "budget", "45uJ@p95"),
        ("widths=4, 8, 8", "widths", (4, 8, 8)),
        ("faults=shared-norm,with-replacement", "faults", ("shared-norm", "with-replacement")),
        ("faults=all", "faults", ("all",)),
        ("faults=", "faults", ()),
    ],
)
def test_a_setting_is_read_as_people_write_it(text: str, name: str, value: Any) -> None:
    assert read_setting(text) == (name, value)
    assert getattr(TrainConfig(**{name: value}), name) is not None


def test_every_setting_can_be_written() -> None:
    for field in fields(TrainConfig):
        value = getattr(TrainConfig(), field.name)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert read_setting(f"{field.name}={text}") == (field.name, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("joint_lr", "sets nothing: write NAME=VALUE"),
        ("speed=9", "one of data, network"),
        ("batch=many", "'many' is no value for batch, which is a whole number"),
        ("amp=maybe", "'maybe' is no value for amp, which is true or false"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_setting(text)


def test_settings_do_without_pytorch() -> None:
    code = "import sys; import dfs_hw.training.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
