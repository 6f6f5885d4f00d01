"""Workloads written as tables of layers, which `layer_csv.read_layers` reads back."""

from __future__ import annotations

import csv
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_models.errors import InputError
from accel_models.files import whole_file
from accel_models.workloads.own_table import COLUMNS, MARKS, NEEDED, NOTHING
from accel_models.workloads.workload import PARTS, Layer, Operands, Workload

if TYPE_CHECKING:
    import pyarrow as pa

ALWAYS = (*NEEDED, "in_size")
"""Columns that are written whatever they hold."""
MARK = {part: "" for part in PARTS} | {part: mark for mark, part in MARKS.items()}


def write_layers(workload: Workload, path: str | Path) -> None:
    """Write a workload in this project's own columns; those that would hold defaults alone are left
    out. Decision units are not part of such a table: their layers become fixed ones.

    Raises:
        InputError: if a layer has a name that would be read as several, or as a mark, or the file
            cannot be written.
    """
    for layer in workload.layers:
        if layer.name != "".join(layer.name.split()) or layer.name[:1] in {*MARKS, NOTHING, ""}:
            raise InputError(
                f"a table cannot name a layer '{layer.name}': it would have blanks, or begin as a "
                "mark does"
            )
    before = [NOTHING, *(layer.name for layer in workload.layers)]
    rows = [
        _cells(layer, workload.operands[layer.name], last)
        for layer, last in zip(workload.layers, before, strict=False)
    ]
    # Without a word, a first layer of few channels would be taken to read the image.
    rows[0]["reads_image"] = _text(workload.layers[0].reads_image)
    used = [name for name in COLUMNS if name in ALWAYS or any(row[name] for row in rows)]
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, used, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def workload_frame(workload: Workload) -> pa.Table:
    """Layers of a workload as rows of a pyarrow table: the columns of `write_layers`, each with its
    value also where it is the default, then MACs, weights and outputs of one input. ``to_pandas``
    makes a DataFrame of it."""
    import pyarrow as pa

    rows, own = [], {one.name for one in fields(Layer)}
    for layer in workload.layers:
        named = _named(workload.operands[layer.name])
        rows.append(
            {name: _plain(getattr(layer, name)) for name in COLUMNS if name in own}
            | {"reads": " ".join(named), "precision": str(layer.widths or "")}
            | {"macs": layer.macs, "weights": layer.weights, "outputs": layer.outputs}
        )
    return pa.Table.from_pylist(rows)


def _plain(value: Any) -> Any:
    return "x".join(map(str, value)) if isinstance(value, tuple) else value


def _named(operands: Operands) -> list[str]:
    """Layers that a layer reads, each with the mark of its part."""
    return [
        MARK[part] + name for part, names in zip(PARTS, operands, strict=True) for name in names
    ]


def _cells(layer: Layer, operands: Operands, last: str) -> dict[str, str]:
    """A row by column, empty where the default holds; `last` is the layer of the row above."""
    reads = " ".join(_named(operands)) or NOTHING
    found = dict.fromkeys(COLUMNS, "") | {
        "reads": "" if reads == last else reads,
        "precision": str(layer.widths or ""),
    }
    for one in fields(layer):
        if one.name in ALWAYS or (one.name in COLUMNS and not _follows(layer, one)):
            found[one.name] = _text(getattr(layer, one.name))
    return found


def _follows(layer: Layer, field: Field[Any]) -> bool:
    """Whether a field has its default, or what follows from the others."""
    default = (0,) * 2 if field.name == "padding" else field.default
    if isinstance(default, tuple):
        default = default[:1] * len(layer.kernel)
    changed: dict[str, Any] = {field.name: default}
    try:
        return replace(layer, **changed) == layer
    except InputError:
        return False


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        alike = len(set(value)) == 1 and len(value) in (2, 4)
        return str(value[0]) if alike else "x".join(map(str, value))
    return str(value)
