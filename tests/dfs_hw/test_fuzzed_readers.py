"""Whatever a file holds, whoever reads it gets what it says or one sentence: no other error, no
wait of over ten seconds, no gigabyte, and no file outside its folder.

``DFS_HW_FUZZ=10000 pytest tests/dfs_hw/test_fuzzed_readers.py`` tries so many files a reader.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from zipfile import BadZipFile

import pyarrow as pa
import pytest
from google.protobuf.message import DecodeError
from mutations import odd_files
from readers import READERS, Reader

from accel_models.errors import LONGEST_SENTENCE, DfsHwError

TRIED = int(os.environ.get("DFS_HW_FUZZ", "20"))
"""Files tried of each format."""
LONGEST_S, MOST_BYTES = 10, 2**30
TIMERS = {
    signal.ITIMER_PROF: (signal.SIGPROF, LONGEST_S),
    signal.ITIMER_REAL: (signal.SIGALRM, 10 * LONGEST_S),
}
"""Seconds of work, and of waiting, which is longer on a machine that does much else."""
SEED = 18
UNLIKE = (
    *(ValueError, KeyError, IndexError, OSError, EOFError, RuntimeError),
    *(pa.ArrowException, DecodeError, BadZipFile, zlib.error),
)
"""What changes end in where a file is not of its format any more: it stays as it is."""


class Hang(BaseException):
    """A reader took too long."""


@contextmanager
def bounded() -> Iterator[None]:
    """No longer, and no more memory than there was, than a reader may take."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = {number: signal.signal(number, stop) for number, _ in TIMERS.values()}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_BYTES, hard))
    for timer, (_, seconds) in TIMERS.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in TIMERS:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in before.items():
            signal.signal(number, handler)


def check(reader: Reader, path: Path, what: object) -> bool:
    """Read a file; returns whether it was refused."""
    try:
        with bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except DfsHwError as error:
        said = str(error)
        assert said.isprintable() and 0 < len(said) <= LONGEST_SENTENCE, (what, said)
        return True
    except BaseException as error:
        error.add_note(f"reading {what}: {path}")
        raise
    return False


def mutated(content: bytes, reader: Reader, draw: random.Random) -> bytes:
    """A sample changed once or twice."""
    for _ in range(draw.choice([1, 1, 2])):
        with suppress(*UNLIKE):
            content = draw.choice(reader.mutations)(content or b"\0", draw)
    return content


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a reader, in another that stays as it is."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    yield tmp_path / "here"
    assert {path.name for path in tmp_path.iterdir()} == {"here", "elsewhere"}
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured on Linux")
@pytest.mark.parametrize("name", READERS)
def test_what_is_wrong_is_said(name: str, place: Path) -> None:
    reader = READERS[name]
    reader.prepare(place)
    path, content = place / reader.name, reader.sample()
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.read(path)  # in any time, as it may compile
    refused = 0
    for number in range(TRIED):
        draw = random.Random(f"{SEED} {name} {number}")
        path.unlink(missing_ok=True)
        path.write_bytes(mutated(content, reader, draw))
        refused += check(reader, path, f"number {number} of {name}")
    assert refused or name == "chunk"  # which is made again


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused(name: str, place: Path) -> None:
    reader = READERS[name]
    if name in ("settings", "fields"):
        pytest.skip("words, and no file")
    reader.prepare(place)
    path = place / reader.name
    for what in odd_files(path):
        refused = check(reader, path, what)
        # What is not there is made, and a chunk is made again.
        made = what == "nothing" or name == "chunk" or not os.path.lexists(path)
        assert refused or made, what
