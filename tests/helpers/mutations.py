"""Files made wrong in the ways that files go wrong, and in those that somebody would try."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

VALUES: list[Any] = [
    *(0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 10**18, 10**30, 10**300, 0.5, 1e308, 1e-308),
    *(None, True, False, "", "x", "skip", "8", "a\0b", "\u202e\x1b[31m", "µ" * 9, "x" * 5000),
    *([], {}, [[]], [0], [1, 2, 3], ["a"], {"a": 1}, {"value": 1}, {"low": 1, "high": 0}),
    *(float("inf"), float("nan")),
]
"""What stands where something else belongs."""
NUMBERS = [
    *(b"0", b"-1", b"1e308", b"1e999", b"nan", b"inf", b"9" * 30, b"9" * 400, b"9" * 5000),
    *(b"0.1", b"1_000", b"0x10", b"1.", b"2147483648", b"4294967296", b"999999999", b"99999999"),
    *(b"1979-05-27", b"07:32:00", b"1979-05-27T07:32:00Z"),
]
ODD = [
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"'", b"=", b",", b";", b"[", b"{"),
    *(b"#", b"\\", b".", b"a." * 9000, b"[" * 9000, b"\xe2\x80\xae", b"x" * 9000, b"/", b"../"),
]

Draw = random.Random
Mutation = Callable[[bytes, Draw], bytes]


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    waiting = [data]
    while waiting:
        table = waiting.pop()
        keys = table.keys() if isinstance(table, dict) else range(len(table))
        for key in keys:
            yield table, key
            if isinstance(table[key], dict | list):
                waiting.append(table[key])


def changed(data: Any, draw: Draw) -> Any:
    """A document with one to three of its fields changed, removed, renamed, doubled or nested."""
    data = {"": data}
    for _ in range(draw.randint(1, 3)):
        table, key = draw.choice(list(places(data)))
        kind = draw.randrange(8)
        if kind < 4:
            table[key] = deepcopy(draw.choice(VALUES))
        elif kind == 4 and table is not data:
            del table[key]
        elif kind == 5 and isinstance(table, dict) and table is not data:
            table[draw.choice(["x", "", str(key) * 99, "a\0", "\ud800"])] = deepcopy(table[key])
        elif kind == 6:
            for _ in range(draw.choice([1, 70, 500])):
                table[key] = draw.choice([[table[key]], {"a": table[key]}])
        elif isinstance(table[key], list) and len(table[key]) < 100:
            table[key] = table[key] * draw.choice([2, 50])
    return data[""]


def json_changed(content: bytes, draw: Draw) -> bytes:
    """JSON with fields changed, still JSON, or nearly."""
    return json.dumps(changed(json.loads(content), draw)).encode()


def _bits(content: bytes, draw: Draw) -> bytes:
    out = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 8])):
        out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def _cut(content: bytes, draw: Draw) -> bytes:
    return content[: draw.randrange(len(content))]


def _without(content: bytes, draw: Draw) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + content[at + draw.randint(1, 40) :]


def _with(content: bytes, draw: Draw) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + draw.choice(ODD) + content[at:]


def _twice(content: bytes, draw: Draw) -> bytes:
    at = draw.randrange(len(content))
    part = content[at : at + draw.randint(1, 200)]
    return content[:at] + part * draw.choice([2, 300]) + content[at:]


def _number(content: bytes, draw: Draw) -> bytes:
    found = list(re.finditer(rb"\d+", content))
    if not found:
        return _with(content, draw)
    one = draw.choice(found)
    return content[: one.start()] + draw.choice(NUMBERS) + content[one.end() :]


def _word(content: bytes, draw: Draw) -> bytes:
    words = list(re.finditer(rb"[A-Za-z_]+", content))
    if not words:
        return _with(content, draw)
    one, other = draw.choice(words), draw.choice(words)
    return content[: one.start()] + other[0] + content[one.end() :]


def _line(content: bytes, draw: Draw) -> bytes:
    lines = content.split(b"\n")
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[draw.choice([at, other])]
    return b"\n".join(lines)


def _other(content: bytes, draw: Draw) -> bytes:
    return draw.choice([b"", b"\n", b"{}", b"[]", b"0", b"\0" * 64, draw.randbytes(200), b"PAR1"])


ANY: tuple[Mutation, ...] = (_bits, _bits, _cut, _without, _with, _twice, _other)
TEXT: tuple[Mutation, ...] = (*ANY, _number, _number, _number, _word, _line)


def odd_files(path: Path) -> Iterator[str]:
    """Put in a file's place, one after the other, what is no file of moderate size; says what."""
    makers: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "a folder": lambda: path.mkdir(),
        "a pipe": lambda: os.mkfifo(path),
        "a link to itself": lambda: path.symlink_to(path),
        "a link to zeros": lambda: path.symlink_to("/dev/zero"),
        "a huge file": lambda: _huge(path),
    }
    for what, make in makers.items():
        path.unlink(missing_ok=True)
        make()
        yield what
        if path.is_dir():
            path.rmdir()


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**36)  # 64 GiB of zeros that take no room
