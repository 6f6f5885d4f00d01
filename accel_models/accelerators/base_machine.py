"""What a machine's file inherits from the machine that it builds on.

Everything but what names that machine: name, title, paper and departures. Tables are inherited
field by field, each number with its source. Two fields of which only one can be stated make way for
each other (`instead.INSTEAD`). An array of another family inherits nothing of the base's, and no
banks either: both go with its arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accel_models.accelerators.instead import INSTEAD

NOT_INHERITED = ("name", "title", "paper", "departures")
BANKING = ("weight_banks", "input_banks", "output_banks", "word_bits")
"""Fields of ``[buffers]`` that go with the array's family."""


def with_base(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a file that states `own` and builds on a machine of the tables `base`."""
    inherited = {key: value for key, value in base.items() if key not in NOT_INHERITED}
    family = _part(own, "array").get("family")
    if family is not None and family != _part(base, "array").get("family"):
        inherited["array"] = {}
        inherited["buffers"] = _without(_part(base, "buffers"), *BANKING)
    for stated, other in INSTEAD:
        table, field = stated.split(".")
        if field in _part(own, table):
            inherited[table] = _without(_part(inherited, table), other.split(".")[1])
    return _merged(own, inherited)


def _merged(own: Mapping[str, Any], inherited: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(inherited)
    for key, value in own.items():
        before = merged.get(key)
        both = _is_table(value) and _is_table(before)
        merged[key] = _merged(value, before) if both else value  # type: ignore[arg-type]
    return merged


def _is_table(value: Any) -> bool:
    """Whether a value is a table of fields, not a number with its source."""
    return isinstance(value, Mapping) and "value" not in value


def _part(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = tables.get(name)
    return part if isinstance(part, Mapping) else {}


def _without(table: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in fields}
