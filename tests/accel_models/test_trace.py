"""What a trace's header says: written by this version or by 0.1, changed by someone or damaged."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from accel_models import InputError
from accel_models.trace import METADATA_KEY, GateTrace, TraceHeader

SHIPPED = Path(__file__).parents[2] / "traces" / "digits-resnet14-bitfusion.parquet"


def header() -> dict[str, Any]:
    """As version 0.1 wrote it."""
    written: dict[str, Any] = json.loads(pq.read_schema(SHIPPED).metadata[METADATA_KEY])
    assert written["format"] == 1
    return written


def test_the_shipped_trace_of_0_1_keeps_the_geometry_it_was_priced_with(tmp_path: Path) -> None:
    trace, old = GateTrace.read(SHIPPED), header()["workload"]["layers"]
    for layer, before in zip(trace.header.workload.layers, old, strict=True):
        (rows, columns), (down, across) = layer.in_size, before["stride"]
        assert layer.out_size == tuple(before["out_size"])
        assert layer.padding == (before["padding"][0],) * 2 + (before["padding"][1],) * 2
        if layer.kernel != (1, 1):  # these are 3x3, padded by one on each side
            assert (rows, columns) == (layer.out_size[0] * down, layer.out_size[1] * across)
    trace.write(tmp_path / "again.parquet")
    assert GateTrace.read(tmp_path / "again.parquet").header == trace.header


def test_layers_that_do_not_match_their_key_are_refused() -> None:
    changed = header()
    changed["workload"]["layers"][0]["in_channels"] = 999
    with pytest.raises(InputError, match="its layers do not match its workload_key"):
        TraceHeader.from_dict(changed)


@pytest.mark.parametrize(
    ("field", "value"), [("kernel", [3]), ("role", "weird"), ("unit", [1, 1]), ("groups", 1.5)]
)
def test_a_field_that_is_none_is_named(field: str, value: Any) -> None:
    changed = copy.deepcopy(header())
    changed["workload"]["layers"][0][field] = value
    with pytest.raises(InputError, match=rf"\b{field}\b"):
        TraceHeader.from_dict(changed)


def test_traces_of_later_versions_are_refused() -> None:
    with pytest.raises(InputError, match="trace format 3 is later than the known 2"):
        TraceHeader.from_dict(header() | {"format": 3})
