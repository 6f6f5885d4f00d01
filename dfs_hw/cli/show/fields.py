"""Fields of machine files as tables on the terminal, and as plain dictionaries for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accel_models.explain.machine_fields import FieldTable, default_text, title
from dfs_hw.cli.show.tables import line, new_table, terminal

TEXT = ("value", "range", "default", "meaning")


def fields(tables: Sequence[FieldTable]) -> None:
    """Print all fields, table by table."""
    for table in tables:
        line(f"\n{title(table)}", bold=True)
        line(table.meaning)
        if not table.fields:
            continue
        shown = new_table("field", "value", "unit", "range", "default", "meaning", text=TEXT)
        for field in table.fields:
            texts = (field.kind, field.unit, field.range, default_text(field), field.meaning)
            shown.add_row(field.name, *texts)
        terminal().print(shown)
    line("\nA field without a default has to be stated, in the file or in its base.")


def field_facts(tables: Sequence[FieldTable]) -> list[dict[str, Any]]:
    """Tables of fields as dictionaries."""
    return [
        table._asdict() | {"fields": [field._asdict() for field in table.fields]}
        for table in tables
    ]
