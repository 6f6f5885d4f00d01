"""Layers in this project's own columns, one a row. `docs/layer_tables.md` describes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, cast

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.csv_rows import CsvRow, check_columns, sizes, truth, whole_number
from accel_models.workloads.layer import MOST_AXES
from accel_models.workloads.windows import PaddingMode
from accel_models.workloads.workload import Layer, Part

NEEDED = ("name", "in_channels", "out_channels")
MAPS = ("out_size", "in_size")
"""Columns of which at least one says how large the layer's maps are."""
OPTIONAL = ("kernel", "stride", "padding", "dilation", "padding_mode", "groups", "reads_image")
GRAPH = ("operator", "activation", "others", "row", "reads")
WIDTHS = ("precision", "weight_bits", "activation_bits")
COLUMNS = (*NEEDED, *MAPS, *OPTIONAL, *GRAPH, *WIDTHS)
MARKS: dict[str, Part] = {"+": "added", "*": "other"}
"""What stands before the name of a layer that is read, unless it makes the input."""
NOTHING = "-"
"""Stands where a layer reads what no other layer made."""
IMAGE_CHANNELS = 4
"""Channels that an image has at most: gray, colours, and depth or transparency."""


def is_own(names: list[str]) -> bool:
    """Whether a header is meant for these columns."""
    return len(set(names) & set(COLUMNS)) >= len(NEEDED) - 1


class OwnTable(NamedTuple):
    """The layers of a table, what feeds what, and a sentence on each thing that was left open."""

    layers: list[Layer]
    edges: list[tuple[str, ...]]
    said: list[str]


def read_own(path: Path, names: list[str], rows: list[CsvRow]) -> OwnTable:
    """The table.

    Raises:
        InputError: naming line and column of what is missing, unknown or no size.
    """
    check_columns(path, names, COLUMNS)
    missing = [name for name in NEEDED if name not in names]
    if missing or not set(MAPS) & set(names):
        missing = missing or [" or ".join(MAPS)]
        raise InputError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    if "precision" in names and set(WIDTHS[1:]) & set(names):
        raise InputError(f"{path} states widths twice: as precision, and as bits of operands")
    layers: list[Layer] = []
    edges: list[tuple[str, ...]] = []
    guessed: list[str] = []
    first_says = False
    for row in rows:
        if any(row.cells[len(names) :]):
            raise InputError(
                f"{path}: line {row.line} has {len(row.cells)} values in {len(names)} columns"
            )
        cells = {name: cell for name, cell in zip(names, row.cells, strict=False) if cell}
        try:
            layer = _layer(cells)
            edges += _edges(cells, [layer.name for layer in layers])
        except InputError as error:
            raise InputError(f"{path}: line {row.line}: {error}") from error
        first_says = "reads_image" in cells if not layers else first_says
        layers.append(layer)
        if "in_size" not in cells and max(layer.stride) > 1:
            guessed.append(layer.name)
    said = []
    if layers and not first_says:
        layers, sentence = first_reads_image(layers)
        said.append(sentence)
    if stated := [layer.name for layer in layers if layer.widths is not None]:
        said.append(f"widths that the table states hold whatever is asked for: {_listed(stated)}")
    if guessed:
        said.append(
            "without in_size, strided layers read the smallest maps that give their outputs: "
            + _listed(guessed)
        )
    said += _said_of_channels(layers, edges)
    return OwnTable(layers, edges, said)


def _said_of_channels(layers: list[Layer], edges: list[tuple[str, ...]]) -> Iterator[str]:
    """Sentences on rows that read other channels than there are in the rows that they read.

    A table may leave out what lies between, such as a pool or channels that are known before, so
    nothing is refused.
    """
    by_name = {layer.name: layer for layer in layers}
    makers: dict[str, list[Layer]] = {}
    stated: set[str] = set()
    for maker, reader, *part in edges:
        if part in ([], ["input"]):
            makers.setdefault(reader, []).append(by_name[maker])
            stated |= {reader} if part else set()
    found: dict[bool, list[str]] = {}
    for name, read in makers.items():
        layer, made, says = by_name[name], sum(one.out_channels for one in read), name in stated
        if not _goes_with(layer, read, part_will_do=says):
            found.setdefault(says, []).append(f"{name} ({layer.in_channels}, not {made})")
    for says, rows in found.items():
        what = "read more channels than there are in what they read"
        if not says:
            what = "without reads are taken to read the row above, which has other channels"
        yield f"rows {what}: {_listed(rows)}"


def _goes_with(layer: Layer, read: list[Layer], *, part_will_do: bool) -> bool:
    """Whether a layer can read what others make: their channels, or all of their elements as
    channels, or a part of either where that may be meant."""
    made = sum(maker.out_channels for maker in read)
    elements = sum(maker.outputs for maker in read)
    asked = layer.in_channels * math.prod(layer.in_size)
    if layer.operator == "embedding" or made == layer.in_channels or asked == elements:
        return True
    if part_will_do:
        return layer.in_channels < made or asked < elements
    flat = math.prod(layer.in_size) == 1 and layer.in_channels % made == 0
    return flat and layer.in_channels <= elements


def _edges(cells: Mapping[str, str], before: list[str]) -> Iterator[tuple[str, ...]]:
    """Edges to a row's layer: from the row before, or from those that it says it reads."""
    reads = cells.get("reads", " ".join(before[-1:])).split()
    for maker in [] if reads == [NOTHING] else reads:
        part = MARKS.get(maker[0], "input")
        name = maker if part == "input" else maker[1:]
        if name not in before:
            near = get_close_matches(name, before, n=1)
            raise InputError(
                f"reads names no row above: '{name}'"
                + (f" (did you mean '{near[0]}'?)" if near else "")
            )
        yield (name, cells["name"], part) if "reads" in cells else (name, cells["name"])


def _listed(names: list[str]) -> str:
    """Names, the first few of many."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def first_reads_image(layers: list[Layer]) -> tuple[list[Layer], str]:
    """The layers, the first one reading the image if it has as few channels as one, and a sentence
    that says which was assumed."""
    first = layers[0]
    if first.in_channels > IMAGE_CHANNELS:
        return layers, (
            f"'{first.name}' reads {first.in_channels} channels, more than an image has: no layer "
            "is taken to read 8-bit pixels"
        )
    marked = replace(first, reads_image=True)
    return [marked, *layers[1:]], f"'{first.name}' is taken to read the image, in 8-bit pixels"


def _layer(cells: Mapping[str, str]) -> Layer:
    for name in NEEDED:
        if name not in cells:
            raise InputError(f"{name} is missing")
    if not set(MAPS) & set(cells):
        raise InputError(f"{' or '.join(MAPS)} is missing")
    given: dict[str, Any] = {
        name: _per_axis(name, cells[name])
        for name in ("kernel", "out_size", "in_size", "stride", "dilation")
        if name in cells
    }
    if "padding" in cells:
        given["padding"] = _sides(cells["padding"])
    if "padding_mode" in cells:
        given["padding_mode"] = cast(PaddingMode, cells["padding_mode"].lower())
    if "reads_image" in cells:
        given["reads_image"] = truth("reads_image", cells["reads_image"])
    given |= {name: cells[name].lower() for name in ("operator", "activation") if name in cells}
    given |= {name: whole_number(name, cells[name]) for name in ("others", "row") if name in cells}
    return Layer(
        name=cells["name"],
        in_channels=whole_number("in_channels", cells["in_channels"]),
        out_channels=whole_number("out_channels", cells["out_channels"]),
        groups=whole_number("groups", cells.get("groups", "1")),
        widths=_widths(cells),
        **given,
    )


def _per_axis(column: str, text: str) -> tuple[int, ...]:
    """A number for each axis; one number stands for all."""
    example = "3, 3x5 or 1x3x3"
    numbers = sizes(column, text, example)
    if len(numbers) > MOST_AXES:
        raise InputError(f"{column} must be a size such as {example}, got '{text}'")
    return numbers


def _sides(text: str) -> tuple[int, ...]:
    example = "1, 1x0 (rows x columns) or 0x1x0x1 (top x bottom x left x right)"
    numbers = sizes("padding", text, example)
    if len(numbers) not in (1, 2, 3, 4, 6):
        raise InputError(f"padding must be a size such as {example}, got '{text}'")
    return numbers


def _widths(cells: Mapping[str, str]) -> Precision | None:
    """Widths that the row states, or None."""
    if "precision" in cells:
        widths = Precision.parse(cells["precision"])
        if not widths.runs:
            raise InputError(f"precision is that of a layer that runs: it cannot be {widths}")
        return widths
    stated = [name for name in WIDTHS[1:] if name in cells]
    if not stated:
        return None
    if len(stated) == 1:
        raise InputError(
            f"{stated[0]} needs {' and '.join(set(WIDTHS[1:]) - set(stated))} beside it"
        )
    weight, activation = (whole_number(name, cells[name], least=1) for name in WIDTHS[1:])
    return Precision(weight, activation)
