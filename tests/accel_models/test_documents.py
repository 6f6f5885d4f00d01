"""JSON and TOML are bounded before they are parsed, and typed before they are used."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_models import InputError
from accel_models.documents import (
    CLOSED,
    DEEPEST,
    MOST_TOML_BYTES,
    parse_json,
    parse_toml,
    read_json,
    read_toml,
    typed,
)
from accel_models.files import MOST_BYTES

TOO_DEEP = "is nested too deeply"
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_json_that_keeps_to_the_limits_is_what_the_library_reads(data: Any) -> None:
    assert parse_json(json.dumps(data), "x") == data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, TOO_DEEP),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), TOO_DEEP),
        ("9" * 5_000, "is not valid JSON"),
        ('{"a": {"b": [1, %s]}}' % ("9" * 40), r"a\.b\.1 must be a whole number of 64 bits"),
        ('{"a": 1e999}', "a must be a finite number, got inf"),
        ('{"a": NaN}', "a must be a finite number, got nan"),
        ('{"a": 1, "b": 2, "a": 3}', "names 'a' twice"),
        (r'{"a": "\ud800"}', "a must be text that UTF-8 can hold"),
        (r'{"\ud800": 1}', "a name must be text"),
        ('{"a": 1', "is not valid JSON"),
        ("", "is not valid JSON"),
        (b"\xff\x00", "is not valid JSON"),
        (" " * (MOST_BYTES + 1), "is too large"),
    ],
    ids=lambda case: str(case)[:20],
)
def test_json_beyond_them_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"mine.json.*{said}"):
        parse_json(text, "mine.json")


def test_a_name_twice_is_found_among_very_many() -> None:
    names = ", ".join(f'"{number}": 1' for number in range(200_000))
    with pytest.raises(InputError, match="names '199999' twice"):
        parse_json(f'{{{names}, "199999": 2}}', "mine.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (".".join("a" * 100_000) + " = 1", TOO_DEEP),
        (" . ".join(['"="'] * 100) + " = 1", TOO_DEEP),
        (f"[{'.'.join('a' * 100)}]", TOO_DEEP),
        ("a = " + "[" * 100_000, TOO_DEEP),
        ("a = " + "{a = " * 1_000, TOO_DEEP),
        ("a = " + "9" * 5_000, "a number of over 100 digits"),
        ("a = 0x" + "f" * 100_000, "a number of over 100 digits"),
        ("[a]\nb = " + "9" * 30, r"a\.b must be a whole number of 64 bits"),
        ("[a]\nb = [1, 2020-01-01]", r"a\.b\.1 must be text, .* not a date or a time"),
        ("a = 12:00:00", "a must be text, .* not a date or a time"),
        ("a = 2020-01-01T12:00:00Z", "a must be text, .* not a date or a time"),
        ("a = ", "is not valid TOML"),
        (b"\xff", "is not valid TOML"),
        (b"PAR1\x15\x04\xa0", "is Parquet, as gate traces are, where TOML belongs"),
        ('a = "' + '"\\' * 1000, "is not valid TOML"),
        (" " * (MOST_TOML_BYTES + 1), "is too large"),
    ],
    ids=lambda case: str(case)[:20],
)
def test_toml_beyond_them_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"mine.toml.*{said}"):
        parse_toml(text, "mine.toml")


@pytest.mark.parametrize(
    "text",
    [
        'a = "' + "." * 200 + '"',
        "# " + "a." * 200,
        'a = "' + "[" * 200 + '"',
        'a = """\n"" ' + "[" * 200 + '""""',
        "a = '''" + "x." * 200 + "''''",
        "\n".join(f"[a.b.c{n}]\nx = 1.5" for n in range(200)),
        "a = [\n" + "  [1.0, 2.0], # [\n" * 200 + "]",
        "\ufeffa = 1".encode(),
    ],
    ids=range(8),
)
def test_what_only_looks_deep_is_read(text: str | bytes) -> None:
    plain = text if isinstance(text, str) else text.decode("utf-8-sig")
    assert parse_toml(text, "mine.toml") == tomllib.loads(plain)


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_what_is_no_file_is_refused_at_once(read: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, said in (
        (tmp_path / "pipe", "it is no regular file"),
        (Path("/dev/zero"), "it is no regular file"),
        (tmp_path, "it is a folder"),
        (tmp_path / "absent", "No such file"),
        (tmp_path / ("x" * 300), "too long"),
        ("a\0b", "null"),
    ):
        with pytest.raises(InputError, match=f"cannot read .*{said}"):
            read(place)


@dataclass(frozen=True)
class Reading:
    """What a document holds, as a test has it."""

    __pydantic_config__ = CLOSED
    name: str
    values: tuple[float, ...] = ()


def test_documents_have_types() -> None:
    found = typed(Reading, {"name": "a", "values": [1, 2.5]}, "mine.json")
    assert found == Reading("a", (1.0, 2.5))
    for data, said in (
        ({"name": 1}, "name must be a valid string, got 1"),
        ({"name": "a", "values": ["1"]}, r"values\.0 must be a valid number, got '1'"),
        ({"name": "a", "more": 1}, "more is not a known field"),
        ({}, "name is missing"),
        ([1], "it must be a table"),
    ):
        with pytest.raises(InputError, match=f"mine.json: {said}"):
            typed(Reading, data, "mine.json")
