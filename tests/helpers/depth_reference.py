"""Maps with depth for the plain-Python reference: which rows of which planes lie under windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import default_reference as reference
from hypothesis import strategies as st
from random_problems import layers_of_any_geometry


@dataclass(frozen=True)
class DeepLayer(reference.ReferenceLayer):
    """A convolution over planes: rows, of outputs and of the kernel, are those of all planes, one
    plane after the other; rows of the image are those of one plane."""

    planes: int = 1
    kernel_planes: int = 1
    plane_stride: int = 1
    plane_dilation: int = 1
    plane_padding: int = 0
    in_planes: int = 1

    @property
    def depth(self) -> dict[str, int]:
        names = ("planes", "kernel_planes", "plane_stride", "plane_dilation", "plane_padding")
        return {name: getattr(self, name) for name in (*names, "in_planes")}

    def rows_under(self, outputs: range) -> set[tuple[int, int]]:
        """Plane and row of the image rows under the windows of these output rows."""
        rows, taps = self.out_rows // self.planes, self.kernel_rows // self.kernel_planes
        found = set()
        for output, plane_tap, tap in product(outputs, range(self.kernel_planes), range(taps)):
            down = output // rows * self.plane_stride - self.plane_padding
            across = output % rows * self.row_stride - self.row_padding
            at = self._line(down + plane_tap * self.plane_dilation, self.in_planes)
            found.add((at, self._line(across + tap * self.row_dilation, self.in_rows)))
        maps = product(range(self.in_planes), range(self.in_rows))
        return found & set(maps)

    def _line(self, place: int, size: int) -> int:
        return reference.PADDED_WITH[self.padding_mode](place, size)

    def touched_rows(self, t: int) -> list[int]:
        starts = range(0, self.out_rows, t)
        return [
            len(self.rows_under(range(first, min(first + t, self.out_rows)))) for first in starts
        ]


@st.composite
def deep_layers(draw: st.DrawFn) -> DeepLayer:
    """Flat layers of any geometry with windows along a third axis, padded, strided and dilated."""
    flat = draw(layers_of_any_geometry())
    flat = replace(flat, out_rows=min(flat.out_rows, 3), out_columns=min(flat.out_columns, 3))
    kernel, stride, dilation = (draw(st.integers(1, most)) for most in (3, 3, 2))
    before, over = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    planes, reach = draw(st.integers(1, 4)), (kernel - 1) * dilation + 1
    after = draw(st.integers(0, 2))
    size = max(1, (planes - 1) * stride + reach - before - after + min(over, stride - 1))
    longest = {1: size - 1, 3: size}.get(flat.padding_mode, 99)
    if max(before, after) > longest:  # reflected and circular padding are no longer than the map
        flat = replace(flat, padding_mode=0)
    shape = {name: getattr(flat, name) for name in flat.__dataclass_fields__}
    shape |= {"out_rows": planes * flat.out_rows, "kernel_rows": kernel * flat.kernel_rows}
    return DeepLayer(
        **shape,
        planes=planes,
        kernel_planes=kernel,
        plane_stride=stride,
        plane_dilation=dilation,
        plane_padding=before,
        in_planes=size,
    )
