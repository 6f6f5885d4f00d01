"""Recipes known to work, and settings as people write them on a command line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from accel_models.errors import InputError, decimal_comma
from dfs_hw.training.config import KINDS, TrainConfig

RECIPES: dict[str, dict[str, Any]] = {
    "digits": {},
    "cifar10": {
        "network": "resnet20",
        "backbone_epochs": 100,
        "supernet_epochs": 40,
        "joint_epochs": 20,
        "exit_epochs": 5,
        "batch": 128,
        "weight_decay": 1e-4,
    },
}
"""What differs from the defaults of `TrainConfig`, by data set; others are taken for photographs
like those of CIFAR-10."""

PAPER_RECIPE: dict[str, Any] = {
    "network": "resnet38",
    "choices": "skip,8,10,12,14,16,full",
    "metric": "paper",
    "quantizer": "minmax",
    "backbone_steps": 64_000,
    "supernet_epochs": 0,
    "gate_steps": 2_000,
    "joint_steps": 64_000,
    "epoch_steps": (500, 390, 390),
    "backbone_lr": 0.1,
    "gate_lr": 0.01,
    "joint_lr": 0.01,
    "schedule": "step",
    "nesterov": False,
    "weight_decay": 1e-4,
    "decay_all": True,
    "batch": 128,
    "controller": "paper",
    "beta": 1e-5,
    "norm": "batch",
    "feasibility": False,
}
"""DFS as its released code and README train it. Full precision, which the gates compute in too, is
floating point; the code's faults come on top with ``faults=("all",)``."""

EXITS_RECIPE: dict[str, Any] = {
    "choices": "2,4,8,exit",
    "gate": "confidence",
    "budget": "0.25",
}
"""What differs where inputs leave static networks early: half the budget of the others, which it
has a use for."""

STYLES = ("modern", "exits", "paper")


def recipe(data: str = "digits", style: str = "modern", **changes: Any) -> TrainConfig:
    """Settings that suit a data set, with some of them changed.

    Args:
        data: see `load_dataset`.
        style: ``modern``, DFS by what worked best here; ``exits``, static networks that inputs
            leave early, which did better on the digits; or ``paper``, DFS to the constant.
        changes: settings by name.

    Raises:
        InputError: if there is no such style or setting, or a setting makes no sense.
    """
    if style not in STYLES:
        known = ", ".join(STYLES)
        raise InputError(f"no style of training is called '{style}': choose from {known}")
    settings = PAPER_RECIPE if style == "paper" else RECIPES.get(data, RECIPES["cifar10"])
    if style == "exits":
        settings = {**settings, **EXITS_RECIPE}
    return TrainConfig.from_dict({"data": data, **settings, **changes})


def read_setting(text: str) -> tuple[str, Any]:
    """Name and value of a setting written as ``joint_lr=0.01``; several values by commas.

    Raises:
        InputError: if there is no such setting, or the value is not of its kind.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    kinds = {field.name: type(field.default) for field in fields(TrainConfig)}
    if not equals or name not in kinds:
        raise InputError(
            f"'{text}' sets nothing: write NAME=VALUE, the name one of {', '.join(kinds)}"
        )
    try:
        return name, _READ[kinds[name]](value)
    except (KeyError, ValueError) as error:
        kind = KINDS[kinds[name]] + (decimal_comma(value) if kinds[name] in (int, float) else "")
        raise InputError(f"'{value}' is no value for {name}, {kind}") from error


def _words(text: str) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(int(part) if part.isdecimal() else part for part in parts)


_READ: dict[type, Any] = {
    bool: lambda word: {"yes": True, "true": True, "no": False, "false": False}[word.lower()],
    int: int,
    float: float,
    str: str,
    tuple: _words,
}
