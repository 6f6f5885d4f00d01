"""What commands load, and how they get along with others on the same cores."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from places import ROOT

TRACE = "traces/digits-resnet14-bitfusion.parquet"
WORDS = (
    ("--help",),
    ("train", "--help"),
    ("simulate", "resnet38"),
    ("simulate", "resnet8", "--image", "24", "--explain", "block2.conv1"),
    ("accelerators", "--compare", "bitfusion", "stripes", "--network", "resnet8"),
    ("replay", TRACE),
)
LOADED = """
import sys
from dfs_hw.cli import main
for words in {words}:
    sys.argv = ["dfs-hw", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
    assert "torch" not in sys.modules, words
"""


@pytest.mark.slow
def test_what_needs_no_network_loads_no_pytorch() -> None:
    code = LOADED.format(words=WORDS)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    printed("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    printed("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
