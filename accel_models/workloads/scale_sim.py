"""Topologies of SCALE-Sim, read by that tool's own conventions.

Its files list convolutions (map, filter, channels, filters, stride) or matrix products (M, N, K).
As that tool has it, values count by place; maps include their padding and are read as they are; a
window that only begins inside the map makes an output too, so sizes are rounded up; rows called
``DP`` filter each channel on its own; what follows the last comma is no value; a name may come
again. (``scalesim/topology_utils.py`` of scalesim-project/SCALE-Sim.)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from accel_models.errors import InputError
from accel_models.workloads.csv_rows import CsvRow, whole_number
from accel_models.workloads.workload import Layer

NAMES = {"layer name", "layer", "l"}
CONVOLUTION = (
    NAMES,
    {"ifmap height", "ifmap width"},  # some of its files have the width twice
    {"ifmap width"},
    {"filter height"},
    {"filter width"},
    {"channels"},
    {"num filter", "num filters"},
)
ONE_STRIDE = ({"strides", "stride"},)
TWO_STRIDES = ({"stride height"}, {"stride width"})
PRODUCT = (NAMES, {"m"}, {"n"}, {"k"})
EXTRAS = ({"sparsity"}, {"batch size", "batch"})
"""May follow, in this order."""
DEPTHWISE = re.compile(r"depth[-_ ]?wise|(?<![a-z])dw(?![a-z])", re.IGNORECASE)


class Form(NamedTuple):
    """Which list a file is, and what its columns are."""

    product: bool
    sizes: tuple[str, ...]
    """Names of the columns with sizes, after that of the layer's name."""
    extras: tuple[str, ...]


def is_topology(names: list[str]) -> bool:
    """Whether a header is meant for a topology."""
    return bool({"ifmap width", "ifmap height"} & set(names)) or {"m", "n", "k"} <= set(names)


def read_topology(
    path: Path, names: list[str], rows: list[CsvRow]
) -> tuple[list[Layer], list[str]]:
    """The layers, and a sentence on each thing that was assumed about them.

    Raises:
        InputError: naming line and column of what that tool would not take either, or what it
            would take and no machine here can do.
    """
    form = _form(path, names)
    layers: list[Layer] = []
    said: list[str] = []
    used: set[str] = set()
    for row in rows:
        name = row.cells[0] or f"row {row.line}"
        if not any(row.cells[1:]):
            said.append(f"line {row.line}, '{name}', has no sizes: a title")
            continue
        try:
            if surplus := [cell for cell in row.cells[1 + len(form.sizes + form.extras) :] if cell]:
                said.append(f"line {row.line}: what follows the last column is left out: {surplus}")
            layer = _layer(_once(name, used), row, form, said)
        except InputError as error:
            raise InputError(f"{path}: line {row.line}: {error}") from error
        layers.append(layer)
    return layers, said


def _once(name: str, used: set[str]) -> str:
    """The name, or one made from it that was not used yet."""
    free, number = name, 1
    while free in used:
        number += 1
        free = f"{name} ({number})"
    used.add(free)
    return free


def _form(path: Path, names: list[str]) -> Form:
    product = "m" in names
    places: tuple[set[str], ...] = PRODUCT
    if not product:
        two = any("stride h" in name or "stride w" in name for name in names)
        places = (*CONVOLUTION, *(TWO_STRIDES if two else ONE_STRIDE))
    for number, (place, name) in enumerate(
        zip(places, [*names, *[""] * len(places)], strict=False)
    ):
        if name not in place:
            raise InputError(
                f"{path} is no topology of SCALE-Sim: its column {number + 1} should be "
                f"'{sorted(place)[0]}', not '{name}'"
            )
    rest, extras = names[len(places) :], []
    for extra in EXTRAS:
        if rest and rest[0] in extra:
            extras.append(rest.pop(0))
    if rest:
        raise InputError(f"{path} has a column '{rest[0]}' that SCALE-Sim does not know")
    # Both sizes of the map, whatever the header calls the first.
    fixed = () if product else ("ifmap height", "ifmap width")
    return Form(product, (*fixed, *names[1 + len(fixed) : len(places)]), tuple(extras))


def _layer(name: str, row: CsvRow, form: Form, said: list[str]) -> Layer:
    cells = dict(zip((*form.sizes, *form.extras), row.cells[1:], strict=False))
    for extra in form.extras:
        _refuse_extra(extra, cells.get(extra, ""))
    values = [whole_number(column, cells.get(column, ""), least=1) for column in form.sizes]
    if form.product:
        positions, outputs, inputs = values
        return Layer(name, inputs, outputs, in_size=(positions, 1))
    return _convolution(name, values, said)


def _convolution(name: str, values: list[int], said: list[str]) -> Layer:
    rows, columns, down, across, channels, filters, *strides = values
    for side, filter_side, size in (("height", down, rows), ("width", across, columns)):
        if filter_side > size:
            raise InputError(f"a filter of {side} {filter_side} is larger than its map of {size}")
    stride = (strides[0], strides[-1])
    groups = _groups(name, channels, filters, said)
    if groups == 1 and channels == 1 and across == columns:
        # A matrix product, as these files write them: rows of the map times whole rows of weights.
        channels, columns, across = columns, 1, 1
    # Where the last window begins inside the map and ends outside it, what it finds are zeros.
    ends = [
        max(0, -(-(size - kernel) // step) * step + kernel - size)
        for size, kernel, step in zip((rows, columns), (down, across), stride, strict=True)
    ]
    return Layer(
        name,
        channels,
        filters * groups,
        kernel=(down, across),
        in_size=(rows, columns),
        stride=stride,
        padding=(0, ends[0], 0, ends[1]),
        groups=groups,
    )


def _groups(name: str, channels: int, filters: int, said: list[str]) -> int:
    """Groups of a layer: as many as channels where each is filtered on its own."""
    if "DP" in name:
        return channels
    if channels == 1 or not DEPTHWISE.search(name):
        return 1
    if filters > 1:
        raise InputError(
            f"'{name}' is called depthwise and has {filters} filters of {channels} channels: give "
            "the filters of one channel, or call it otherwise"
        )
    said.append(f"'{name}', of one filter, is taken for a depthwise layer, though not called DP")
    return channels


def _refuse_extra(column: str, text: str) -> None:
    if column == "sparsity":
        kept, _, of = text.partition(":")
        if text and not (kept.strip() == of.strip() and kept.strip().isdecimal()):
            raise InputError(f"a sparsity of {text}: no machine here leaves out zero weights")
    elif text and whole_number(column, text, least=1) != 1:
        raise InputError(
            f"a {column} of {text}: the batch is one for all layers, asked for where the table is "
            "used (--batch)"
        )
