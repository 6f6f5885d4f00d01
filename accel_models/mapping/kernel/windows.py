"""Compiled: which lines of the input lie under the windows of some outputs, rows or columns alike.

A *place* is a line of the padded input, counted from the input's first. Zeros take no line; other
padding repeats lines of the input, each of which counts once however often windows find it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.mapping.problem import Problem

ZEROS, REFLECT, REPLICATE, CIRCULAR = range(4)
"""Padding modes, in the order of `workloads.windows.PADDING_MODES`."""


class Windows(NamedTuple):
    """Windows along one dimension, and the input's lines that they lie on."""

    kernel: int
    stride: int
    dilation: int
    padding: int
    """Places before the first line."""
    size: int
    mode: int
    planes: int = 1
    """Planes of outputs, whose rows are counted one plane after the other; the next four are of
    windows along the planes."""
    plane_kernel: int = 1
    plane_stride: int = 1
    plane_dilation: int = 1
    plane_padding: int = 0
    in_planes: int = 1
    outputs: int = 0
    """Rows of outputs in a plane, if there are several planes."""


@njit(cache=True)
def windows_down(p: Problem) -> Windows:
    """Windows along the rows, those of all planes where a map has depth."""
    return Windows(
        p.kernel_rows // p.kernel_planes,
        p.row_stride,
        p.row_dilation,
        p.row_padding,
        p.in_rows,
        p.padding_mode,
        p.planes,
        p.kernel_planes,
        p.plane_stride,
        p.plane_dilation,
        p.plane_padding,
        p.in_planes,
        p.out_rows // p.planes,
    )


@njit(cache=True)
def windows_across(p: Problem) -> Windows:
    """Windows along the columns."""
    return Windows(
        p.kernel_columns,
        p.column_stride,
        p.column_dilation,
        p.column_padding,
        p.in_columns,
        p.padding_mode,
        1,
        1,
        1,
        1,
        0,
        1,
        p.out_columns,
    )


@njit(cache=True)
def line_count(p: Problem, first: int, length: int, w: Windows) -> int:
    """Input lines that come for `length` outputs from `first` on."""
    if p.fetch_padding:
        return (w.kernel - 1) * w.dilation + 1 + (length - 1) * w.stride
    return touched(first, length, w)


@njit(cache=True)
def touched(first: int, length: int, w: Windows) -> int:
    """Input lines under the windows of outputs first ... first + length - 1, each counted once."""
    if w.in_planes > 1 or w.planes > 1 or w.plane_padding > 0:  # whose one window may miss the map
        return touched_in_planes(first, length, w)
    return touched_of_plane(first, length, w)


@njit(cache=True)
def touched_of_plane(first: int, length: int, w: Windows) -> int:
    """Input lines, of one plane, under the windows of outputs first ... first + length - 1."""
    low = first * w.stride - w.padding
    high = low + (length - 1) * w.stride + (w.kernel - 1) * w.dilation + 1
    # Windows that reach each other leave no line out.
    if w.dilation == 1 and w.stride <= w.kernel:
        lines = max(0, min(high, w.size) - max(low, 0))
    else:
        lines = distinct(low, length, w)
    if w.mode == ZEROS:
        return lines
    # Places in the padding bring lines that no window finds in the input itself.
    for place in range(low, min(high, 0)):
        lines += brings_new_line(place, low, length, w)
    for place in range(max(low, w.size), high):
        lines += brings_new_line(place, low, length, w)
    return lines


@njit(cache=True)
def touched_in_planes(first: int, length: int, w: Windows) -> int:
    """Input lines, of all planes, under the windows of outputs of a map with depth."""
    # An interval of outputs takes in whole planes of them, and parts of the first and of the last.
    # Which of these touch a plane of the input says which of its lines are touched.
    begin, start = divmod(first, w.outputs)
    end, stop = divmod(first + length - 1, w.outputs)
    low, high = 0, w.in_planes
    if w.mode == ZEROS:  # other padding may bring any plane
        low = max(0, begin * w.plane_stride - w.plane_padding)
        reach = (w.plane_kernel - 1) * w.plane_dilation + 1
        high = min(high, end * w.plane_stride - w.plane_padding + reach)
    touching = np.zeros(max(0, high - low), dtype=np.int8)
    for plane in range(begin, end + 1):
        rows = 1 * (plane == begin and start > 0) + 2 * (plane == end and stop < w.outputs - 1)
        for tap in range(w.plane_kernel):
            place = plane * w.plane_stride - w.plane_padding + tap * w.plane_dilation
            at = line_of(place, w.in_planes, w.mode)
            if at >= 0:
                touching[at - low] |= 1 << rows
    if begin == end:
        return int(np.count_nonzero(touching)) * touched_of_plane(start, length, w)
    whole = touched_of_plane(0, w.outputs, w)
    from_start = touched_of_plane(start, w.outputs - start, w)
    upto_stop = touched_of_plane(0, stop + 1, w)
    both = lines_of_both(start, stop, w)
    lines = 0
    for parts in touching:
        if parts & 1:
            lines += whole
        elif parts == 2:
            lines += from_start
        elif parts == 4:
            lines += upto_stop
        elif parts:
            lines += both
    return lines


@njit(cache=True)
def lines_of_both(start: int, stop: int, w: Windows) -> int:
    """Input lines of a plane under the windows of its outputs from `start` on or up to `stop`."""
    if start <= stop + 1:
        return touched_of_plane(0, w.outputs, w)
    seen = np.zeros(w.size, dtype=np.bool_)
    for row in range(w.outputs):
        if stop < row < start:
            continue
        for tap in range(w.kernel):
            line = line_of(row * w.stride - w.padding + tap * w.dilation, w.size, w.mode)
            if line >= 0:
                seen[line] = True
    return int(np.count_nonzero(seen))


@njit(cache=True)
def line_of(place: int, size: int, mode: int) -> int:
    """The line of the input that lies at a place, -1 for zeros."""
    if 0 <= place < size:
        return place
    if mode == ZEROS:
        return -1
    return mirrored(place, size, mode)


@njit(cache=True)
def distinct(low: int, length: int, w: Windows) -> int:
    """Lines of the input itself under windows with gaps: a window takes those that the windows
    before it have not touched."""
    divisor, other = w.stride, w.dilation
    while other:
        divisor, other = other, divisor % other
    # A window so many outputs later finds the places of this one, so many taps earlier.
    later, earlier = w.dilation // divisor, w.stride // divisor
    lines = 0
    for number in range(length):
        taps = w.kernel if number < later else min(w.kernel, earlier)
        # These are its last taps; the others were found before.
        start = low + number * w.stride
        first_tap = max(w.kernel - taps, -(start // w.dilation))
        last_tap = min(w.kernel - 1, (w.size - 1 - start) // w.dilation)
        lines += max(0, last_tap - first_tap + 1)
    return lines


@njit(cache=True)
def brings_new_line(place: int, low: int, length: int, w: Windows) -> bool:
    """Whether a place in the padding is under a window, and its line under none in the input
    itself nor in the padding before that place."""
    if not is_under(place, low, length, w):
        return False
    line = line_at(place, w)
    if is_under(line, low, length, w):
        return False
    for before in range(low, place):
        in_padding = before < 0 or before >= w.size
        if in_padding and line_at(before, w) == line and is_under(before, low, length, w):
            return False
    return True


@njit(cache=True)
def is_under(place: int, low: int, length: int, w: Windows) -> bool:
    """Whether some window has an element at this place."""
    for tap in range(w.kernel):
        begins = place - tap * w.dilation - low
        if begins >= 0 and begins % w.stride == 0 and begins // w.stride < length:
            return True
    return False


@njit(cache=True)
def line_at(place: int, w: Windows) -> int:
    """The line of the input that lies at a place of the padding."""
    return mirrored(place, w.size, w.mode)


@njit(cache=True)
def mirrored(place: int, size: int, mode: int) -> int:
    """The line of an input of `size` that padding of a mode other than zeros repeats at a place."""
    if mode == REFLECT:
        return -place if place < 0 else 2 * (size - 1) - place
    if mode == REPLICATE:
        return 0 if place < 0 else size - 1
    return place % size
