"""Imports point down only: the cost models know nothing of torch or of the networks above them."""

import ast
import subprocess
import sys
from pathlib import Path

import accel_models

PACKAGE = Path(accel_models.__file__).parent


def test_no_cost_model_file_names_torch_or_dfs_hw() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"torch", "dfs_hw"}, path


def test_importing_accel_models_loads_neither_torch_nor_numba() -> None:
    code = "import sys, accel_models; print(*({'torch', 'dfs_hw', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
