"""Commands, run in this process as each would end in one of its own."""

import subprocess
from collections.abc import Callable

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dfs_hw(ended: Callable[..., tuple[int, str, str]]) -> Command:
    return lambda *words: subprocess.CompletedProcess(words, *ended(*words))
