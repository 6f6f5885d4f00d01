"""Windows of a convolution on its input, one dimension at a time. Sizes are in elements.

Rows and columns are alike: a line of `size` elements with `before` and `after` elements of padding
at its ends, on which windows of `kernel` elements, `dilation` apart, begin every `stride`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES: tuple[PaddingMode, ...] = ("zeros", "reflect", "replicate", "circular")
"""Zeros are no data: nobody fetches or stores them. The others repeat elements of the input."""


class Axis(NamedTuple):
    """Rows or columns of a layer: how many windows, of what shape, and on what they lie."""

    outputs: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    size: int
    mode: PaddingMode = "zeros"

    @property
    def reach(self) -> int:
        """Places from the first to the last element of one window."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def fitting(self) -> int:
        """Windows that fit the padded input, rounded down; below 1 if none does."""
        return (self.size + self.before + self.after - self.reach) // self.stride + 1

    @property
    def least_size(self) -> int:
        """The input that all windows, with all of the padding, just cover; at least 1."""
        covered = (self.outputs - 1) * self.stride + self.reach
        return max(1, covered - self.before - self.after)

    @property
    def fault(self) -> str:
        """Why there are no such windows; nothing if there are."""
        longest = {"reflect": self.size - 1, "circular": self.size}.get(self.mode)
        if longest is not None and max(self.before, self.after) > longest:
            return (
                f"{max(self.before, self.after)} elements of {self.mode} padding are more than "
                f"an input of {self.size} has to give"
            )
        if self.outputs < 1:
            return f"no window of {self.reach} fits an input of {self.size}"
        if self.outputs != self.fitting and self.size != self.least_size:
            return (
                f"an input of {self.size} with {self.before} and {self.after} of padding gives "
                f"{max(0, self.fitting)} outputs under windows of {self.kernel}, not {self.outputs}"
            )
        return ""
