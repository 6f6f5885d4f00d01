"""Results that took long, kept as JSON beside what they were made from."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from accel_models.documents import CLOSED, digest_of, read_json, typed
from accel_models.errors import InputError
from dfs_hw.provenance import write_json

Result = TypeVar("Result")
REMEDY = "delete the file to have it made anew"


@dataclass(frozen=True)
class _KeptFile:
    __pydantic_config__ = CLOSED
    made_from: dict[str, Any]
    result: Any
    digest: str = ""
    """Digest of both; files of version 0.1 have none."""


def kept(
    path: Path, made_from: Mapping[str, Any], make: Callable[[], Any], kind: type[Result]
) -> Result:
    """What an earlier call left at `path`, if it was made from the same; else it is made, and left.

    Args:
        made_from: all that the result depends on, as JSON can hold it.
        make: returns the result, as JSON can hold it.
        kind: type of the result, as `documents.typed` reads it.

    Raises:
        InputError: if the file is damaged.
    """
    origin = json.loads(json.dumps(dict(made_from)))
    if os.path.lexists(path):
        content = _read(path)
        if content.made_from == origin:
            return _result(path, content, kind)
    result = json.loads(json.dumps(make(), allow_nan=False))
    write_json(path, asdict(_KeptFile(origin, result, digest_of([origin, result]))))
    return typed(kind, result, f"{path}: result")


def left(path: Path, made_from: Mapping[str, Any], kind: type[Result]) -> Result | None:
    """What an earlier call of `kept` left at `path`, if it was made from this and perhaps more;
    None if from something else, or if there is no file.

    Raises:
        InputError: if the file is damaged.
    """
    if not os.path.lexists(path):
        return None
    content = _read(path)
    origin = json.loads(json.dumps(dict(made_from)))
    if any(content.made_from.get(name) != value for name, value in origin.items()):
        return None
    return _result(path, content, kind)


def _read(path: Path) -> _KeptFile:
    """What a file holds, be it of what is asked or not: damage may lie in what it was made from."""
    try:
        content = typed(_KeptFile, read_json(path), str(path))
    except InputError as error:
        raise InputError(f"{error}: {REMEDY}") from error
    if not content.digest:
        warnings.warn(
            f"{path} is of version 0.1 and has no digest: whether it is whole cannot be told",
            stacklevel=3,
        )
    elif content.digest != digest_of([content.made_from, content.result]):
        raise InputError(f"{path}: its content is not what was left there: {REMEDY}")
    return content


def _result(path: Path, content: _KeptFile, kind: type[Result]) -> Result:
    try:
        return typed(kind, content.result, f"{path}: result")
    except InputError as error:
        raise InputError(f"{error}: {REMEDY}") from error
