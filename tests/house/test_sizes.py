"""Functions fit on a screen and files can be read in one go, but where a reason is written down."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

LINES_OF_A_FUNCTION, LINES_OF_A_FILE = 60, 400
FILES = [
    path
    for room in ("accel_models", "dfs_hw", "tests", "benchmarks")
    for path in sorted((ROOT / room).rglob("*.py"))
]
ONE_FUNCTION, ONE_FILE = "# One function: ", "# One file: "
"""Beginnings of a comment that says why something longer is not taken apart."""


def length(node: ast.FunctionDef, lines: list[str]) -> int:
    """Lines of a function without its docstring and without comments on lines of their own."""
    assert node.end_lineno is not None
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    said = first.end_lineno - first.lineno + 1 if documented and first.end_lineno else 0
    body = lines[node.lineno - 1 : node.end_lineno]
    return len(body) - said - sum(line.lstrip().startswith("#") for line in body)


def too_long(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > LINES_OF_A_FILE and not any(line.startswith(ONE_FILE) for line in lines):
        yield f"{path.relative_to(ROOT)} has {len(lines)} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and length(node, lines) > LINES_OF_A_FUNCTION:
            body = lines[node.lineno - 1 : node.end_lineno]
            if not any(line.lstrip().startswith(ONE_FUNCTION) for line in body):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {len(body)} lines"


def test_nothing_is_too_long() -> None:
    found = [said for path in FILES for said in too_long(path)]
    assert not found, "\n".join(found)


def test_what_is_too_long_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "long.py"
    path.write_text('def f():\n    """Why."""\n' + "    # so\n    pass\n" * 59)
    assert len(list(too_long(path))) == 0
    path.write_text('def f():\n    """Why."""\n' + "    pass\n" * 60)
    assert [said.split(": ")[-1] for said in too_long(path)] == ["f has 62 lines"]
    path.write_text("def f():\n    # One function: a reason.\n" + "    pass\n" * 60)
    assert not list(too_long(path))
    path.write_text("x = 1\n" * 401)
    assert len(list(too_long(path))) == 1
