"""Transposed convolutions as convolutions: one for each phase of the stride, all phases at once, or
one over a stretched map.

Input i, under tap t of the kernel, adds to output ``i * stride + t * dilation - before``. Outputs
that are a stride apart see the same taps, and inputs that are one apart: each such phase is a plain
convolution of stride 1 on the input as it is, with the taps that meet it. All phases at once are a
convolution too (Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016):
windows as large as any phase needs, and as many times the channels as there are phases, with zeros
for the taps that a phase does without. Over the map with zeros between its elements, the kernel is
the transposed one: few weights and one layer, but many zeros, which are moved like data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from accel_models.workloads.windows import Axis, PaddingMode


class TransposedAxis(NamedTuple):
    """One dimension of a transposed convolution, fields as those of `Axis`. Of its outputs, so many
    `before` and `after` the others are cut off."""

    outputs: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    size: int
    mode: PaddingMode = "zeros"

    @property
    def fitting(self) -> int:
        """Outputs that some input adds to; more, up to a stride or a dilation, may be asked for."""
        reach = (self.kernel - 1) * self.dilation + 1
        return (self.size - 1) * self.stride + reach - self.before - self.after

    @property
    def least_size(self) -> int:
        """The smallest input that gives so many outputs, with as many more as can be asked for; at
        least 1."""
        reach = (self.kernel - 1) * self.dilation + 1
        more = max(self.stride, self.dilation) - 1
        beyond = self.outputs + self.before + self.after - reach - more
        return max(1, -(-beyond // self.stride) + 1)

    @property
    def fault(self) -> str:
        """Why there are no such outputs; nothing if there are."""
        if self.mode != "zeros":
            return f"a transposed convolution has no {self.mode} padding"
        most = self.fitting + max(self.stride, self.dilation) - 1
        if self.outputs < 1 or not self.fitting <= self.outputs <= most:
            return (
                f"an input of {self.size}, {self.stride} apart under a kernel of {self.kernel}, "
                f"gives {self.fitting} to {most} outputs, not {self.outputs}"
            )
        return ""

    def phase(self, number: int) -> Axis:
        """The plain convolution that makes outputs `number`, `number` + stride, and so on."""
        outputs = -(-(self.outputs - number) // self.stride)
        return self._window(outputs, self._offsets(number), self.size)

    @property
    def together(self) -> Axis:
        """The plain convolution whose windows take in those of all phases."""
        offsets = {offset for number in range(self.stride) for offset in self._offsets(number)}
        filled = range(min(offsets), max(offsets) + 1)
        return self._window(-(-self.outputs // self.stride), list(filled), self.size)

    @property
    def stretched(self) -> Axis:
        """The plain convolution over the input with zeros between its elements."""
        places = [self.before - tap * self.dilation for tap in reversed(range(self.kernel))]
        return self._window(self.outputs, places, (self.size - 1) * self.stride + 1)

    def _offsets(self, number: int) -> list[int]:
        """Places of a phase's taps relative to the output's own, in rising order. A phase that no
        tap meets writes zeros, by a tap of zero weight."""
        places = (number + self.before - tap * self.dilation for tap in range(self.kernel))
        found = sorted(place // self.stride for place in places if place % self.stride == 0)
        return found or [0]

    @staticmethod
    def _window(outputs: int, offsets: list[int], size: int) -> Axis:
        """Windows of these offsets on the part of an input of this size that they reach."""
        first, last = offsets[0], outputs - 1 + offsets[-1]
        low, high = max(first, 0), min(last, size - 1)
        if low > high:  # no window reaches the input: all write zeros
            return Axis(outputs, 1, 1, 1, before=0, after=outputs - 1, size=1)
        return Axis(
            outputs=outputs,
            kernel=len(offsets),
            stride=1,
            dilation=offsets[1] - offsets[0] if len(offsets) > 1 else 1,
            before=low - first,
            after=last - high,
            size=high - low + 1,
        )


def phases(axes: Sequence[TransposedAxis]) -> Iterator[tuple[Axis, ...]]:
    """The axes of each phase, in the order of the outputs that they make first."""
    numbers = product(*(range(min(axis.stride, axis.outputs)) for axis in axes))
    for each in numbers:
        yield tuple(axis.phase(number) for axis, number in zip(axes, each, strict=True))
