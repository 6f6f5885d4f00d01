"""The page of all settings of training, made from their own documentation.

python tests/helpers/settings_page.py
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from itertools import pairwise
from typing import Any

from places import ROOT

from dfs_hw.training.config import TrainConfig
from dfs_hw.training.recipes import EXITS_RECIPE, PAPER_RECIPE, RECIPES

PAGE = ROOT / "docs" / "settings.md"

HEAD = """# Settings of training

All that shapes a training run, in Python by name (`dfs_hw.recipe("digits", joint_lr=0.02)`) and on
the command line as `--set joint_lr=0.02`; several values of one setting stand between commas. The
defaults are the recipe for the digits. The last columns say what `recipe(data)` changes for all
other data, and `style="exits"` and `style="paper"` for all data. Of stages and recipes:
[training](training.md).

Written by `python tests/helpers/settings_page.py` from `TrainConfig`; a test holds the two
together.

| setting | default | other data | `exits` | `paper` |
|---|---|---|---|---|
"""


def documented() -> dict[str, str]:
    """What is written under each setting, in one line."""
    tree = ast.parse(inspect.getsource(TrainConfig))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    said = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            said[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return said


def page() -> str:
    """The page as it should be."""
    rows = [
        f"| [`{field.name}`](#{field.name}) | {_value(field.default)} | "
        f"{_changed(RECIPES['cifar10'], field.name)} | {_changed(EXITS_RECIPE, field.name)} | "
        f"{_changed(PAPER_RECIPE, field.name)} |\n"
        for field in fields(TrainConfig)
    ]
    said = [f"\n## {name}\n\n{_as_markdown(text)}\n" for name, text in documented().items()]
    return HEAD + "".join(rows) + "".join(said)


def _changed(recipe: dict[str, Any], name: str) -> str:
    return _value(recipe[name]) if name in recipe else ""


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"`{value}`" if value != "" else "none"


def _as_markdown(text: str) -> str:
    return text.replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page())
