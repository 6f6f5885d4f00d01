"""What of the next layer can begin before it is its turn.

The first block of a layer's weights may load while DRAM idles at the end of the layer before, if
the other half of the weight buffer is free by then. Its inputs may not: they are being written.
Nor may weights of a width that is not known yet. A network without gates knows everything from the
start. A gated one knows what always runs, and what a gate has decided: usually the unit it is in;
where one gate decides about all units up front, all of them.

Whatever adds up costs layer by layer asks here: the simulator, cost tables one by one and many at
once, static networks, the links of a replay and the columns of a tally. The event timeline plays a
replay's links, but what DRAM has time for it counts itself, event by event, on purpose: each is
held against the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from accel_models.mapping.problem import ACTIONS, Mapping
from accel_models.workloads.workload import Layer, Workload

STALL = ACTIONS.index("array_stall_cycles")


class Timed(Protocol):
    """A layer with the cycles its first weights take, and those free at its end. A gate without a
    mapping decides on the vector unit."""

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
    layer before has left of DRAM's time. Behind a unit that is skipped nothing loads before it is
    known that the input does not leave there.
    """
    names = (layer.name for layer in workload.layers)
    left_at = dict(zip(names, workload.left_at, strict=True))
    spared, free = [0], 0
    for before, after in pairwise(costs):
        decides = before.mapping is None and before.layer.decides
        free = free * decides + before.tail_cycles
        if left_at[before.layer.name] < left_at[after.layer.name]:
            free = 0  # an input may leave between them
        known = is_known(workload, before.layer, after.layer)
        spared.append(min(free, after.head_cycles) if known else 0)
    return spared[: len(costs)]


def is_known_early(workload: Workload, layer: Layer) -> bool:
    """Whether the width of a layer is settled before the stretch of its unit begins."""
    settled = layer.unit not in workload.deciding_units or layer.name in workload.continued
    return layer.decides or settled


def is_known(workload: Workload, before: Layer, after: Layer) -> bool:
    """Whether the width of a layer is settled while one that runs before it computes."""
    if is_known_early(workload, after):
        return True
    return before.unit == after.unit and not before.decides


def pairs_within_units(workload: Workload, runs: np.ndarray) -> np.ndarray:
    """Layers that run after each other within a unit, where the second's first weights load early.
    What decides is apart from the others: it runs whatever its unit chooses.

    Args:
        runs: bool [layer, choice], whether a layer runs when its unit takes a choice.

    Returns:
        int64 [3, pair]: index of the layer before, of the one after, and of the choice.
    """
    layers, pairs = workload.layers, []
    for choice in range(runs.shape[1]):
        before = None
        for after, layer in enumerate(layers):
            if before is not None and layers[before].unit != layer.unit:
                before = None
            if not runs[after, choice]:
                continue
            alike = before is not None and layers[before].decides == layer.decides
            if before is not None and alike and is_known(workload, layers[before], layer):
                pairs.append((before, after, choice))
            before = after
    return np.array(pairs, dtype=np.int64).reshape(-1, 3).T


def spare_within_units(
    pairs: np.ndarray, cycles: np.ndarray, counts: np.ndarray, head: np.ndarray, tail: np.ndarray
) -> None:
    """Take off, in place, what `pairs_within_units` are spared.

    Args:
        cycles, head, tail: int64 [layer, choice, ...], as in a `CostTable`.
        counts: int64 [layer, choice, ..., action].
    """
    before, after, choice = pairs
    spared = np.minimum(tail[before, choice], head[after, choice])
    cycles[after, choice] -= spared
    counts[after, choice, ..., STALL] -= spared


def between_stretches(
    free: np.ndarray | int, runs: np.ndarray, head: np.ndarray, tail: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cycles that stretches of known layers are spared, and those that they leave free in turn.

    Args:
        free: cycles of DRAM that what ran before has left.
        runs: whether any layer of a stretch does; one in which none does passes on what it found.
        head: cycles that its first layer is spared by its first weights being on chip.
        tail: cycles in which DRAM and half of the weight buffer are free at its end.
    """
    return np.minimum(free, head), np.where(runs, tail, free)
