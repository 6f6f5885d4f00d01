"""What of the next layer can begin before it is its turn.

The first block of a layer's weights may load while DRAM idles at the end of the layer before, if
the other half of the weight buffer is free by then. Its inputs may not: they are being written.
Nor may weights of a width that is not known yet. A network without gates knows everything from the
start. A gated one knows what always runs, and what a gate has decided: usually the unit it is in;
where one gate decides about all units up front, all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from accel_models.mapping.problem import Mapping
from accel_models.workloads.workload import Layer, Workload


class Timed(Protocol):
    """A layer with the cycles its first weights take, and those free at its end. Without a mapping
    it runs on the vector unit."""

    @property
    def layer(self) -> Layer: ...
    @property
    def mapping(self) -> Mapping | None: ...
    @property
    def head_cycles(self) -> int: ...
    @property
    def tail_cycles(self) -> int: ...


def prefetched(workload: Workload, costs: Sequence[Timed]) -> list[int]:
    """Cycles that each of the layers that run, in order, is spared.

    A gate that runs on the vector unit loads nothing, and leaves to the layer after it what the
    layer before has left of DRAM's time.
    """
    spared, free = [0], 0
    for before, after in pairwise(costs):
        free = free * (before.mapping is None) + before.tail_cycles
        known = is_known(workload, before.layer, after.layer)
        spared.append(min(free, after.head_cycles) if known else 0)
    return spared[: len(costs)]


def is_known(workload: Workload, before: Layer, after: Layer) -> bool:
    """Whether the width of a layer is settled while one that runs before it computes."""
    if after.unit not in workload.deciding_units or after.role == "gate":
        return True
    return before.unit == after.unit and before.role != "gate"
