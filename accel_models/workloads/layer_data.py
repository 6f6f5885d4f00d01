"""Layers as plain data: what files of workloads and traces hold of them, checked as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.layer import Layer

TEXT = ("name", "role", "unit", "padding_mode", "operator", "activation")
LATER = {
    one.name: one.default
    for one in fields(Layer)
    if one.name in ("operator", "activation", "others", "row")
}
"""Fields that are written only where they say something: the keys of networks that do without them
are what they were."""


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """A layer as plain data for JSON."""
    data = {one.name: getattr(layer, one.name) for one in fields(layer)}
    data["widths"] = None if layer.widths is None else str(layer.widths)
    return {name: value for name, value in data.items() if value != LATER.get(name, MISSING)}


def layer_from_dict(data: Mapping[str, Any]) -> Layer:
    """Layer that `layer_to_dict` made plain data of.

    Raises:
        InputError: naming the field that is missing, unknown or of another kind.
    """
    _check_table(data)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    unknown = values.keys() - {one.name for one in fields(Layer)}
    missing = {one.name for one in fields(Layer)} - values.keys() - LATER.keys()
    if unknown or missing:
        what = f"unknown {min(unknown)}" if unknown else f"missing {min(missing)}"
        raise InputError(f"not a layer: {what}")
    for name in values.keys() & {*TEXT}:
        if not isinstance(values[name], str):
            raise InputError(f"{name} is not text: {values[name]!r}")
    if not isinstance(values["reads_image"], bool):
        raise InputError(f"reads_image is not true or false: {values['reads_image']!r}")
    kernel, padding, widths = values["kernel"], values["padding"], values["widths"]
    sides = 2 * len(kernel) if isinstance(kernel, tuple) else 0
    if sides and not (isinstance(padding, tuple) and len(padding) == sides):
        raise InputError(f"padding is not {sides} whole numbers: {padding!r}")
    if widths is not None:
        if not isinstance(widths, str):
            raise InputError(f"widths is no precision: {widths!r}")
        values["widths"] = Precision.parse(widths)
    return Layer(**values)


def _check_table(data: Any) -> None:
    if not isinstance(data, Mapping):
        raise InputError(f"a layer is a table of fields, and not {data!r}")


def with_largest_input(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data of a layer of version 0.1, with the input size that this version took it to have.

    Raises:
        InputError: naming a field of another kind.
    """
    _check_table(data)
    given = {"dilation": [1, 1], "padding_mode": "zeros", "widths": None, **data}
    for name in ("kernel", "out_size", "stride", "padding"):
        if name not in given:
            raise InputError(f"not a layer: missing {name}")
        numbers = given[name] if isinstance(given[name], list) else ()
        # What is no number can be multiplied, too, and a text by a size fills the memory.
        if [type(number) for number in numbers] != [int, int]:
            raise InputError(f"{name} is not 2 whole numbers: {given[name]!r}")
    (top, left), sides = (
        given["padding"],
        zip(*(given["out_size"], given["stride"], given["kernel"], given["padding"]), strict=True),
    )
    given["padding"] = [top, top, left, left]
    given["in_size"] = [
        max(1, out * step + kernel - 2 * pad - 1) for out, step, kernel, pad in sides
    ]
    return given
