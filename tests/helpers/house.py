"""The sources of both packages: their modules, what each imports, and which of them are faces."""

import ast
from functools import cache
from pathlib import Path

from places import ROOT

SOURCES = (ROOT / "accel_models", ROOT / "dfs_hw")


def _files() -> dict[str, Path]:
    found = {}
    for root in SOURCES:
        for path in root.rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return dict(sorted(found.items()))


FILES = _files()
"""The file of each module, by its full name."""
MODULES = [name for name in FILES if not name.endswith("__main__")]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def tree(module: str) -> ast.Module:
    return parsed(FILES[module])


@cache
def imported(module: str) -> set[str]:
    """Modules of the house that a module imports: anywhere in it, for type checkers alone, or by a
    string that is a module's full name."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else node.module for name in inner}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if FILES.get(node.value, ROOT).stem != "__init__":  # packages by name hold data files
                found.add(node.value)
        elif isinstance(node, ast.JoinedStr):  # f"accel_models.mapping.kernel.{name}"
            start = node.values[0]
            if isinstance(start, ast.Constant) and start.value.strip("."):
                found |= {m for m in FILES if m.rpartition(".")[0] + "." == start.value}
    return (found & FILES.keys()) - {module}


def _lists_names(module: str) -> bool:
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for node in tree(module).body
    )


FACES = [name for name, path in FILES.items() if path.stem == "__init__" and _lists_names(name)]
"""Packages that list their public names."""
