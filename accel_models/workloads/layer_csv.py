"""Workloads from CSV files: one layer a row, in this project's columns or as SCALE-Sim topologies.

Own columns: ``name, in_channels, out_channels, kernel, out_size`` and, where they differ from 1, 0
and 1, ``stride, padding, groups``; sizes are ``3`` or ``3x5`` (rows x columns). A layer with
``reads_image`` 1 reads the network's 8-bit input; by default the first does.

SCALE-Sim columns: ``Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels,
Num Filter, Strides`` (input maps include their padding, as that tool has it).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from accel_models.errors import InputError
from accel_models.workloads.workload import Layer, Workload

MAX_DIGITS = 9
OWN = ("name", "in_channels", "out_channels", "kernel", "out_size")
SCALE_SIM = (
    "layer name",
    "ifmap height",
    "ifmap width",
    "filter height",
    "filter width",
    "channels",
    "num filter",
    "strides",
)


def read_layers(path: str | Path) -> Workload:
    """Read a chain of layers.

    Raises:
        InputError: if the file is missing or malformed: names the line and the column.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            parse = _parser(path, columns)
            layers = [
                _parsed(path, reader.line_num, row, parse, first=number == 0)
                for number, row in enumerate(reader)
            ]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error
    return Workload.chain(path.stem, layers)


CsvRow = Mapping[str, str]


def _parser(path: Path, columns: list[str]) -> Callable[[CsvRow, bool], Layer]:
    if set(OWN) <= set(columns):
        return _own_layer
    if set(SCALE_SIM) <= set(columns):
        return _scale_sim_layer
    raise InputError(
        f"{path} is no list of layers: it needs the columns {', '.join(OWN)}, "
        f"or those of a SCALE-Sim topology ({', '.join(SCALE_SIM)})"
    )


def _parsed(
    path: Path, line: int, row: CsvRow, parse: Callable[[CsvRow, bool], Layer], *, first: bool
) -> Layer:
    try:
        return parse(row, first)
    except InputError as error:
        raise InputError(f"{path}: line {line}: {error}") from error


def _own_layer(row: CsvRow, first: bool) -> Layer:
    reads_image = row.get("reads_image")
    return Layer(
        name=row["name"],
        in_channels=_number(row, "in_channels"),
        out_channels=_number(row, "out_channels"),
        kernel=_pair(row, "kernel"),
        out_size=_pair(row, "out_size"),
        stride=_pair(row, "stride", "1"),
        padding=_pair(row, "padding", "0"),
        groups=_number(row, "groups", "1"),
        reads_image=first if not reads_image else reads_image == "1",
    )


def _scale_sim_layer(row: CsvRow, first: bool) -> Layer:
    size = {column: _number(row, column) for column in SCALE_SIM[1:]}
    stride = size["strides"]
    if stride < 1:
        raise InputError("strides must be at least 1, got 0")
    kernel = (size["filter height"], size["filter width"])
    rows, columns = (
        (size[f"ifmap {side}"] - extent) // stride + 1
        for side, extent in zip(("height", "width"), kernel, strict=True)
    )
    return Layer(
        name=row["layer name"].strip(),
        in_channels=size["channels"],
        out_channels=size["num filter"],
        kernel=kernel,
        out_size=(rows, columns),
        stride=(stride, stride),
        reads_image=first,
    )


def _pair(row: CsvRow, column: str, default: str = "") -> tuple[int, int]:
    sides = (row.get(column) or default).lower().split("x")
    if len(sides) > 2 or not all(
        side.strip().isdecimal() and len(side) <= MAX_DIGITS for side in sides
    ):
        raise InputError(f"{column} must be a size such as 3 or 3x5, got '{row.get(column)}'")
    return int(sides[0]), int(sides[-1])


def _number(row: CsvRow, column: str, default: str = "") -> int:
    text = (row.get(column) or default).strip()
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        raise InputError(f"{column} must be a whole number, got '{row.get(column)}'")
    return int(text)
