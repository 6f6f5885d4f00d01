"""However a command goes wrong, it ends in one printable sentence; and any terminal can show it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from accel_models.errors import LONGEST_SENTENCE, DfsHwError, InputError, quoted

COMMAND = [sys.executable, "-m", "dfs_hw"]
MACHINES = ("accelerators", "bitfusion")
OLD_TRACE = Path(__file__).parents[2] / "accel_models" / "trace_of_0_1.parquet"


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("frob",), "no such command 'frob'"),
        (("simulat",), "Did you mean 'simulate'"),
        (("--frob",), "no such option: --frob"),
        (("simulate",), "missing argument"),
        (("simulate", "resnet8", "--frob"), "no such option: --frob"),
        (("simulate", "resnet8", "more"), "unexpected extra argument"),
        (("simulate", "resnet8", "--precision"), "requires an argument"),
        (("simulate", "resnet8", "--batch", "x\u202ey"), r"got 'x\u202ey'"),
        (("simulate", "resnet8", "--batch", "9" * 5000), "'--batch'"),
        (("simulate", "resnet8", "--batch", "0"), "'--batch': it must be greater"),
        (("simulate", "a\x1b[31m"), r"'a\x1b[31m'"),
        (("simulate", "x" * 5000), "no network is called"),
        (("simulate", "x" * 300 + ".csv"), "File name too long"),
        (("accelerators", "\udcff.toml"), r"cannot read \udcff.toml"),
        (("accelerators", "/dev/zero.toml"), "cannot read /dev/zero.toml"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_a_wrong_command_line_is_one_sentence(
    words: tuple[str, ...], said: str, refused: Callable[..., str]
) -> None:
    sentence = refused(*words)
    assert said in sentence
    assert sentence.isprintable() and len(sentence) < LONGEST_SENTENCE + 20


def test_nothing_asked_is_answered_by_help(ended: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = ended()
    assert status == 2 and "simulate" in out + err


@pytest.mark.parametrize(
    "text",
    ["a\nb\tc", "\x00\x1b]0;x\x07", "\u202egnp", "x" * 10**6, "x y " * 10**5, "\ud800"],
    ids=range(6),
)
def test_any_error_is_one_line_that_a_terminal_only_shows(text: str) -> None:
    sentence = str(InputError(f"got {text}"))
    assert sentence.isprintable() and len(sentence) <= LONGEST_SENTENCE
    assert sentence.startswith("got ")
    sentence.encode()


@pytest.mark.parametrize(
    "value",
    [10**9999, -(10**9999), "x" * 9999, [[[[[[[[1]]]]]]]] * 99, {i: i for i in range(999)}],
    ids=range(5),
)
def test_values_are_quoted_short(value: object) -> None:
    assert len(quoted(value)) < 200


def test_short_sentences_are_left_alone() -> None:
    sentence = "bitfusion.toml: buffers.weight.kib must be > 0, got -4 µJ"
    assert str(DfsHwError(sentence)) == sentence
    assert quoted(-4) == "-4" and quoted("a") == "'a'" and quoted([1, 2.5]) == "[1, 2.5]"


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "cp932", "cp437", "latin-1", "utf-8"])
def test_output_suits_any_encoding(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([*COMMAND, *MACHINES], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    degraded = "um2" in text or "mm2" in text
    assert degraded == (encoding in ("ascii", "gbk", "cp932"))


def test_a_warning_is_one_sentence_said_once(tmp_path: Path) -> None:
    trace = tmp_path / "a\x1bb.parquet"
    shutil.copy(OLD_TRACE, trace)  # whose header is read twice
    done = run("replay", str(trace), "--json", stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stdout.startswith("{")
    shown = str(trace).replace("\x1b", r"\x1b")
    assert done.stderr.startswith(
        f"dfs-hw: warning: {shown} is of trace format 1 and has no digest"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_place_for_output_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = run(*MACHINES, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, "dfs-hw: the output: No space left on device\n")


def test_places_that_were_closed_are_done_without() -> None:
    done = run(*MACHINES, stderr=subprocess.PIPE, preexec_fn=partial(os.close, 1))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run(*MACHINES, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
