"""Frozen is frozen: no such class writes to its own fields, and arrays cannot be written to."""

from __future__ import annotations

import ast
import copy
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from exploring import trace_of

import accel_models
import dfs_hw
from accel_models import cost_table, load_accelerator

SOURCES = sorted(
    path
    for package in (accel_models, dfs_hw)
    for path in Path(str(package.__file__)).parent.rglob("*.py")
)
MUTATES = {
    *("append", "add", "extend", "insert", "update", "setdefault", "pop", "clear", "fill"),
    *("remove", "discard", "popitem", "sort", "reverse"),
}


def is_frozen(definition: ast.ClassDef) -> bool:
    return any("frozen=True" in ast.unparse(one) for one in definition.decorator_list)


def is_own(target: ast.expr) -> bool:
    """Whether an expression is a field of `self`, or an entry of one."""
    while isinstance(target, ast.Subscript):
        target = target.value
    return isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"


def writes(definition: ast.ClassDef) -> Iterator[str]:
    """Statements that change a field, but for those that settle it as the object is made."""
    for method in definition.body:
        settles = isinstance(method, ast.FunctionDef) and method.name == "__post_init__"
        for node in ast.walk(method):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                for one in node.targets:
                    targets += one.elts if isinstance(one, ast.Tuple) else [one]
            elif isinstance(node, ast.AugAssign):
                targets = [node.target]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in MUTATES and is_own(node.func.value):
                    yield ast.unparse(node)
                if node.func.attr == "__setattr__" and not settles:
                    yield ast.unparse(node)
            if any(is_own(target) for target in targets):
                yield ast.unparse(node)


def test_no_frozen_class_writes_to_its_fields() -> None:
    found = [
        f"{path.name}: {definition.name}: {statement}"
        for path in SOURCES
        for definition in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(definition, ast.ClassDef) and is_frozen(definition)
        for statement in writes(definition)
    ]
    assert not found


def test_writes_are_seen() -> None:
    code = """
class Frozen:
    def one(self): self.known[0][1] = 2
    def two(self): self.a[:], b = 1, 2
    def three(self): self.total += 1
    def four(self): self.rows.append(3)
    def five(self): object.__setattr__(self, "a", 1)
    def __post_init__(self): object.__setattr__(self, "a", 1)
    def six(self): row = self.rows[0]; row = 1
"""
    (definition,) = ast.parse(code).body
    assert isinstance(definition, ast.ClassDef)
    assert len(list(writes(definition))) == 5


def test_tables_and_traces_cannot_be_written_to() -> None:
    trace = trace_of()
    header = trace.header
    table = cost_table(header.workload, load_accelerator("bitfusion"), header.choices)
    figures = (table.cycles, table.counts, table.head, table.tail, table.parts)
    copies = copy.deepcopy(trace), pickle.loads(pickle.dumps(trace))
    tables = copy.deepcopy(table), pickle.loads(pickle.dumps(table))
    figures = [*figures, *(one.cycles for one in tables), *(one.counts for one in tables)]
    taken = [column for one in (trace, trace[2:5], *copies) for column in one.columns]
    for array in (*figures, table.first_weight_bits, *taken):
        assert isinstance(array, np.ndarray)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
