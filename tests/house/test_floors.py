"""Imports point down only, room by room, and never in a circle.

Each list has one line a room, from the top floor down: ``room`` is a folder's face, ``room.*`` all
that lies in the folder, ``room.file`` one file of it. The most precise line counts. What a room
imports, for type checkers or by a string, too, lies on a floor below its own.
"""

import ast
import subprocess
import sys

import networkx as nx
import pytest
from house import FILES, imported, tree

ACCEL_MODELS = """
accel_models
accel_models.validation.*
accel_models.exploration
accel_models.exploration.exploration
accel_models.exploration.report.*
accel_models.exploration.*
accel_models.reference_machine
accel_models.reference_machine.check
accel_models.reference_machine.events.*
accel_models.reference_machine.events.kernel.*
accel_models.reference_machine.datapath.*
accel_models.reference_machine.datapath.kernel.*
accel_models.reference_machine.datapath.state
accel_models.reference_machine.datapath.plain
accel_models.replay
accel_models.replay.on_disk.*
accel_models.replay.summary.*
accel_models.replay.*
accel_models.replay.kernel.*
accel_models.replay.rules
accel_models.explain.*
accel_models.assignment.*
accel_models.costs.*
accel_models.mapping.*
accel_models.mapping.kernel.*
accel_models.mapping.problem
accel_models.accelerators.*
accel_models.accelerators.arrays.*
accel_models.energy.*
accel_models.trace
accel_models.trace_header
accel_models.leaving
accel_models.workloads.onnx_file.*
accel_models.workloads.graphs.*
accel_models.workloads.*
accel_models.precision
accel_models.source
accel_models.owned_folder
accel_models.documents
accel_models.seeds
accel_models.compiled
accel_models.machine_code
accel_models.metrics
accel_models.remade
accel_models.row_groups
accel_models.column_digest
accel_models.private_folder
accel_models.pages
accel_models.pages.*
accel_models.files
accel_models.si
accel_models.errors
"""

DFS_HW = """
dfs_hw.__main__
dfs_hw
dfs_hw.cli.*
dfs_hw.cli.show.*
dfs_hw.report
dfs_hw.report.outputs.*
dfs_hw.report.charts.*
dfs_hw.report.sources.*
dfs_hw.report.measured.*
dfs_hw.report.*
dfs_hw.codesign.*
dfs_hw.studies.*
dfs_hw.baselines.*
dfs_hw.headroom.*
dfs_hw.cascade
dfs_hw.experiment
dfs_hw.training
dfs_hw.training.run
dfs_hw.training.stages.*
dfs_hw.training.folder
dfs_hw.training.setup
dfs_hw.training.start
dfs_hw.training.loop.*
dfs_hw.training.recipes
dfs_hw.training.config
dfs_hw.training.faults
dfs_hw.logs
dfs_hw.budgets.*
dfs_hw.bundle.*
dfs_hw.recording
dfs_hw.fixed_widths.*
dfs_hw.networks
dfs_hw.networks.*
dfs_hw.networks.tracing.*
dfs_hw.networks.compiled_blocks.*
dfs_hw.networks.compiled_blocks.kernels.*
dfs_hw.networks.cifar_resnet
dfs_hw.gates.*
dfs_hw.quantize.*
dfs_hw.data.*
dfs_hw.distributed
dfs_hw.tensor_file
dfs_hw.onnx_export
dfs_hw.modes
dfs_hw.provenance
"""

FLOORS = {room: floor for floor, room in enumerate(f"{DFS_HW} {ACCEL_MODELS}".split())}


def room_of(module: str) -> str:
    """The most precise line for a module."""
    if module in FLOORS:
        return module
    folder = module if FILES[module].stem == "__init__" else module.rpartition(".")[0]
    while f"{folder}.*" not in FLOORS:
        folder = folder.rpartition(".")[0]
        assert folder, f"{module} is in no room of the lists"
    return f"{folder}.*"


def test_rooms_are_those_that_there_are() -> None:
    assert {room_of(module) for module in FILES} == FLOORS.keys()


def test_imports_point_down() -> None:
    upwards = []
    for module in FILES:
        here = room_of(module)
        for other in sorted(imported(module)):
            there = room_of(other)
            if there != here and FLOORS[there] <= FLOORS[here]:
                upwards.append(f"{module} imports {other}")
    assert not upwards, "\n".join(upwards)


def test_no_files_import_each_other() -> None:
    graph = nx.DiGraph((module, other) for module in FILES for other in imported(module))
    assert [circle for circle in nx.strongly_connected_components(graph) if len(circle) > 1] == []


def test_kernels_and_all_that_calls_them_are_seen() -> None:
    """Compiled modules are imported by their names in strings: those count as imports."""
    assert "accel_models.mapping.kernel.search" in imported("accel_models.mapping.search")
    assert "accel_models.replay.kernel.walk" in imported("accel_models.replay.fusion")


@pytest.mark.parametrize("package", ["accel_models", "dfs_hw"])
def test_importing_a_package_loads_neither_torch_nor_numba(package: str) -> None:
    heavy = {"torch", "numba", "optuna", "pyarrow", *({"dfs_hw"} - {package})}
    code = f"import sys, {package}; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_cost_models_know_neither_torch_nor_networks() -> None:
    for module in FILES:
        if module.startswith("accel_models"):
            names = [
                name
                for node in ast.walk(tree(module))
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            ]
            assert not {name.partition(".")[0] for name in names} & {"torch", "dfs_hw"}, module
