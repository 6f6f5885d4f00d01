"""Random geometry for layers, and what lies under their windows found line by line."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from accel_models import Layer


@st.composite
def geometries(
    draw: st.DrawFn, kernels: int = 3, outputs: int = 6, axes: int = 2
) -> dict[str, Any]:
    """Keywords of a layer: maps that leave lines over or not, paddings that may all differ, data
    or zeros in them, dilated windows or not. Kernels and maps are rectangular."""
    found: dict[str, Any] = {"kernel": [], "stride": [], "dilation": [], "in_size": []}
    padding, spare = [], 99
    for _ in range(axes):
        kernel, stride = draw(st.integers(1, kernels)), draw(st.integers(1, 3))
        dilation = draw(st.sampled_from((1, 1, 1, 2, 3)))
        reach = (kernel - 1) * dilation + 1
        before, after = (draw(st.integers(0, reach // 2)) for _ in range(2))
        covered = (draw(st.integers(1, outputs)) - 1) * stride + reach
        over = draw(st.integers(0, stride - 1))
        size = max(1, covered - before - after + over)
        for name, value in zip(found, (kernel, stride, dilation, size), strict=True):
            found[name].append(value)
        padding += [before, after]
        spare = min(spare, size - max(before, after))
    modes = ["zeros"] * 3 + ["replicate"]
    # Reflected padding is less than the map, circular padding no more.
    modes += ["circular"] * (spare >= 0) + ["reflect"] * (spare > 0)
    pairs = {name: tuple(values) for name, values in found.items()}
    return {**pairs, "padding": tuple(padding), "padding_mode": draw(st.sampled_from(modes))}


def element_at(place: int, size: int, mode: str) -> int | None:
    """The line of a map that a place of the padded map shows; None for a zero."""
    if 0 <= place < size:
        return place
    if mode == "reflect":
        return (size - 1) - abs((size - 1) - abs(place))
    if mode == "replicate":
        return min(max(place, 0), size - 1)
    return place % size if mode == "circular" else None


def touched_lines(layer: Layer, axis: int, outputs: range | None = None) -> set[int]:
    """Lines of the input map that lie under some window of these outputs, by default of all."""
    before = layer.padding[2 * axis]
    places = (
        position * layer.stride[axis] - before + tap * layer.dilation[axis]
        for position in outputs or range(layer.out_size[axis])
        for tap in range(layer.kernel[axis])
    )
    found = {element_at(place, layer.in_size[axis], layer.padding_mode) for place in places}
    return {line for line in found if line is not None}
