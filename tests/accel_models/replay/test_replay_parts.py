"""Parts of a replay on disk: found again after a kill, one replay's at a time, never taken on
trust."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from places import HELPERS
from replay_reference import MACHINES, random_choices, three_units, trace_of

import accel_models
from accel_models import InputError, cost_table
from accel_models.replay import Policy, replay_file
from accel_models.replay.on_disk.joined_file import TOTALS
from accel_models.trace import GateTrace

ALONE = cost_table(three_units(), MACHINES["bitfusion"], "skip,2,8")
INPUTS, ROWS = 1000, 256


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace of four row groups."""
    path = tmp_path / "trace.parquet"
    trace_of(ALONE, random_choices(ALONE, INPUTS, 0)).write(path, rows=ROWS)
    return path


def killed(trace: Path, out: Path, groups: int) -> None:
    command = [sys.executable, HELPERS / "killed_replay.py", trace, out, groups]
    here = os.environ | {"PYTHONPATH": str(Path(accel_models.__file__).parents[1])}
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=here)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_a_replay_that_was_killed_goes_on(trace: Path, tmp_path: Path) -> None:
    policy = Policy("modal", arrivals="poisson")
    replay_file(trace, ALONE, policy, out=tmp_path / "whole.parquet")
    out = tmp_path / "rows.parquet"
    killed(trace, out, 2)
    assert not out.exists()
    (folder,) = tmp_path.glob(".rows.parquet.*.parts")
    made = {part: part.stat().st_mtime_ns for part in folder.glob("*.parquet")}
    assert sorted(part.name for part in made) == ["000000.parquet", "000001.parquet"]
    seen = []

    def look(done: int, of: int) -> None:
        seen.append({part: part.stat().st_mtime_ns for part in made})

    replay_file(trace, ALONE, policy, out=out, progress=look)
    assert seen == [made] * 4
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.slow
def test_what_was_finished_under_another_policy_is_not_taken(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    killed(trace, out, 1)
    replay_file(trace, ALONE, Policy(), out=out)
    replay_file(trace, ALONE, Policy(), out=tmp_path / "again.parquet")
    assert out.read_bytes() == (tmp_path / "again.parquet").read_bytes()
    assert list(tmp_path.glob(".*")) == []


class Stopped(BaseException):
    """What ends a replay in its middle."""


def stopped(trace: Path, out: Path) -> dict[Path, int]:
    """Replay two row groups of a trace; returns the parts that it leaves, and when they changed."""

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        replay_file(trace, ALONE, out=out, progress=stop)
    (folder,) = out.parent.glob(f".{out.name}.*.parts")
    return {part: part.stat().st_mtime_ns for part in folder.glob("*.parquet")}


def test_parts_are_known_by_what_the_trace_holds(trace: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "rows.parquet", []

    def look(done: int, of: int) -> None:
        seen.append({part: part.stat().st_mtime_ns for part in made})

    made = stopped(trace, out)
    moved = trace.rename(tmp_path / "moved.parquet")
    os.utime(moved, (0, 0))
    replay_file(moved, ALONE, out=out, progress=look)
    assert len(made) == 2 and seen == [made] * 4
    made, changed = stopped(moved, out), GateTrace.read(moved)
    about, times = moved.stat(), (moved.stat().st_atime_ns, moved.stat().st_mtime_ns)
    replace(changed, labels=changed.labels[::-1].copy()).write(moved, rows=ROWS)
    os.utime(moved, ns=times)
    assert moved.stat().st_size == pytest.approx(about.st_size, rel=0.1)
    replay_file(moved, ALONE, out=out)
    assert (pq.read_table(out)["label"].to_numpy() == changed.labels[::-1]).all()


def test_replays_to_one_file_leave_each_other_their_parts(trace: Path, tmp_path: Path) -> None:
    out, alone = tmp_path / "rows.parquet", tmp_path / "alone.parquet"
    replay_file(trace, ALONE, out=alone)
    abandoned = tmp_path / f".rows.parquet.{'0' * 16}.parts"
    abandoned.mkdir()

    def another(done: int, of: int) -> None:
        if done == 2:
            with pytest.raises(
                InputError, match=rf"is in use by another run \(process {os.getpid()}"
            ):
                replay_file(trace, ALONE, out=out)
            replay_file(trace, ALONE, Policy("modal"), out=out)
            assert not abandoned.exists()

    replay_file(trace, ALONE, out=out, progress=another)
    assert out.read_bytes() == alone.read_bytes()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows[1].parquet", "rows.parquet"])
def test_parts_that_were_cut_off_or_damaged_are_made_anew(
    trace: Path, tmp_path: Path, name: str
) -> None:
    policy = Policy("modal", arrivals="poisson")
    replay_file(trace, ALONE, policy, out=tmp_path / "whole.parquet")
    out = tmp_path / name
    killed(trace, out, 2)
    (folder,) = (path for path in tmp_path.iterdir() if path.suffix == ".parts")
    part = folder / "000001.parquet"
    part.write_bytes(part.read_bytes()[:500])
    other = folder / "000000.parquet"
    odd = pq.read_table(other).replace_schema_metadata({TOTALS: '{"sums": []}'})
    pq.write_table(odd, other)
    replay_file(trace, ALONE, policy, out=out)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not folder.exists()
