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
    kernel = values["kernel"]
    if isinstance(kernel, tuple) and len(values["padding"]) != 2 * len(kernel):
        raise InputError(f"padding is not {2 * len(kernel)} whole numbers: {values['padding']}")
    if values["widths"] is not None:
        values["widths"] = Precision.parse(values["widths"])
    return Layer(**values)


def with_largest_input(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data of a layer of version 0.1, with the input size that this version took it to have.

    Raises:
        InputError: naming a field of another kind.
    """
    given = {"dilation": [1, 1], "padding_mode": "zeros", "widths": None, **data}
    for name in ("kernel", "out_size", "stride", "padding"):
        if not (isinstance(given[name], list) and len(given[name]) == 2):
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
