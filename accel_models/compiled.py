"""Modules that numba compiles, kept on disk under a digest of everything that they compile in.

A kernel is one folder. Numba notices that a file has changed, but not that another one has which it
calls or takes a constant from: so what a kernel's files import, and what those import in turn, is
found from the import statements themselves, and its machine code is kept under a digest of all of
it. A list typed by hand would miss a file one day, and stale machine code would run.
"""

from __future__ import annotations

import ast
import hashlib
import os
import warnings
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accel_models.errors import reason_of
from accel_models.private_folder import private_cache, private_folder

ROOT = __name__.partition(".")[0]


def compiled(module: str) -> Any:
    """Import a compiled module by its full name; numba itself is first imported here.

    Machine code is kept in the kernel's folder or, where that cannot be, in the user's cache: only
    in folders that nobody else can write to. Without any, a warning says that it is not kept.
    """
    home = _home(module.rpartition(".")[0])
    with import_module("accel_models.machine_code").kept_in(home):
        return import_module(module)


@cache
def _home(kernel: str) -> Path | None:
    """Where the machine code of a kernel is kept, as its files were when it was first asked for;
    None for nowhere.

    Other kernels whose functions it calls are imported here, so that each is kept by itself.
    """
    files, folder = compiled_in(kernel), source_of(kernel).parent
    for name, path in files.items():
        if path.parent != folder and "numba" in imports(path):
            compiled(name)
    name = f"compiled-{digest_of(files)}"
    if os.access(folder, os.W_OK):
        with suppress(OSError):
            return private_folder(folder / "__pycache__" / name)
    try:
        return private_folder(private_cache() / name)
    except OSError as error:
        warnings.warn(
            "compiled code cannot be kept for the next time, when it will take as long again: "
            f"{reason_of(error)}",
            stacklevel=1,
        )
        return None


def compiled_in(kernel: str) -> dict[str, Path]:
    """Every file, by module name, that a kernel compiles in or takes constants from: those of its
    folder, and all of its root package and of this one that they import, and so on."""
    roots = {ROOT, kernel.partition(".")[0]}
    names = (path.stem for path in source_of(kernel).parent.glob("*.py"))
    waiting = [f"{kernel}.{name}" for name in names if name != "__init__"]
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = source_of(name)
            waiting += [other for other in imports(found[name]) if other.partition(".")[0] in roots]
    return dict(sorted(found.items()))


def digest_of(files: dict[str, Path]) -> str:
    """Sixteen hexadecimal digits over the names and the content of files."""
    digest = hashlib.sha256()
    for name, path in files.items():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of the modules that a file imports when it runs, type checkers' imports apart.

    What is taken from a package counts as the module it is, or else as the package's own file.
    """
    found: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(path.read_bytes()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:  # missed, its changes would go unnoticed
                raise ImportError(
                    f"{path}, line {node.lineno}: compiled code imports by full names"
                )
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if _file_of(name) else node.module for name in inner}
        else:  # only statements can hold an import: expressions are not looked into
            waiting += _statements(node)
    return frozenset(found)


def _statements(node: ast.AST) -> list[ast.AST]:
    """Statements inside another one, those that only type checkers see apart."""
    for_checkers = isinstance(node, ast.If) and (
        getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"
    )
    blocks = ("orelse",) if for_checkers else ("body", "orelse", "finalbody", "handlers", "cases")
    return [inner for block in blocks for inner in getattr(node, block, ())]


def source_of(module: str) -> Path:
    """The file that a module is read from.

    Raises:
        ModuleNotFoundError: if there is none.
    """
    path = _file_of(module)
    if path is None:
        raise ModuleNotFoundError(f"no file holds the module {module}", name=module)
    return path


def _file_of(module: str) -> Path | None:
    """Found by its name alone: no package on the way is imported for it."""
    root, *inner = module.split(".")
    for place in _places_of(root):
        path = Path(place, *inner)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file() and path != Path(place):
                return file
    return None


@cache
def _places_of(root: str) -> tuple[str, ...]:
    """Folders of a package that stands by itself."""
    spec = find_spec(root)
    return tuple(spec.submodule_search_locations or ()) if spec else ()
