"""What docstrings, comments and pages refer to is there: modules, names in them, fields, files."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from house import parsed
from places import ROOT

ROOMS = ("accel_models", "dfs_hw", "tests", "benchmarks", "docs", "notebooks", "traces", "results")
FILES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml")),
    *(
        path
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*"))
        if path.suffix in (".py", ".md", ".ipynb", ".toml")
    ),
]
SOURCES = [path for path in FILES if path.suffix == ".py" and "tests" not in path.parts]
QUOTED = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\([^`]*\))?`(?!`)")
OURS = re.compile(r"\b(?:accel_models|dfs_hw)(?:\.[A-Za-z_]\w*)+")
PATHS = re.compile(
    r"(?:\.\./)*(?:accel_models|dfs_hw|tests|benchmarks|docs|notebooks|traces|results)/[\w./*-]*\w[\w*/]*"
)
LINKS = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
ENDINGS = ("json", "toml", "csv", "py", "md", "html", "png", "parquet", "safetensors", "jinja")
MADE = ("results/", "docs/")
"""Folders that commands write to: their examples name files that are yet to be."""


def module_names() -> list[str]:
    """Every module of the house with its full name."""
    found = []
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in ("accel_models", "dfs_hw"):
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


MODULES = module_names()


@cache
def members() -> dict[str, set[str]]:
    """Names that classes of the house have, by class: fields, methods and those of their bases."""
    found: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            names = found.setdefault(node.name, set())
            bases.setdefault(node.name, []).extend(
                ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases
            )
            for one in ast.walk(node):
                if isinstance(one, ast.FunctionDef):
                    names.add(one.name)
                elif isinstance(one, ast.AnnAssign):
                    names.add(ast.unparse(one.target).removeprefix("self."))
                elif isinstance(one, ast.Assign):
                    targets = ",".join(map(ast.unparse, one.targets)).split(",")
                    names |= {target.strip("() ").removeprefix("self.") for target in targets}

    def whole(name: str) -> set[str]:
        above = (whole(base) for base in bases.get(name, []) if base in found and base != name)
        return found[name].union(*above)

    return {name: whole(name) for name in found}


def leads_somewhere(name: str) -> bool:
    """Whether a full dotted name is a module of ours, or something that one has."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        head = ".".join(parts[:cut])
        if head not in MODULES:
            continue
        here = importlib.import_module(head)
        for part in parts[cut:]:
            if part in getattr(here, "model_fields", {}) or part in getattr(
                here, "__annotations__", {}
            ):
                return True
            if not hasattr(here, part):
                return False
            here = getattr(here, part)
        return True
    return False


@cache
def resolves(name: str) -> bool:
    """Whether a quoted dotted name that could be ours is: in full, from some folder on, or of a
    class. Other names are variables, fields of a machine's file or other people's."""
    head, *rest = name.split(".")
    if rest[-1] in ENDINGS:
        return True
    if head in ("accel_models", "dfs_hw"):
        return leads_somewhere(name)
    if head[0].isupper():
        return head not in members() or rest[0] in members()[head]
    known = members()["Accelerator"] | {"network", "workload", "header", "jobs", "room", "back"}
    if head in known:
        return True
    fitting = [m for m in MODULES if m.endswith("." + head) or f".{head}." in m]
    if not fitting:
        return True
    starts = {m[: re.search(rf"\.{head}(?:\.|$)", m).end()].rstrip(".") for m in fitting}  # type: ignore[union-attr]
    return any(leads_somewhere(".".join([start, *rest])) for start in starts)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are read by people: all of a page, docstrings and comments of a module."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if path.suffix != ".py":
        yield from enumerate(lines, 1)
        return
    for number, line in enumerate(lines, 1):
        if "`" in line or "#" in line:
            yield number, line


def test_dotted_names_lead_somewhere() -> None:
    lost = []
    for path in FILES:
        for number, line in prose(path):
            quoted = set(QUOTED.findall(line))
            full = set(OURS.findall(line)) if path.suffix == ".ipynb" else set()
            names = (name for name in quoted | full if not resolves(name))
            lost += [f"{path.relative_to(ROOT)}:{number}: {name}" for name in names]
    assert not lost, "\n".join(lost)


def test_files_that_are_named_exist() -> None:
    lost = []
    for path in FILES:
        for number, line in prose(path):
            named = [(ROOT, name.lstrip("./")) for name in PATHS.findall(line)]
            if path.suffix == ".md":
                named += [(path.parent, name) for name in LINKS.findall(line) if "/" in name]
            for start, name in named:
                there = (start / name).exists() or any(start.glob(name.rstrip("/")))
                if not (there or name.startswith(MADE)):
                    lost.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    assert not lost, "\n".join(lost)


@pytest.mark.parametrize(
    "name",
    [
        "accel_models.simulate",
        "accel_models.mapping.kernel.walk.walk",
        "kernel.walk",
        "problem.ACTIONS",
        "Mapping.exchanged_from",
        "storage.weights",
        "numpy.percentile",
    ],
)
def test_names_that_exist_resolve(name: str) -> None:
    assert resolves(name)


@pytest.mark.parametrize(
    "name",
    [
        "accel_models.steps",
        "accel_models.mapping.kernel.walk.run",
        "kernel.steps",
        "problem.VERBS",
        "Mapping.exchanged_with",
    ],
)
def test_names_that_do_not_are_found(name: str) -> None:
    assert not resolves(name)
