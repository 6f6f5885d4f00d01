"""Lists of fields come from the schema, and the page that is made of them is up to date."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from places import ROOT
from pydantic import ValidationError

from accel_models import list_accelerators, load_accelerator
from accel_models.accelerators.arrays import FAMILIES
from accel_models.accelerators.sections import Dram
from accel_models.explain.machine_fields import (
    PAGE,
    FieldTable,
    MachineField,
    machine_fields,
    page,
)

TABLES = machine_fields()


def listed() -> Iterator[tuple[str, str, MachineField]]:
    """Family, dotted path and field of everything that is listed."""
    for table in TABLES:
        for field in table.fields:
            yield table.family, f"{table.name}.{field.name}".removeprefix("."), field


def table_of(name: str, family: str = "") -> FieldTable:
    (found,) = (one for one in TABLES if (one.name, one.family) == (name, family))
    return found


def test_the_page_says_what_the_schema_says() -> None:
    made = f"python -m accel_models.explain.machine_fields > {PAGE}"
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), f"out of date: {made}"


@pytest.mark.parametrize("name", list_accelerators())
def test_every_number_of_every_machine_is_listed_with_its_unit(name: str) -> None:
    machine = load_accelerator(name)
    families = ("", machine.array.family)
    units = {path: field.unit for family, path, field in listed() if family in families}
    for path, _, _ in machine.constants():
        assert units[path], path


def test_every_field_and_table_says_what_it_means() -> None:
    silent = [path for _, path, field in listed() if not field.meaning]
    assert silent == []
    assert all(table.meaning for table in TABLES)
    assert {table.family for table in TABLES} == {"", *FAMILIES}


def test_ranges_are_those_that_files_are_held_to() -> None:
    fields = {field.name: field for field in table_of("dram").fields}
    burst = fields["burst_bytes"]
    assert (burst.low, burst.high, burst.low_is_in, burst.required) == (0, 2**20, True, True)
    assert burst.range == "0 to 1048576"
    dram = load_accelerator("bitfusion").dram.model_dump()
    assert Dram.model_validate(dram | {"burst_bytes": 2**20})
    for outside in (-1, 2**20 + 1):
        with pytest.raises(ValidationError):
            Dram.model_validate(dram | {"burst_bytes": outside})
    buffers = {field.name: field for field in table_of("buffers").fields}
    assert buffers["weight_bytes"].range == "above 0 to 1e+12"
    assert (buffers["word_bits"].required, buffers["word_bits"].default) == (False, None)


def test_a_familys_own_fields_stand_by_themselves() -> None:
    own = {family: {f.name for f in table_of("array", family).fields} for family in FAMILIES}
    flow = {"synthesis", "synthesis_ns"}
    assert own["bit_fusion"] == {"max_bits", "min_bits", "widest_bits", "temporal"} | flow
    assert own["loom"] == {"windows", "widest_bits", "serial_bits"} | flow
    assert "rows" in {field.name for field in table_of("array").fields}
    assert {f.name for f in table_of("array.stated", "loom").fields} >= {"pj_per_operation"}


def test_the_command_line_lists_them(
    printed: Callable[..., str], refused: Callable[..., str]
) -> None:
    facts = json.loads(printed("accelerators", "--fields", "--json"))
    (dram,) = (table for table in facts if table["name"] == "dram")
    (rate,) = (field for field in dram["fields"] if field["name"] == "gb_per_s")
    assert (rate["unit"], rate["low"]) == ("10^9 bytes per second", 1e-6)
    text = printed("accelerators", "--fields")
    assert '[array] of family = "loom"' in text and "reconfiguration_cycles" in text
    assert "leave out bitfusion" in refused("accelerators", "bitfusion", "--fields")
    assert "ask for one" in refused("accelerators", "--fields", "--compare")
