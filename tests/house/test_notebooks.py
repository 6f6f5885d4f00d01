"""The notebooks run from start to end."""

from pathlib import Path

import nbclient
import nbformat
import pytest
from places import ROOT

pytestmark = pytest.mark.slow

NOTEBOOKS = ROOT / "notebooks"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)
