"""Between two layers: what of the next one can begin before it is its turn.

The first block of a layer's weights may load while DRAM idles at the end of the layer before, if
the other half of the weight buffer is free by then. Its inputs may not: they are being written.
Nor may weights of a width that is not known yet: a gated network knows no further than the unit it
is in, a network without gates knows everything from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from accel_models.workload import Layer, Workload


class Timed(Protocol):
    """A layer with the cycles its first weights take, and those free at its end."""

    @property
    def layer(self) -> Layer: ...
    @property
    def head_cycles(self) -> int: ...
    @property
    def tail_cycles(self) -> int: ...


def prefetched(workload: Workload, costs: Sequence[Timed]) -> list[int]:
    """Cycles that each of the layers that run, in order, is spared."""
    gated = workload.is_gated
    spared = [0]
    for before, after in pairwise(costs):
        known = not gated or known_within_unit(before.layer, after.layer)
        spared.append(min(before.tail_cycles, after.head_cycles) if known else 0)
    return spared[: len(costs)]


def known_within_unit(before: Layer, after: Layer) -> bool:
    """Whether the width of `after` is settled while `before` runs, in a gated network."""
    decides = before.role == "gate" and after.role != "gate"
    return before.unit == after.unit and not decides
