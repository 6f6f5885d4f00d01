"""Which tensors stay on chip between layers.

Resident tensors live in the input buffer, at the width they would have in DRAM; what they occupy is
taken from the tiles of every layer that runs meanwhile. The plan is made once, for the widest
choice, so that what a unit costs does not depend on what other units choose.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.workloads.operators import MATMUL
from accel_models.workloads.workload import Layer, Workload

LARGEST_SHARE = 0.5
"""Share of the input buffer that resident tensors may take, at most: the rest is for tiles."""


class Resident(NamedTuple):
    """What of a layer's tensors stays on chip, and what is reserved while the layer runs."""

    input: bool = False
    output: bool = False
    residual: bool = False
    reserved_bytes: int = 0
    other: bool = False


NOTHING_RESIDENT = Resident()


class _Tensor(NamedTuple):
    """What one layer made, or several side by side that some layer reads as one: the layers, bytes,
    and the positions of the first maker and the last reader."""

    makers: frozenset[str]
    size_bytes: int
    made: int
    last_read: int


def plan_residency(
    workload: Workload, machine: Accelerator, inside_bits: int, stream_bits: int, batch: int
) -> dict[str, Resident]:
    """Keep every tensor that still fits beside those before it, in execution order.

    Args:
        inside_bits: width of tensors inside a decision unit, at the widest choice.
        stream_bits: width of tensors between units.
        batch: inputs processed together.
    """
    limit = int(machine.buffers.input_bytes * LARGEST_SHARE)
    position = {layer.name: number for number, layer in enumerate(workload.layers)}
    reserved = [0] * len(workload.layers)
    kept: set[str] = set()
    for tensor in _tensors(workload, inside_bits, stream_bits, batch):
        lives = range(tensor.made, tensor.last_read + 1)
        if all(reserved[at] + tensor.size_bytes <= limit for at in lives):
            kept |= tensor.makers
            for at in lives:
                reserved[at] += tensor.size_bytes
    return {
        layer.name: _of_layer(layer, workload, kept, reserved[position[layer.name]])
        for layer in workload.layers
    }


def _tensors(
    workload: Workload, inside_bits: int, stream_bits: int, batch: int
) -> Iterator[_Tensor]:
    """Tensors that may stay on chip, in the order in which they are begun."""
    position = {layer.name: number for number, layer in enumerate(workload.layers)}
    by_name = {layer.name: layer for layer in workload.layers}
    # A matrix that is multiplied by passes through the weight buffer, whole or in blocks: like
    # weights, it comes from DRAM.
    through_dram = {
        name
        for layer in workload.layers
        if layer.operator == MATMUL
        for name in workload.operands[layer.name].others or workload.operands[layer.name].inputs
    }
    for makers in sorted(_joined(workload), key=lambda one: min(map(position.__getitem__, one))):
        readers = [position[name] for name in _readers(workload, makers)]
        if not all(workload.readers[maker] for maker in makers) or makers & through_dram:
            continue
        made = sum(by_name[maker].outputs for maker in makers)
        if any(elements_of_input(by_name[reader]) > made for reader in _readers(workload, makers)):
            continue  # what it reads is not all made by these layers
        crosses = any(workload.ends[maker].output_crosses for maker in makers)
        bits = stream_bits if crosses else inside_bits
        size = sum(-(-batch * by_name[maker].outputs * bits // 8) for maker in makers)
        yield _Tensor(makers, size, min(map(position.__getitem__, makers)), max(readers))


def _readers(workload: Workload, makers: Iterable[str]) -> set[str]:
    """Layers that read what any of some layers made."""
    return {reader for maker in makers for reader in workload.readers[maker]}


def elements_of_input(layer: Layer) -> int:
    """Elements of a layer's input map; what decides looks at averages and maxima alone."""
    if layer.decides or layer.operator == "embedding":
        return 0
    return math.prod(layer.in_size) * layer.in_channels


def _joined(workload: Workload) -> Iterable[frozenset[str]]:
    """Layers whose outputs are kept together or not at all, as some layer reads them as one."""
    group = {layer.name: frozenset((layer.name,)) for layer in workload.layers}
    for layer in workload.layers:
        operands = workload.operands[layer.name]
        for together in (operands.inputs, operands.others, operands.added):
            united = frozenset().union(*(group[name] for name in together))
            for name in united:
                group[name] = united
    return set(group.values())


def _of_layer(layer: Layer, workload: Workload, kept: set[str], reserved: int) -> Resident:
    operands = workload.operands[layer.name]
    return Resident(
        input=bool(operands.inputs) and kept.issuperset(operands.inputs),
        output=layer.name in kept,
        residual=bool(operands.added) and kept.issuperset(operands.added),
        reserved_bytes=reserved,
        other=bool(operands.others) and kept.issuperset(operands.others),
    )


__all__ = ["NOTHING_RESIDENT", "Resident", "plan_residency"]
