"""The command line: each command is one step of the chain, and prints what to do next."""

from dfs_hw.cli import training, comparing, replaying, timing, exploring, machines  # isort: skip - the order in which help lists commands
from dfs_hw.cli.app import app, main

__all__ = ["app", "comparing", "exploring", "machines", "main", "replaying", "timing", "training"]
