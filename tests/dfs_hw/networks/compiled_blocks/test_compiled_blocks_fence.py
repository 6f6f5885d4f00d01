"""The compiled blocks have one face and one switch; a network does without them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from places import ROOT

from accel_models.errors import InputError
from dfs_hw.networks import build_network, compiled_blocks
from dfs_hw.networks.compiled_blocks import SWITCH, serves, switched_on

PACKAGE = compiled_blocks.__name__
INSIDE = Path(compiled_blocks.__file__).parent, Path(__file__).parent


def imported(path: Path) -> set[str]:
    """What a file imports: modules, and names with the module they are taken from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_all_others_import_from_the_face_alone() -> None:
    face = {PACKAGE, *(f"{PACKAGE}.{name}" for name in compiled_blocks.__all__)}
    users = []
    for folder in ("accel_models", "dfs_hw", "tests", "benchmarks", "notebooks"):
        for path in (ROOT / folder).rglob("*.py"):
            names = {name for name in imported(path) if name.startswith(PACKAGE)}
            if names and not any(path.is_relative_to(inside) for inside in INSIDE):
                assert names <= face, path
                users.append(path.name)
    assert "branches.py" in users


@pytest.mark.slow
def test_switched_off_a_network_trains_and_classifies_without_numba() -> None:
    code = """
import sys, torch
from dfs_hw.networks import build_network
network = build_network("resnet8", "skip,2,full", 5, image_size=(8, 8))
network(torch.randn(4, 3, 8, 8)).logits.sum().backward()
network.eval()(torch.randn(4, 3, 8, 8))
print(*({"numba", "llvmlite"} & set(sys.modules)))
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "off")
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_switch_counts_as_it_stands_when_a_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = build_network("resnet8", "skip,2,full", 5, image_size=(8, 8)).eval().blocks[0]
    x = torch.randn(4, 16, 8, 8).relu()
    assert unit.fused is not None
    with torch.no_grad():
        assert serves(unit.fused, x)
        monkeypatch.setenv(SWITCH, "off")
        assert not serves(unit.fused, x)
        monkeypatch.delenv(SWITCH)
        assert serves(unit.fused, x)


def test_other_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "0")
    with pytest.raises(InputError, match="DFS_HW_COMPILED_BLOCKS must be on or off, got '0'"):
        switched_on()
