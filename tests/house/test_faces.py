"""Every public name is what it claims to be, whatever was imported before it was asked for."""

import re
import subprocess
import sys
from importlib import import_module
from inspect import isclass, ismodule

import pytest
from house import FACES, MODULES, SOURCES
from places import ROOT

SUBMODULES_FIRST = """
import sys
from importlib import import_module

modules, faces = (line.split() for line in sys.stdin)
for name in modules:
    import_module(name)
for face in faces:
    for name in import_module(face).__all__:
        print(face, name, type(getattr(import_module(face), name)).__name__)
"""


def kind(name: str, value: object) -> str:
    """What a name claims by how it is written, unless its value is something else."""
    if ismodule(value):
        return "module"
    if name.isupper():
        return "constant" if not callable(value) else "callable"
    if name[0].isupper():
        return "class" if isclass(value) else "no class"
    return "callable" if callable(value) else "value"


def claimed(name: str) -> str:
    if name.isupper():
        return "constant"
    return "class" if name[0].isupper() else "callable"


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_is_what_it_claims(face: str) -> None:
    """After all modules of both packages were imported, too: a module never hides a function."""
    for name in MODULES:
        import_module(name)
    package = import_module(face)
    found = {name: kind(name, getattr(package, name)) for name in package.__all__}
    assert found == {name: claimed(name) for name in package.__all__}
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.slow
def test_no_order_of_imports_makes_a_module_of_a_name() -> None:
    """In a fresh process, submodules first, faces after them."""
    given = " ".join(MODULES) + "\n" + " ".join(FACES)
    command = [sys.executable, "-c", SUBMODULES_FIRST]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    kinds = [line.split() for line in done.stdout.splitlines()]
    assert len(kinds) > 50
    assert [words for words in kinds if words[2] == "module"] == []


def test_tables_name_only_what_faces_export() -> None:
    """The tables of README and docs: a dotted name in a cell is a public name of a face."""
    tables = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    cells = [
        name
        for path in tables
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
        for name in re.findall(r"`((?:accel_models|dfs_hw)\.[\w.]+)`", line)
    ]
    assert cells
    for name in cells:
        face, _, public = name.rpartition(".")
        assert face in FACES, f"{name}: {face} is no face"
        assert public in import_module(face).__all__, name


def test_folders_hold_source() -> None:
    """A folder that an older layout left behind imports as an empty package: clear such folders
    with ``git clean -fdX accel_models dfs_hw``."""
    for root in SOURCES:
        for folder in root.rglob("*"):
            if folder.is_dir() and "__pycache__" not in folder.parts:
                held = {path.name for path in folder.iterdir()} - {"__pycache__"}
                assert held, f"{folder} holds nothing: git clean -fdX accel_models dfs_hw"
