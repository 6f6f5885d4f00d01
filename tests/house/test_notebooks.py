"""The notebooks run from start to end."""

import nbclient
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from places import ROOT

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_notebooks_run_and_show_something() -> None:
    """All in one kernel, which imports and loads machine code once; none sees another's names."""
    read = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
    run = new_notebook()
    for notebook in read.values():
        run.cells += [new_code_cell("%reset -f"), *notebook.cells]
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    nbclient.NotebookClient(run, timeout=300, resources=where).execute()
    assert len(read) > 3
    for name, notebook in read.items():
        kinds = {kind for cell in notebook.cells for kind in kinds_of(cell)}
        assert {"image/png", "stream"} <= kinds, name


def kinds_of(cell: nbformat.NotebookNode) -> set[str]:
    """What a cell that was run put out."""
    outputs = cell.get("outputs", [])
    return {kind for one in outputs for kind in (*one.get("data", ()), one.output_type)}
