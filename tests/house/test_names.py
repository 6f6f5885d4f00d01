"""One name, one thing: what a public name means in one room, it means in the whole house."""

import ast
from collections import defaultdict
from pathlib import Path

import accel_models
import dfs_hw

FILES = sorted(
    path for package in (accel_models, dfs_hw) for path in Path(package.__path__[0]).rglob("*.py")
)


def public_classes(path: Path) -> list[str]:
    """Public classes that a file defines at its top level."""
    body = ast.parse(path.read_text()).body
    names = [node.name for node in body if isinstance(node, ast.ClassDef)]
    return [name for name in names if not name.startswith("_")]


def test_no_two_public_classes_share_a_name() -> None:
    homes = defaultdict(list)
    for path in FILES:
        for name in public_classes(path):
            homes[name].append(str(path))
    assert {"Workload", "CostTable", "GateTrace", "DynamicNetwork"} <= homes.keys()
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
