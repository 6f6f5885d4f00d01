"""Tests keep their cost tables to themselves."""

import os
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """A cache that goes with the tests, made before any test module computes a table on import."""
    folder = tempfile.TemporaryDirectory(prefix="dfs-hw-cache-")
    os.environ["DFS_HW_CACHE"] = folder.name
    config.add_cleanup(folder.cleanup)
