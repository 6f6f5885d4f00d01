"""The Eyeriss chip on AlexNet and VGG-16: frames a second, power and DRAM accesses.

The machine's row-stationary rule says how elements are filled, and leaves out what its registers,
its one buffer and its input bus hold or carry. Here a pass through the array is laid out within
them, and as the chip's authors do, the layout of least energy is taken for each layer: DRAM, buffer
accesses at 200 and 6 times a MAC (the costs of nn_dataflow and of the figures released with Bit
Fusion). A pass takes the time of its multiplications, of its inputs over the bus, or of its partial
sums, whichever is longest. Nothing is fitted to the chip's figures.

Energies are those of the machine ``eyeriss-published``: an element's 16-bit MAC with its registers,
CACTI's SRAM at 65 nm, leakage. Activations are taken to hold a share of zeros, the image none: a
zero's MAC costs what an idle element does, and activations in DRAM are run-length coded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.mapping.problem import ACTIONS
from accel_models.workloads.workload import Layer, Workload

WORD_BITS = 16
DRAM_COST, BUFFER_COST = 200, 6
"""Energy of an access, in MACs, by which layouts are chosen."""
INPUT_REGISTERS, WEIGHT_REGISTERS, SUM_REGISTERS = 12, 224, 24
"""Words that an element keeps of each: recalled, not checked."""
INPUT_BUS_WORDS, SUM_BUS_WORDS = 1, 4
"""Words a cycle between buffer and array: recalled, not checked."""
BUFFER_WORDS = 51_200
"""Words for inputs and sums: 12,800 of 64 bits in Timeloop's model of the chip (eyeriss_168)."""
ZEROS = 0.5
"""Share of zeros among activations: an assumption. Half of what a ReLU lets through of values that
are as often negative as positive is zero; trained networks have more in late layers."""


@dataclass(frozen=True)
class ChipLayer:
    """What a layer takes for a batch: cycles, and words of 16 bits from and to DRAM and buffer."""

    layer: Layer
    batch: int
    cycles: int
    dram_inputs: int
    dram_weights: int
    dram_outputs: int
    buffer_inputs: int
    buffer_sums: int
    """Partial sums read and written."""

    @property
    def zeros(self) -> bool:
        """Whether its inputs have zeros to gate and to compress."""
        return not self.layer.reads_image

    @property
    def cost(self) -> int:
        """What layouts are compared by."""
        dram = self.dram_inputs + self.dram_weights + self.dram_outputs
        return DRAM_COST * dram + BUFFER_COST * (self.buffer_inputs + self.buffer_sums)


@dataclass(frozen=True)
class ChipRun:
    """A network on the chip."""

    workload: Workload
    batch: int
    frames_per_s: float
    milliwatts: float
    """Power of the chip without DRAM."""
    dram_accesses_per_mac: float
    """Accesses of 16 bits, activations compressed."""


def run_on_chip(
    workload: Workload, machine: Accelerator, batch: int, zeros: float = ZEROS
) -> ChipRun:
    """Run a network's layers one after the other.

    Args:
        workload: convolutions.
        machine: the chip's array, clock and energies.
        batch: images processed together.
        zeros: share of zeros among activations, 0 to 1.
    """
    layers = [chip_layer(layer, machine, batch) for layer in workload.layers]
    seconds = sum(layer.cycles for layer in layers) / machine.frequency_hz
    joules = sum(_chip_pj(layer, machine, zeros) for layer in layers) * 1e-12
    macs = batch * workload.macs
    return ChipRun(
        workload=workload,
        batch=batch,
        frames_per_s=batch / seconds,
        milliwatts=1e3 * (joules / seconds + Pricing(machine).leakage_power_w),
        dram_accesses_per_mac=sum(_compressed_words(layer, zeros) for layer in layers) / macs,
    )


def chip_layer(layer: Layer, machine: Accelerator, batch: int) -> ChipLayer:
    """A layer in its layout of least energy, the faster one of equals."""
    return min(_layouts(layer, machine, batch), key=lambda one: (one.cost, one.cycles))


def compression(zeros: float) -> float:
    """Bits of run-length coded activations over those of plain ones: 64-bit words hold three pairs
    of a run of up to 31 zeros and a 16-bit value (Eyeriss, JSSC 2017: recalled, not checked)."""
    return min(1.0, (1 - zeros) * 64 / 3 / WORD_BITS)


def _layouts(layer: Layer, machine: Accelerator, batch: int) -> Iterator[ChipLayer]:
    """Layouts of a layer, one for each strip of output rows and split of sets and channels: that of
    the best numbers of filters and images."""
    columns, width = machine.array.columns, layer.kernel[1]
    sets_down = max(1, machine.array.rows // layer.kernel[0])
    out_rows = layer.out_size[0]
    for strip in sorted({-(-out_rows // parts) for parts in range(1, out_rows + 1)}):
        if strip > columns:
            continue
        sets = columns // strip * sets_down
        for summed in range(1, sets + 1):
            channels = max(1, INPUT_REGISTERS // width)
            for held in range(1, min(channels, layer.in_channels // layer.groups) + 1):
                found = _layout(layer, batch, strip, summed, sets // summed, held)
                if found is not None:
                    yield found


def _layout(
    layer: Layer, batch: int, strip: int, summed: int, beside: int, held: int
) -> ChipLayer | None:
    """The cheapest choice of filters in an element and images in a pass; None if nothing fits.

    Args:
        layer, batch: what is computed.
        strip: output rows of a pass.
        summed: sets side by side that sum over input channels.
        beside: sets side by side that make other output channels.
        held: input channels of an element.
    """
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    out_rows, out_columns = layer.out_size
    high, wide = layer.kernel
    in_rows = (strip - 1) * layer.stride[0] + high
    in_columns = layer.in_size[1] + layer.padding[2] + layer.padding[3]
    most = min(SUM_REGISTERS, WEIGHT_REGISTERS // (held * wide), outs)
    if most < 1:
        return None
    filters, images = np.meshgrid(np.arange(1, most + 1), np.arange(1, batch + 1))
    made = filters * beside
    # Sums of as many output channels as fit wait in the buffer while input channels go by.
    room = BUFFER_WORDS - images * held * summed * in_rows * in_columns
    groups = np.minimum(room // (images * strip * out_columns * made), -(-outs // made))
    strips, rounds = -(-out_rows // strip), -(-batch // images)
    steps = -(-ins // (held * summed))
    fetched = batch * ins * layer.in_size[1] * sum(_rows_fetched(layer, strip))
    outputs = batch * outs * out_rows * out_columns
    per_pass = np.maximum(
        out_columns * wide * filters * held,
        np.maximum(
            min(ins, held * summed) * in_rows * in_columns / INPUT_BUS_WORDS,
            2 * np.minimum(outs, made) * strip * out_columns / SUM_BUS_WORDS,
        ),
    )
    cycles = per_pass * images * strips * -(-outs // made) * steps * rounds
    reloads = -(-outs // np.maximum(1, groups * made))
    weights = ins * outs * high * wide * strips * rounds
    handed = batch * strips * ins * in_rows * in_columns * -(-outs // made)
    cost = DRAM_COST * (fetched * reloads + weights) + BUFFER_COST * handed
    best = int(np.argmin(np.where(groups >= 1, cost + cycles * 1e-9, np.inf)))
    if groups.flat[best] < 1:
        return None
    g = layer.groups
    return ChipLayer(
        layer=layer,
        batch=batch,
        cycles=g * round(float(cycles.flat[best])),
        dram_inputs=g * fetched * int(reloads.flat[best]),
        dram_weights=g * int(weights.flat[best]),
        dram_outputs=g * outputs,
        buffer_inputs=g * int(handed.flat[best]),
        buffer_sums=g * outputs * (2 * steps - 1),
    )


def _rows_fetched(layer: Layer, strip: int) -> Iterator[int]:
    """Rows of the map that each strip of output rows needs; those of zero padding are made on the
    chip, on their way into the array."""
    for first in range(0, layer.out_size[0], strip):
        outputs = min(strip, layer.out_size[0] - first)
        above = first * layer.stride[0] - layer.padding[0]
        below = above + (outputs - 1) * layer.stride[0] + layer.kernel[0]
        yield max(0, min(below, layer.in_size[0]) - max(above, 0))


def _compressed_words(run: ChipLayer, zeros: float) -> float:
    """Words of 16 bits over the port, activations but for the image compressed."""
    ratio = compression(zeros)
    inputs = run.dram_inputs * (ratio if run.zeros else 1.0)
    return inputs + run.dram_weights + run.dram_outputs * ratio


def _chip_pj(run: ChipLayer, machine: Accelerator, zeros: float) -> float:
    """Energy of a layer in pJ, leakage and DRAM apart."""
    pricing = Pricing(machine)
    prices = dict(zip(ACTIONS, pricing.action_pj, strict=True))
    elements = machine.array.operations_per_cycle
    idle = machine.energy.idle_share * pricing.array.pj_per_cycle / elements
    macs = run.batch * run.layer.macs * (1 - zeros * run.zeros)
    words = {
        "input_buffer_read_bits": run.buffer_inputs,
        "input_buffer_write_bits": run.dram_inputs,
        "output_buffer_read_bits": run.buffer_sums / 2,
        "output_buffer_write_bits": run.buffer_sums / 2,
        "weight_buffer_read_bits": run.dram_weights,
        "weight_buffer_write_bits": run.dram_weights,
    }
    buffers = sum(prices[action] * count * WORD_BITS for action, count in words.items())
    array = macs * prices["array_operations"] + run.cycles * elements * idle
    return float(array + buffers)
