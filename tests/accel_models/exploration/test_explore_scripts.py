"""Explorations on several processes, from scripts as people write them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from own_machine import written

pytestmark = pytest.mark.slow

SCRIPT = """
from accel_models import explore
found = explore("space.toml", out="out", sampler="random", trials=2, workers=2)
found.write(analysed=False)
print(len(found.trials), "machines")
"""
SPACE = """
base = "{base}"
objectives = ["energy"]
[fields]
array.rows = [8, 16]
[[workloads]]
layers = "net.csv"
precision = 8
"""
NET = "name,in_channels,out_channels,out_size\na,3,8,4\n"


def run(folder: Path, script: str, *, stdin: bool = False) -> subprocess.CompletedProcess[str]:
    (folder / "net.csv").write_text(NET)
    (folder / "script.py").write_text(script)
    words = ["-"] if stdin else ["script.py"]
    given = script if stdin else None
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("stdin", [False, True])
def test_a_script_needs_no_guard(tmp_path: Path, stdin: bool) -> None:
    (tmp_path / "space.toml").write_text(SPACE.format(base="bitfusion"))
    done = run(tmp_path, SCRIPT, stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 machines\n", "")
    assert (tmp_path / "out" / "study.html").exists()


def test_unless_workers_need_what_it_defines(tmp_path: Path) -> None:
    module, _ = written(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE.format(base="ant.toml"))
    done = run(tmp_path, module.read_text() + SCRIPT)
    assert done.returncode == 1
    assert "bootstrapping" not in done.stderr  # what each worker would say
    assert "stands under if __name__ == '__main__'" in done.stderr.splitlines()[-1]
