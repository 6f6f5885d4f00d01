"""Results that took long, kept as JSON beside what they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accel_models.errors import InputError
from dfs_hw.provenance import write_json


def kept(path: Path, made_from: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """What an earlier call left at `path`, if it was made from the same; else it is made, and left.

    Args:
        made_from: all that the result depends on, as JSON can hold it.
        make: returns the result, as JSON can hold it.

    Returns:
        The result as JSON has it: lists for tuples, text for keys.

    Raises:
        InputError: if the file is damaged.
    """
    origin = json.loads(json.dumps(dict(made_from)))
    if path.is_file():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["made_from"] == origin:
                return content["result"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is damaged, or not what was left there: delete it to have it made anew"
            ) from error
    result = json.loads(json.dumps(make(), allow_nan=False))
    write_json(path, {"made_from": origin, "result": result})
    return result
