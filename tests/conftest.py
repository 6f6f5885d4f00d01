"""Tests keep their cost tables to themselves, and hear Ctrl-C."""

import os
import signal
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """A cache that goes with the tests, made before any test module computes a table on import."""
    folder = tempfile.TemporaryDirectory(prefix="dfs-hw-cache-")
    os.environ["DFS_HW_CACHE"] = folder.name
    config.add_cleanup(folder.cleanup)
    # A shell that runs the tests in the background has them ignore what some of them send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
