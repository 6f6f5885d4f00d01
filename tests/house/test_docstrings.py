"""Docstrings stand by themselves: every public name has one, none leans on the line above it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import parsed
from places import ROOT

FILES = [
    path for room in ("accel_models", "dfs_hw") for path in sorted((ROOT / room).rglob("*.py"))
]
LEANING = (
    "After All+but All+else Also And As At Before Beside Between But By Ditto Else For From Here "
    "If In Inverse+of It Its Likewise Nor Not Of On Only Or Other Otherwise Over Per Same See "
    "Similarly Since So Such That Their Then There These They Those The+same To Too Under Unlike "
    "Until Unless When While With Within Without None True False"
)
"""Words that no docstring begins with: what they refer to stands elsewhere, or nowhere."""
LEANS = re.compile(rf"(?:{'|'.join(LEANING.split())})(?![\w-])".replace("+", r"\s+"))
REFERS = re.compile(
    r"\b(?:[Ll]ikewise|[Dd]itto|the same of|(?:as (?:is|are) )?the next (?:one|two)\b)"
)
"""Words that lean wherever they stand: on another field, or on another argument."""
BARE = re.compile(r"(?:u?int|float|bool)\d* ?\[[^]]*\][,.]?(?:$|\n)|\[[^]]*\]\.?(?:$|\n)")
"""A shape and no word on what has it."""
CALLED_BY_OTHERS = {"forward", "backward", "extra_repr"}
"""Methods that PyTorch calls and documents."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef


def fields(node: ast.Module | ast.ClassDef) -> Iterator[tuple[int, str]]:
    """Line and text of every string that stands under an assignment."""
    for above, below in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(above, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr)):
            continue
        if isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            yield below.lineno, below.value.value


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text
        if isinstance(node, ast.Module | ast.ClassDef):
            yield from fields(node)


def test_docstrings_can_be_read_alone() -> None:
    leaning = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in FILES
        for line, text in docstrings(path)
        if LEANS.match(text) or REFERS.search(text) or BARE.match(text)
    ]
    assert not leaning, "\n".join(leaning)


@pytest.mark.parametrize(
    "text",
    [
        "Of each row between two registers.",
        "The same at 1-bit weights.",
        "Likewise.",
        "Bits of a tile; likewise the next two.",
        "int64 [P].",
        "All but the gates.",
    ],
)
def test_what_leans_is_found(text: str) -> None:
    assert LEANS.match(text) or REFERS.search(text) or BARE.match(text)


@pytest.mark.parametrize(
    "text", ["Office hours.", "Ascending costs.", "Delay of each row.", "Items, int64 [P]."]
)
def test_what_stands_is_not(text: str) -> None:
    assert not (LEANS.match(text) or REFERS.search(text) or BARE.match(text))


def bases() -> dict[str, ast.ClassDef]:
    """Classes of the house by name, which no other has."""
    return {
        node.name: node
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
    }


CLASSES = bases()


def explained_above(owner: ast.ClassDef, method: str) -> bool:
    """Whether a class that this one derives from says what the method does, or is not ours."""
    for base in owner.bases:
        name = ast.unparse(base).split("[")[0].split(".")[-1]
        above = CLASSES.get(name)
        if above is None:
            if name not in ("NamedTuple", "Protocol", "object"):
                return True
            continue
        for node in above.body:
            if isinstance(node, ast.FunctionDef) and node.name == method:
                return True
        if explained_above(above, method):
            return True
    return False


def is_property(node: ast.FunctionDef) -> bool:
    names = {ast.unparse(one).split(".")[-1] for one in node.decorator_list}
    return bool(names & {"property", "cached_property", "setter"})


def without(path: Path) -> Iterator[str]:
    """Public names that have no docstring, of module level and of classes."""
    module = parsed(path)
    if not ast.get_docstring(module):
        yield "the module"
    for node in module.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
                    continue
                known = is_property(method) or method.name in CALLED_BY_OTHERS
                if not (known or ast.get_docstring(method) or explained_above(node, method.name)):
                    yield f"{node.name}.{method.name}"


def test_public_names_have_docstrings() -> None:
    bare = [f"{path.relative_to(ROOT)}: {name}" for path in FILES for name in without(path)]
    assert not bare, "\n".join(bare)


def raised(node: ast.FunctionDef) -> Iterator[str]:
    """Errors for people that a function raises itself, in what it runs when it is called."""
    inner = {
        below
        for one in ast.walk(node)
        if one is not node and isinstance(one, ast.FunctionDef | ast.Lambda)
        for below in ast.walk(one)
    }
    for one in ast.walk(node):
        if isinstance(one, ast.Raise) and one not in inner and isinstance(one.exc, ast.Call):
            name = ast.unparse(one.exc.func).split(".")[-1]
            if name in ("InputError", "InfeasibleError", "DfsHwError"):
                yield name


def silent(path: Path) -> Iterator[str]:
    """Public functions and methods that raise an error for people and do not say so."""
    for owner in [parsed(path), *(n for n in parsed(path).body if isinstance(n, ast.ClassDef))]:
        if isinstance(owner, ast.ClassDef) and owner.name.startswith("_"):
            continue
        for node in owner.body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            if isinstance(owner, ast.ClassDef) and explained_above(owner, node.name):
                continue
            if any("command" in ast.unparse(one) for one in node.decorator_list):
                continue  # of the command line: its errors are sentences for whoever types
            text = ast.get_docstring(node) or ""
            if any(True for _ in raised(node)) and not re.search(
                r"Raises:|raises|refused|[Rr]efuse", text
            ):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"


def test_errors_for_people_are_announced() -> None:
    unsaid = [said for path in FILES for said in silent(path)]
    assert not unsaid, "\n".join(unsaid)
