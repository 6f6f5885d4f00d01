"""Which tensors stay on chip between layers.

Resident tensors live in the input buffer, at the width they would have in DRAM; what they occupy is
taken from the tiles of every layer that runs meanwhile. The plan is made once, for the widest
choice, so that what a unit costs does not depend on what other units choose.
"""

from __future__ import annotations

from typing import NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.workloads.workload import Layer, Workload

LARGEST_SHARE = 0.5
"""Share of the input buffer that resident tensors may take, at most: the rest is for tiles."""


class Resident(NamedTuple):
    """What of a layer's tensors stays on chip, and what is reserved while the layer runs."""

    input: bool = False
    output: bool = False
    residual: bool = False
    reserved_bytes: int = 0


NOTHING_RESIDENT = Resident()


class _Tensor(NamedTuple):
    """The output of a layer: bytes, and the positions of its maker and its last reader."""

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
    for layer in workload.layers:
        readers = [position[name] for name in workload.readers[layer.name]]
        if not readers:
            continue
        bits = stream_bits if workload.ends[layer.name].output_crosses else inside_bits
        tensor = _Tensor(_bytes(layer, bits, batch), position[layer.name], max(readers))
        lives = range(tensor.made, tensor.last_read + 1)
        if all(reserved[at] + tensor.size_bytes <= limit for at in lives):
            kept.add(layer.name)
            for at in lives:
                reserved[at] += tensor.size_bytes
    return {
        layer.name: _of_layer(layer, workload, kept, reserved[position[layer.name]])
        for layer in workload.layers
    }


def _of_layer(layer: Layer, workload: Workload, kept: set[str], reserved: int) -> Resident:
    makers = workload.makers[layer.name]
    return Resident(
        input=bool(makers) and makers[-1] in kept,
        output=layer.name in kept,
        residual=len(makers) > 1 and makers[0] in kept,
        reserved_bytes=reserved,
    )


def _bytes(layer: Layer, bits: int, batch: int) -> int:
    height, width = layer.out_size
    return -(-batch * height * width * layer.out_channels * bits // 8)


__all__ = ["NOTHING_RESIDENT", "Resident", "plan_residency"]
