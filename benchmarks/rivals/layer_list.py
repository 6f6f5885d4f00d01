"""Layers to feed to the rivals, read without any package of this project or theirs."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

Pair = tuple[int, int]


@dataclass(frozen=True)
class Shape:
    """A convolution of one input, or a linear layer as one of 1x1; pairs are rows, columns."""

    name: str
    in_channels: int
    out_channels: int
    kernel: Pair
    out_size: Pair
    stride: Pair
    in_size: Pair
    """Of the map in memory: without zero padding, where the list says which part is padding."""

    @property
    def macs(self) -> int:
        rows, columns = self.out_size
        return (
            rows * columns * self.out_channels * self.in_channels * self.kernel[0] * self.kernel[1]
        )


def read_shapes(path: Path) -> list[Shape]:
    """Read a list in this project's columns (with `in_size`), or a SCALE-Sim topology.

    A topology's maps include their padding, so their `in_size` does.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        rows = [
            {(key or "").strip().lower(): value for key, value in row.items()} for row in reader
        ]
    return [_own(row) if "in_channels" in row else _topology(row) for row in rows]


def distinct(shapes: list[Shape]) -> list[Shape]:
    """The first layer of each geometry: both rivals work through equal layers again."""
    return list({replace(shape, name=""): shape for shape in reversed(shapes)}.values())[::-1]


def _own(row: dict[str, str]) -> Shape:
    pairs = {name: _pair(row[name]) for name in ("kernel", "out_size", "stride", "in_size")}
    return Shape(row["name"], int(row["in_channels"]), int(row["out_channels"]), **pairs)


def _topology(row: dict[str, str]) -> Shape:
    kernel = int(row["filter height"]), int(row["filter width"])
    in_size = int(row["ifmap height"]), int(row["ifmap width"])
    stride = int(row["strides"])
    rows, columns = ((size - k) // stride + 1 for size, k in zip(in_size, kernel, strict=True))
    channels = int(row["channels"]), int(row["num filter"])
    return Shape(row["layer name"], *channels, kernel, (rows, columns), (stride, stride), in_size)


def _pair(text: str) -> Pair:
    sides = text.split("x")
    return int(sides[0]), int(sides[-1])
