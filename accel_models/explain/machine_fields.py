"""Every field of a machine's file: unit, range and meaning, from the schema itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.array import Array
from accel_models.accelerators.arrays.registry import (
    FAMILIES,
    family_called,
    is_own,
    known_families,
)
from accel_models.source import In, Part

NOT_STATED = ("provenance",)
"""Fields of a machine that its file does not have."""
PAGE = "docs/machine_fields.md"
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}


class MachineField(NamedTuple):
    """One field: what a file may say there, and what it means."""

    name: str
    kind: str
    """Type in words, or the values to choose from."""
    unit: str
    """Unit of a number, ``""`` where there is none."""
    low: float | None
    high: float | None
    low_is_in: bool
    """Whether the low end itself is allowed; the high end always is."""
    required: bool
    default: Any
    meaning: str

    @property
    def range(self) -> str:
        """Ends of the range in words, ``""`` where there are none."""
        low, high = (None if end is None else _number(end) for end in (self.low, self.high))
        if low is None:
            return "" if high is None else f"at most {high}"
        if high is None:
            return f"{'at least' if self.low_is_in else 'above'} {low}"
        return f"{low if self.low_is_in else f'above {low}'} to {high}"


class FieldTable(NamedTuple):
    """One table of a machine's file."""

    name: str
    """Dotted name of the table, ``""`` for the top of the file."""
    family: str
    """Family of arrays that alone has these fields, ``""`` where all have."""
    meaning: str
    fields: tuple[MachineField, ...]


def machine_fields(families: Iterable[str] | None = None) -> tuple[FieldTable, ...]:
    """All tables of a machine's file, in the order of the schema; what a family of arrays adds to
    ``[array]`` comes after what all families have.

    Args:
        families: which are listed; by default all that are known.

    Raises:
        InputError: if a family of an installed package cannot be loaded.
    """
    return tuple(_tables(known_families() if families is None else families))


def page() -> str:
    """The text of `PAGE`: all tables as Markdown, with the families of this package."""
    lines = [
        "# Fields of a machine's file",
        "",
        "Made from the schema by `python -m accel_models.explain.machine_fields`; the same on the",
        "terminal: `dfs-hw accelerators --fields`. How to write such a file:",
        "[own_machine.md](own_machine.md).",
        "",
        "A field without a default has to be stated, here or in the base. A number is stated bare,",
        'or as `{ value = 12, status = "published", source = "...", low = 6, high = 24 }`.',
    ]
    for table in machine_fields(sorted(name for name, kind in FAMILIES.items() if is_own(kind))):
        lines += ["", f"## {title(table)}", "", table.meaning, ""]
        lines += [
            "| field | value | unit | range | default | meaning |",
            "|---|---|---|---|---|---|",
        ]
        lines += [f"| {' | '.join(_cells(field))} |" for field in table.fields]
    return "\n".join(lines) + "\n"


def title(table: FieldTable) -> str:
    """Name of a table as its file has it, with the family where only one has its fields."""
    named = f"[{table.name}]" if table.name else "Top of the file"
    return f'{named} of family = "{table.family}"' if table.family else named


def default_text(field: MachineField) -> str:
    """Default of a field as a file would state it, ``""`` if it must be stated."""
    if field.required:
        return ""
    if field.default is None or field.default == ():
        return "none"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _cells(field: MachineField) -> tuple[str, ...]:
    meaning = field.meaning.replace("|", "\\|")
    return (
        f"`{field.name}`",
        field.kind,
        field.unit,
        field.range,
        default_text(field),
        meaning,
    )


def _tables(families: Iterable[str]) -> Iterator[FieldTable]:
    stated = {k: v for k, v in Accelerator.model_fields.items() if k not in NOT_STATED}
    fields = (_field(name, info) for name, info in stated.items() if _part(info) is None)
    yield FieldTable("", "", _said(Accelerator.__doc__), (_BASE, *fields))
    for name, info in stated.items():
        part = _part(info)
        if part is Array:
            yield from _arrays(families)
        elif part is not None:
            yield from _nested(name, part, "", skip=())


def _arrays(families: Iterable[str]) -> Iterator[FieldTable]:
    yield from _nested("array", Array, "", skip=())
    for family in families:
        kind = family_called(family)
        assert kind is not None  # it is known
        yield from _nested("array", kind, family, skip=tuple(Array.model_fields))


def _nested(
    name: str, part: type[Part], family: str, skip: tuple[str, ...]
) -> Iterator[FieldTable]:
    """A table of a file, and the tables inside it."""
    infos = {key: info for key, info in part.model_fields.items() if key not in skip}
    fields = (_field(key, info) for key, info in infos.items() if _part(info) is None)
    yield FieldTable(name, family, _said(part.__doc__), tuple(fields))
    for key, info in infos.items():
        inner = _part(info)
        if inner is not None:
            inside = tuple(_nested(f"{name}.{key}", inner, family, skip=()))
            yield inside[0]._replace(meaning=_said(info.description) or inside[0].meaning)
            yield from inside[1:]


_BASE = MachineField(
    "base",
    "text",
    "",
    None,
    None,
    True,
    False,
    None,
    "Machine that this one builds on, by name or as the path of a file relative to this one: only "
    "what differs is stated.",
)


def _part(info: FieldInfo) -> type[Part] | None:
    """The table that a field holds, or a list of; None for a value."""
    for kind in (info.annotation, *get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, Part):
            return kind
    return None


def _field(name: str, info: FieldInfo) -> MachineField:
    ends = {type(one): one for one in info.metadata}
    low, above = ends.get(Ge), ends.get(Gt)
    high, unit = ends.get(Le), ends.get(In)
    return MachineField(
        name,
        kind=_kind(info.annotation),
        unit=unit.unit if unit else "",
        low=low.ge if low else above.gt if above else None,
        high=high.le if high else None,
        low_is_in=above is None,
        required=info.is_required(),
        default=None if info.is_required() else info.get_default(call_default_factory=True),
        meaning=_said(info.description),
    )


def _kind(annotation: Any) -> str:
    """The type of a field in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        (only,) = (one for one in inner if one is not NoneType)
        return _kind(only)
    if origin is Literal:
        return ", ".join(inner)
    if origin is tuple:
        return f"list: {_kind(inner[0])}"
    return WORDS[annotation]


def _number(value: float) -> str:
    """An end of a range, in full where that is short."""
    return f"{value:.0f}" if value == int(value) and value < 1e8 else f"{value:g}"


def _said(text: str | None) -> str:
    """A docstring on one line."""
    return " ".join((text or "").split())


if __name__ == "__main__":
    print(page(), end="")
