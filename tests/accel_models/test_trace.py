"""What a trace's header says: written by this version or by 0.1, changed by someone or damaged."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accel_models import InputError, Layer, Workload
from accel_models.precision import parse_choices
from accel_models.trace import METADATA_KEY, GateTrace, TraceHeader

OLD = Path(__file__).parent / "trace_of_0_1.parquet"
"""Recorded by version 0.1, on the demo's test images."""


def header() -> dict[str, Any]:
    """As version 0.1 wrote it."""
    written: dict[str, Any] = json.loads(pq.read_schema(OLD).metadata[METADATA_KEY])
    assert written["format"] == 1
    return written


def written() -> dict[str, Any]:
    """As this version writes it."""
    return TraceHeader.from_dict(header()).to_dict()


def test_a_trace_of_0_1_keeps_the_geometry_it_was_priced_with(tmp_path: Path) -> None:
    """A warning says that it has no digest; rewritten, it has one."""
    with pytest.warns(UserWarning, match=r"0_1\.parquet is of trace format 1 and has no digest"):
        trace = GateTrace.read(OLD)
    old = header()["workload"]["layers"]
    for layer, before in zip(trace.header.workload.layers, old, strict=True):
        (rows, columns), (down, across) = layer.in_size, before["stride"]
        assert layer.out_size == tuple(before["out_size"])
        assert layer.padding == (before["padding"][0],) * 2 + (before["padding"][1],) * 2
        if layer.kernel != (1, 1):  # these are 3x3, padded by one on each side
            assert (rows, columns) == (layer.out_size[0] * down, layer.out_size[1] * across)
    trace.write(tmp_path / "again.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GateTrace.read(tmp_path / "again.parquet").header == trace.header


def test_layers_that_do_not_match_their_key_are_refused() -> None:
    changed = header()
    changed["workload"]["layers"][0]["in_channels"] = 999
    with pytest.raises(InputError, match="its layers do not match its workload_key"):
        TraceHeader.from_dict(changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("kernel", [3]), ("role", "weird"), ("unit", [1, 1]), ("groups", 1.5)),
        *(("out_size", ["a", 10**9]), ("stride", [True, 1]), ("padding", 1), ("padding", [1])),
        *(("name", 5), ("reads_image", 1), ("in_channels", "16"), ("kernel", None)),
    ],
)
def test_a_field_that_is_none_is_named(field: str, value: Any) -> None:
    changed = copy.deepcopy(header())
    changed["workload"]["layers"][0][field] = value
    with pytest.raises(InputError, match=rf"\b{field}\b"):
        TraceHeader.from_dict(changed)


@pytest.mark.parametrize("format_", [1, 4])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("format", True), ("format", 1.0), ("format", "1"), ("format", 0), ("format", None)),
        *(("network", 5), ("dataset", None), ("accelerator", ["bitfusion"]), ("version", 0.1)),
        *(("seed", "0"), ("seed", True), ("seed", 1.0), ("seed", -1), ("workload_key", 4)),
        *(("choices", "skip,2,4,8"), ("choices", [2, 8]), ("choices", ["8", "8"])),
        *(("choices", ["skip"]), ("choices", ["9" * 5000]), ("choices", [["8"]])),
        *(("always", 8), ("always", "skip"), ("always", "8.5"), ("workload", [])),
    ],
)
def test_a_field_of_the_header_of_another_kind_is_named(
    format_: int, field: str, value: Any
) -> None:
    given = header() if format_ == 1 else written()
    with pytest.raises(InputError, match=rf"\b{field}\b"):
        TraceHeader.from_dict(given | {field: value})


@pytest.mark.parametrize("field", ["name", "layers", "edges"])
@pytest.mark.parametrize("value", [None, 5, "", {}, "missing"])
def test_a_field_of_the_workload_of_another_kind_is_named(field: str, value: Any) -> None:
    given = copy.deepcopy(header())
    given["workload"][field] = value
    if value == "missing":
        del given["workload"][field]
    if not (field == "name" and isinstance(value, str)):
        with pytest.raises(InputError, match=rf"\b{field}\b"):
            TraceHeader.from_dict(given)


@pytest.mark.parametrize("given", [header(), written()])
def test_missing_and_unknown_fields_are_named(given: dict[str, Any]) -> None:
    for field in given:
        with pytest.raises(InputError, match=rf"\b{field}\b"):
            TraceHeader.from_dict({name: given[name] for name in given if name != field})
    with pytest.raises(InputError, match="unknown network_"):
        TraceHeader.from_dict(given | {"network_": "resnet14"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("choices", ["skip", "2", "4", "7"]), ("always", "7"), ("accelerator", "stripes")),
        *(("network", "resnet15"), ("seed", 1), ("version", "0.1.1"), ("dataset", "digits/train")),
        ("plugin", "other.py"),
    ],
)
def test_no_field_of_a_header_can_be_changed_unseen(field: str, value: Any) -> None:
    assert TraceHeader.from_dict(written()).to_dict() == written()
    with pytest.raises(InputError, match="does not match its digest: it was changed"):
        TraceHeader.from_dict(written() | {field: value})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"seed": ' + "9" * 5000 + "}", "{", "[]", "\xff"])
def test_a_header_that_is_no_header_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(
        pa.table({"input_id": [1]}, metadata={METADATA_KEY: text.encode("latin-1")}), path
    )
    with pytest.raises(InputError, match=r"odd\.parquet has a header that cannot be read"):
        GateTrace.read(path)


def test_units_are_not_called_what_other_columns_are() -> None:
    layer = Layer("conv", 4, 4, role="body", unit="label")
    chosen = parse_choices("skip,8")
    named = TraceHeader("one", "none", Workload("one", (layer,)), chosen, chosen[1], "", 0, "0")
    with pytest.raises(InputError, match="no unit can be called label: a column of traces is"):
        named.schema()


def test_traces_of_later_versions_are_refused() -> None:
    with pytest.raises(InputError, match="trace format 5 is later than the known 4"):
        TraceHeader.from_dict(header() | {"format": 5})


def test_a_name_of_a_column_that_is_no_text_is_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    shipped = Path(__file__).parents[2] / "traces" / "digits-resnet14-bitfusion.parquet"
    raw = bytearray(shipped.read_bytes())
    at = raw.index(b"prediction")
    for place in range(at, at + 10):
        damaged = raw.copy()
        damaged[place] ^= 0x80
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged|header|columns"):
            GateTrace.read(path)


@pytest.mark.parametrize("promised", [10**14, 2**62, 2**63 - 1])
def test_no_room_is_made_for_rows_that_a_footer_only_promises(
    promised: int, tmp_path: Path
) -> None:
    path = tmp_path / "trace.parquet"
    workload, chosen = (
        Workload("one", (Layer("conv", 4, 4, role="body", unit="a"),)),
        parse_choices("skip,8"),
    )
    head = TraceHeader("one", "none", workload, chosen, chosen[1], "", 0, "0")
    rows = np.arange(4097)
    GateTrace(head, rows, rows, rows, np.zeros((4097, 1), np.uint8)).write(path)
    raw = path.read_bytes()
    start = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    footer = raw[start:-8].replace(varint(4097), varint(promised))
    path.write_bytes(raw[:start] + footer + len(footer).to_bytes(4, "little") + raw[-4:])
    assert pq.read_metadata(path).row_group(0).num_rows == promised
    with pytest.raises(InputError, match=r"trace\.parquet"):
        GateTrace.read(path)


def varint(number: int) -> bytes:
    """A whole number as footers of Parquet have it."""
    left, parts = 2 * number, []
    while left > 127:
        parts.append(left & 127 | 128)
        left >>= 7
    return bytes([*parts, left])


def test_a_trace_of_format_3_reads_without_a_plugin() -> None:
    """As versions before plugins were named wrote it; its digest is over what it has."""
    older = {name: value for name, value in written().items() if name not in ("plugin", "digest")}
    older["format"] = 3
    text = json.dumps(older, sort_keys=True).encode()
    older["digest"] = hashlib.sha256(text).hexdigest()[:16]
    assert TraceHeader.from_dict(older).plugin == ""
    with pytest.raises(InputError, match="unknown plugin"):
        TraceHeader.from_dict(older | {"plugin": "ant.py"})
