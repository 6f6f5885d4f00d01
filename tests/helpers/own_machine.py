"""The worked example of docs/own_machine.md: a family and a machine from outside the package."""

from __future__ import annotations

import re
from pathlib import Path

from places import ROOT

PAGE = ROOT / "docs" / "own_machine.md"


def blocks(language: str) -> list[str]:
    """Blocks of code of a language that stand by themselves on the page."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def example() -> tuple[str, str]:
    """Text of the family's module and of the machine's file."""
    (module,) = (block for block in blocks("python") if "@register_family" in block)
    (machine,) = (block for block in blocks("toml") if 'family = "ant"' in block)
    return module, machine


def written(folder: Path) -> tuple[Path, Path]:
    """Files of the example, module and machine, in a folder."""
    paths = folder / "ant.py", folder / "ant.toml"
    for path, text in zip(paths, example(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths
