"""JSON and TOML: the one way in, with limits on size, depth and digits, and the types of fields.

What comes from outside is bounded before it is parsed, since parsers are not: brackets thousands
deep end in a `RecursionError`, ``a.a.a`` of a hundred thousand parts takes gigabytes, and Python
refuses integers of over 4,300 digits with an error of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from datetime import date, time
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from accel_models.errors import InputError, quoted, reason_of
from accel_models.files import MOST_BYTES, read_bytes

DEEPEST = 64
"""Tables and lists within one another, at most."""
MOST_DIGITS = 100
"""Digits of a number in TOML, at most; no whole number has over 64 bits."""
LARGEST = 2**63 - 1
"""Whole number, at most: of 64 bits, as TOML has them."""
MOST_TOML_BYTES = 2**20
"""Size of a TOML file, which people write, at most."""
_TOKENS = re.compile(
    r'(?P<text>"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5})?'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5})?"
    r'|"(?:[^"\\\n]|\\[^\n])*+"?'
    r"|'[^'\n]*+'?)"
    r"|#[^\n]*+"
    r"|(?P<word>[\w+-]++)"
    r"|(?P<sign>[\[\]{}.,=\n])",
    re.DOTALL,
)
"""Words of TOML, each letter looked at once: strings, comments, bare keys and numbers, signs."""

PARQUET = b"PAR1"
"""What every Parquet file begins with."""

SEAL = "digest"
"""Name under which a document has a digest of all else."""

CLOSED = ConfigDict(extra="forbid")
"""Configuration of a data class that is read from documents, as its ``__pydantic_config__``: fields
that it does not know are refused."""

Kind = TypeVar("Kind")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: if it cannot be read, or as `parse_json`.
    """
    return parse_json(read_bytes(path), str(path))


def parse_json(text: str | bytes, where: str, *, finite: bool = True) -> Any:
    """Data that JSON holds.

    Args:
        where: what errors call the text.
        finite: whether numbers that are infinite, or none, are refused.

    Raises:
        InputError: if it is no JSON, too large or too deep, names a key twice, or has a number that
            no field has.
    """
    if len(text) > MOST_BYTES:
        raise InputError(f"{where} is too large: it may have {MOST_BYTES} bytes")
    try:
        data = json.loads(text, object_pairs_hook=_table)
    except RecursionError as error:
        raise InputError(_too_deep(where)) from error
    except ValueError as error:
        raise InputError(f"{where} is not valid JSON: {reason_of(error)}") from error
    _check(data, where, finite)
    return data


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; errors call it by its path.

    Raises:
        InputError: if it cannot be read, or as `parse_toml`.
    """
    return parse_toml(read_bytes(path, MOST_TOML_BYTES), str(path))


def parse_toml(text: str | bytes, where: str) -> dict[str, Any]:
    """Tables that TOML holds.

    Args:
        where: what errors call the text.

    Raises:
        InputError: if it is no TOML, too large or too deep, or has a number that no field has, a
            date or a time.
    """
    if len(text) > MOST_TOML_BYTES:
        raise InputError(f"{where} is too large: it may have {MOST_TOML_BYTES} bytes")
    try:
        plain = text if isinstance(text, str) else _decoded(text, where)
        _check_words(plain, where)
        data = tomllib.loads(plain)
    except InputError:
        raise
    except RecursionError as error:
        raise InputError(_too_deep(where)) from error
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where} is not valid TOML: {reason_of(error)}") from error
    _check(data, where, finite=False)
    return data


def _decoded(text: bytes, where: str) -> str:
    if text.startswith(PARQUET):
        raise InputError(f"{where} is Parquet, as gate traces are, where TOML belongs")
    return text.decode("utf-8-sig")


def typed(kind: type[Kind], data: Any, where: str) -> Kind:
    """Data of a document as a type says it: a data class, or a container of plain types.

    Args:
        where: what errors call the document.

    Raises:
        InputError: naming the first field that is missing, unknown or of another kind.
    """
    try:
        # Strict, and as JSON has types: a list may stand for a tuple, text never for a number.
        found: Kind = _adapter(cast(Hashable, kind)).validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise InputError(first_fault(error, where)) from error
    return found


def digest_of(data: Any) -> str:
    """Digest of what a document says, as JSON can hold it, however it is spaced and ordered."""
    text = json.dumps(data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """What a document says, as JSON has it, with the digest of it all."""
    plain = json.loads(json.dumps(content))  # where names that are numbers become text
    return {**plain, SEAL: seal_of(plain)}


def seal_of(said: Mapping[str, Any]) -> str:
    """Digest of all that a document says but for its own digest."""
    return digest_of({name: said[name] for name in said if name != SEAL})


def check_seal(said: Mapping[str, Any], where: str, unsealed: str) -> None:
    """Refuse a document that says something else than was `sealed`; one without a digest is warned
    of.

    Args:
        unsealed: what those are that have none, after "is": ``of version 0.1``.

    Raises:
        InputError: if the digest is another's.
    """
    if not said.get(SEAL):
        warnings.warn(
            f"{where} is {unsealed} and has no digest: whether it is whole cannot be told",
            stacklevel=3,
        )
    elif said[SEAL] != seal_of(said):
        raise InputError(f"{where} is damaged: what it says does not match its digest")


def first_fault(error: ValidationError, where: str) -> str:
    """What is wrong with a document, in one sentence about the first field that is."""
    first = error.errors(include_url=False)[0]
    path = ".".join(map(str, first["loc"])) or "it"
    if first["type"] == "missing":
        return f"{where}: {path} is missing"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where}: {path} is not a known field"
    if first["type"] == "value_error":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    must = first["msg"].replace("Input should be", "must be")
    must = must.replace("a valid tuple", "a list").replace("a valid dictionary", "a table")
    must = re.sub(r"an object|an instance of \w+", "a table", must)
    return f"{where}: {path} {must}, got {quoted(first['input'])}"


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        named = Counter(name for name, _ in pairs)
        twice = next(name for name in table if named[name] > 1)
        raise ValueError(f"it names '{twice}' twice in one table")
    return table


def _too_deep(where: str) -> str:
    return f"{where} is nested too deeply: tables and lists may lie {DEEPEST} deep"


def _check_words(text: str, where: str) -> None:
    """Refuse what TOML's parser would take too long for: dotted keys and brackets too deep, and
    numbers of too many digits."""
    parts = nested = 0
    after_dot = False
    for token in _TOKENS.finditer(text):
        if token["word"] or token["text"]:
            parts = parts + 1 if after_dot else 1
            after_dot = False
            word = (token["word"] or "").lstrip("+-")
            if len(word) > MOST_DIGITS and word[0].isdecimal():
                raise InputError(
                    f"{where} has a number of over {MOST_DIGITS} digits, {quoted(word)}"
                )
        elif token["sign"]:
            after_dot = token["sign"] == "."
            nested += (token["sign"] in "[{") - (token["sign"] in "]}")
        if max(parts, nested) > DEEPEST:
            raise InputError(_too_deep(where))


def _check(data: Any, where: str, finite: bool) -> None:
    """Refuse what no field has, or what lies too deep; names the place."""
    path: list[Any] = []
    waiting: list[Iterator[tuple[Any, Any]]] = [iter([("", data)])]
    while waiting:
        for key, value in waiting[-1]:
            kind = type(value)
            if type(key) is str and not key.isascii() and (fault := _fault(key, finite)):
                raise InputError(f"{where}: a name {fault}, got {quoted(key)}")
            if kind is dict or kind is list:
                if len(waiting) > DEEPEST:
                    raise InputError(_too_deep(where))
                if value:
                    path.append(key)
                    waiting.append(iter(value.items() if kind is dict else enumerate(value)))
                    break
            elif kind is int and -LARGEST <= value <= LARGEST:
                continue
            elif fault := _fault(value, finite):
                place = ".".join(map(str, [*path[1:], key])) or "it"
                raise InputError(f"{where}: {place} {fault}, got {quoted(value)}")
        else:
            waiting.pop()
            path = path[:-1]


def _fault(value: Any, finite: bool) -> str:
    if type(value) is int and abs(value) > LARGEST:
        return "must be a whole number of 64 bits"
    if type(value) is float and finite and not math.isfinite(value):
        return "must be a finite number"
    if type(value) is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "must be text that UTF-8 can hold"
    if isinstance(value, date | time):
        return "must be text, a number, true or false, not a date or a time"
    return ""
