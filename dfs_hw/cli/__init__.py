"""The command line: each command is one step of the chain, and prints what to do next."""

from dfs_hw.cli import training, comparing, studying, reporting, replaying, timing, exploring  # noqa: F401, I001 - help lists commands in this order
from dfs_hw.cli import networks, accuracy, machines  # noqa: F401 - and these
from dfs_hw.cli.app import app, main

__all__ = ["app", "main"]
