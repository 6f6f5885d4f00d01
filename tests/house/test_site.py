"""The site builds without a warning, and has every public name."""

from __future__ import annotations

from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from house import FACES
from places import ROOT

application = pytest.importorskip("sphinx.application")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The mapping interface", "ignore:'myst_parser"),
]

OF_THE_HOUSE = {
    "dfs_hw.cli",
    "dfs_hw.networks.compiled_blocks",
    "accel_models.exploration.report",
    "accel_models.pages",
}
"""Packages that list names for the rest of the house rather than for its users."""


def test_every_link_leads_somewhere_and_every_name_is_explained(tmp_path: Path) -> None:
    said = StringIO()
    site = application.Sphinx(
        ROOT, ROOT / "docs", tmp_path, tmp_path, "dummy", status=None, warning=said
    )
    site.build(force_all=True)
    assert said.getvalue() == ""
    explained = {name.rpartition(".")[2] for name, *_ in site.env.domains["py"].get_objects()}
    for face in set(FACES) - OF_THE_HOUSE:
        constants = {name for name in import_module(face).__all__ if name.isupper()}
        assert set(import_module(face).__all__) - constants <= explained, face
