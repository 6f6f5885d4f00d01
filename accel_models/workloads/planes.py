"""Planes of a map with depth that windows do not join: each is computed by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from accel_models.workloads.layer import MOST_AXES, SIZES, Layer
from accel_models.workloads.operators import CONVOLUTION


def flat(layer: Layer) -> tuple[Layer, int]:
    """The layer of one plane, and of how many planes each is computed like an input of a batch:
    windows of one plane have nothing in common. Otherwise the layer, and 1."""
    if layer.operator != CONVOLUTION or len(layer.kernel) < MOST_AXES:
        return layer, 1
    depth, *_ = layer.axes
    if depth.kernel > 1 or depth.before or depth.after:
        return layer, 1
    of_plane: Any = {name: getattr(layer, name)[1:] for name in SIZES}
    return replace(layer, padding=layer.padding[2:], **of_plane), depth.outputs
