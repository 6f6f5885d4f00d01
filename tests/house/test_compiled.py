"""Machine code is kept under a digest of all that it is made from, found from imports."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from house import FILES, MODULES, SOURCES, tree

from accel_models.compiled import compiled_in, digest_of

KERNELS = sorted({m.rpartition(".")[0] for m in MODULES if ".kernel." in m or ".kernels." in m})

EACH_IN_TURN = """
import sys
from accel_models.compiled import compiled_in, digest_of

for kernel in sys.argv[1:]:
    files = compiled_in(kernel)
    before = digest_of(files)
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        path.write_text(text + "\\n# changed\\n", encoding="utf-8")
        assert digest_of(files) != before, name
        path.write_text(text, encoding="utf-8")
        assert digest_of(files) == before, name
        print(kernel, name)
"""


def test_kernels_are_those_that_numba_compiles() -> None:
    """All of it and nothing else: a kernel's folder holds every module that imports numba."""
    by_numba = {
        module.rpartition(".")[0]
        for module in MODULES
        for line in FILES[module].read_text(encoding="utf-8").splitlines()
        if line.startswith(("from numba import", "import numba"))
    }
    assert by_numba == set(KERNELS)


@pytest.mark.parametrize("kernel", KERNELS)
def test_all_files_of_a_kernel_count_and_all_that_they_import(kernel: str) -> None:
    """Against another reading of the imports: whatever a file takes from a module of the house."""
    found = compiled_in(kernel)
    assert {m for m in MODULES if m.rpartition(".")[0] == kernel} <= found.keys()
    for name in found:
        taken = {
            alias
            for node in tree(name).body
            for alias in [getattr(node, "module", None)]
            if alias in FILES and FILES[alias].stem != "__init__"
        }
        assert taken <= found.keys()


def test_changing_any_such_file_changes_the_digest(tmp_path: Path) -> None:
    """In a copy of the sources, one file after another."""
    for source in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tmp_path / source.name, ignore=ignored)
    command = [sys.executable, "-c", EACH_IN_TURN, *KERNELS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    changed = [tuple(line.split()) for line in done.stdout.splitlines()]
    assert changed == [(kernel, name) for kernel in KERNELS for name in compiled_in(kernel)]


def test_a_file_more_changes_the_digest(tmp_path: Path) -> None:
    files = compiled_in(KERNELS[0])
    more = tmp_path / "more.py"
    more.write_text("", encoding="utf-8")
    assert digest_of(files | {"more": more}) != digest_of(files)


def test_what_a_kernel_does_not_import_leaves_its_digest_alone() -> None:
    """A machine file, a report or a command can change without anything being compiled again."""
    for kernel in KERNELS:
        for name, path in compiled_in(kernel).items():
            assert path == FILES[name]
            assert not name.startswith(("accel_models.exploration", "dfs_hw.cli", "dfs_hw.report"))
