"""One spelling for one meaning, in every command."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from places import ROOT

from dfs_hw.cli import app
from dfs_hw.cli.loading import training_config

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
FILES = sorted((ROOT / "dfs_hw" / "cli").glob("*.py"))


def shown(command: str) -> dict[str, str]:
    """Help by option, of those that a person sees."""
    return {
        word: param.help
        for param in COMMANDS[command].params
        for word in param.opts
        if not getattr(param, "hidden", False)
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_machine_is_asked_for_by_either_word_or_by_none(command: str) -> None:
    assert ("--accelerator" in shown(command)) == ("--machine" in shown(command))


def test_settings_of_training_and_of_machines_have_words_of_their_own() -> None:
    for word in ("--set", "--machine-set"):
        assert len({shown(command).get(word, "") for command in COMMANDS} - {""}) == 1
    trains = {command for command in COMMANDS if "--set" in shown(command)}
    assert trains == {"demo", "train", "compare", "headroom"}
    runs = {command for command in COMMANDS if "--machine-set" in shown(command)}
    assert runs == {"simulate", "replay", "report", "timeline", "accuracy"}


@pytest.mark.parametrize("command", ["replay", "timeline", "cross", "explore"])
def test_traces_are_arguments(command: str) -> None:
    takers = [param for param in COMMANDS[command].params if param.name in ("trace", "traces")]
    assert [param.param_type_name for param in takers] == ["argument"]
    assert "--trace" not in shown(command)


def test_no_command_imports_the_private_names_of_another() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not [alias.name for alias in node.names if alias.name.startswith("_")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ("temperature=0.5",),
            "no effect with estimator=straight-through: it goes with",
        ),
        (("top_price=2",), "top_price has no effect with knob=false: it goes with knob=true"),
        (("knob=true", "beta=2"), "beta has no effect with knob=true: it goes with knob=false"),
        (("knob=true", "controller=pi"), "controller has no effect with knob=true"),
    ],
)
def test_a_setting_that_would_have_no_effect_is_refused(
    settings: tuple[str, ...], said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    for command in ("train", "demo"):
        assert said in refused(command, *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_of_several_networks_may_be_of_some_of_them() -> None:
    with_knob = training_config("digits", "modern", None, ["top_price=2", "beta=2"], several=True)
    assert (with_knob.top_price, with_knob.beta) == (2, 2)
    drawn = training_config("digits", "modern", None, ["temperature=2", "estimator=gumbel"])
    assert drawn.temperature == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "--set", "joint_lr=0,1"), "'0,1' is no value for joint_lr, which is a number"),
        (("train", "--epochs", "1,5"), "got '1,5'"),
        (("codesign", "a", "b", "--floor", "0,5"), "got '0,5'"),
    ],
)
def test_a_decimal_comma_is_called_that(
    refused: Callable[..., str], words: tuple[str, ...], said: str
) -> None:
    assert f"{said} (numbers have a decimal point, no comma)" in refused(*words)
