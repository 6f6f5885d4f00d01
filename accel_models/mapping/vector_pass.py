"""Streaming a tensor through the vector unit: what operators take that the array has no part in.

Every element of the operands comes once and every output leaves once. Blocks are as large as the
buffers have room for, and of equal size but for rounding; while one is worked on, another loads if
the buffer is a double one, so the schedule is the one of slots that the array has (`kernel.walk`),
with nothing for the array to do.
Elements that several windows of a pool touch are kept in line buffers of the unit.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.errors import InfeasibleError
from accel_models.mapping.problem import ACTIONS, Priced
from accel_models.mapping.problem_of import Tensors, memory, waiting_bits
from accel_models.mapping.search import MAX_STEPS, kernel
from accel_models.precision import Precision
from accel_models.workloads.layer import Layer
from accel_models.workloads.operators import VECTOR_OPERATORS
from accel_models.workloads.windows import PADDING_MODES, Axis

Bits = TypeVar("Bits", int, np.ndarray)
STALL, VECTOR = ACTIONS.index("array_stall_cycles"), ACTIONS.index("vector_operations")


class VectorTask(NamedTuple):
    """An operator on a machine's vector unit, as plain numbers: elements for all inputs together,
    bits of each, and the memory as a `problem.Problem` has it."""

    inputs: int
    others: int
    outputs: int
    operations: int
    row: int
    """Elements worked on together; 1 where each is by itself."""
    reads: int
    """How often the unit reads each input."""
    request: int
    """Elements of a row of the table that a look-up fetches by itself; 0 where blocks come as a
    whole."""
    input_bits: int
    other_bits: int
    output_bits: int
    input_on_chip: bool
    other_on_chip: bool
    output_on_chip: bool
    lanes: int
    dram_bits_per_cycle: float
    dram_latency: int
    burst_bits: int
    weight_room: int
    input_room: int
    output_room: int
    weights_overlap: bool = True
    """Whether weights load beside a tile; a pass holds none, and leaves their buffer to the next
    layer."""
    inputs_overlap: bool = True
    outputs_overlap: bool = True
    ramp: int = 0
    """Cycles of an array, which has no part in a pass; the schedule of slots asks for them."""
    fill: int = 0

    @property
    def scheduled(self) -> VectorTask:
        """The task as the schedule of slots takes it: where nothing is fetched, nobody waits for
        DRAM to answer."""
        loads = self.fetched or (self.others and not self.other_on_chip)
        return self if loads else self._replace(dram_latency=0)

    @property
    def row_fits(self) -> bool:
        """Whether a row can be held while it is read several times; if not, it comes twice."""
        held = self.row * self.input_bits <= self.input_room
        return self.input_on_chip or self.reads == 1 or held

    @property
    def fetched(self) -> int:
        """Inputs that come over DRAM."""
        if self.input_on_chip:
            return 0
        return self.inputs if self.row_fits else 2 * self.inputs

    @property
    def units(self) -> int:
        """Pieces that are not cut: rows, where these fit, or elements of the larger tensor."""
        return -(-max(self.inputs, self.outputs) // self.grain)

    @property
    def grain(self) -> int:
        """Elements of a unit."""
        return self.row if self.row_fits else 1

    @property
    def block_units(self) -> int:
        """Units of a block: as many as the buffers have room for, and all blocks alike but the
        last."""
        others = 0 if self.other_on_chip else self.others * self.other_bits
        loaded = self.fetched * self.input_bits + others
        stored = 0 if self.output_on_chip else self.outputs * self.output_bits
        most = self.units
        for bits, room in ((loaded, self.input_room), (stored, self.output_room)):
            # A block's share of the operands is rounded up to whole elements, of either operand.
            left = room - self.input_bits - self.other_bits
            most = min(most, left * self.units // bits if bits else most)
        blocks = -(-self.units // max(1, most))
        return -(-self.units // blocks)


def vector_task(
    layer: Layer, precision: Precision, tensors: Tensors, batch: int, machine: Accelerator
) -> VectorTask:
    """A layer of the vector unit whose unit runs at `precision`, for `batch` inputs.

    Raises:
        InfeasibleError: if the machine's model has no vector unit.
    """
    if not machine.fidelity.vector_unit:
        raise InfeasibleError(f"its model has no vector unit, which {layer.operator} needs")
    work = VECTOR_OPERATORS[layer.operator]
    waiting = waiting_bits(layer, machine.offered(precision), tensors, machine)
    looked_up = layer.operator == "embedding"
    weight = machine.offered(layer.widths or precision).weight_bits
    if looked_up and machine.storage.weights == "full":
        weight = max(weight, machine.storage.full_bits)
    task = VectorTask(
        inputs=batch * elements_read(layer),
        others=batch * layer.others,
        outputs=batch * layer.outputs,
        operations=batch * layer.vector_operations,
        row=layer.row or (layer.out_channels if looked_up else 1),
        reads=work.reads,
        request=layer.out_channels if looked_up else 0,
        input_bits=weight if looked_up else waiting.input,
        other_bits=waiting.other,
        output_bits=waiting.output,
        input_on_chip=tensors.input_on_chip and not looked_up,
        other_on_chip=tensors.other_on_chip,
        output_on_chip=tensors.output_on_chip,
        lanes=machine.array.vector_lanes,
        **memory(machine, tensors.reserved_bytes),
    )
    moved = task.reads * task.inputs * task.input_bits + task.others * task.other_bits
    if moved + task.outputs * task.output_bits + task.operations > 2**60:
        raise InfeasibleError(f"{task.outputs:.3g} outputs make counts that pass 64-bit integers")
    return task


def elements_read(layer: Layer) -> int:
    """Elements of the first operand for one input: those under a window, each once."""
    if layer.operator == "embedding":
        return layer.outputs
    windows, touched = kernel("windows"), layer.in_channels
    for axis in layer.axes:
        if max(axis.kernel, axis.stride) == 1:
            touched *= axis.size
        else:
            touched *= windows.touched(0, axis.outputs, _windows(axis))
    return int(touched)


def _windows(axis: Axis) -> Any:
    mode = PADDING_MODES.index(axis.mode)
    along = (axis.kernel, axis.stride, axis.dilation, axis.before, axis.size, mode)
    return kernel("windows").Windows(*along)


class PassBlocks(NamedTuple):
    """What each block of a pass takes, int64 [block]: operations of the unit, and DRAM bits of the
    first operand, of the others and of the outputs."""

    operations: np.ndarray
    inputs: np.ndarray
    others: np.ndarray
    outputs: np.ndarray


def blocks_of(task: VectorTask) -> PassBlocks:
    """The blocks one by one.

    Raises:
        InfeasibleError: if there are too many.
    """
    size = task.block_units
    blocks = -(-task.units // size)
    if blocks > MAX_STEPS:
        raise InfeasibleError(f"it has {blocks:.3g} blocks, over {MAX_STEPS:.3g}")
    ends = np.minimum(np.arange(1, blocks + 1) * size, task.units)

    def shares(total: int) -> np.ndarray:
        """Whole elements of each block, adding up to the total."""
        each, rest = divmod(total, task.units)
        # The rest is spread evenly; Python's integers where a product would pass 64 bits.
        wide = object if task.units > 2**31 else np.int64
        upto = each * ends + (rest * ends.astype(wide) // task.units).astype(np.int64)
        return np.diff(upto, prepend=0)

    if task.request:
        requests = -(-shares(task.fetched) // task.request)
        inputs = requests * _bursts(task, task.request * task.input_bits)
    else:
        inputs = _bursts(task, shares(task.fetched) * task.input_bits)
    others = 0 if task.other_on_chip else task.others
    outputs = 0 if task.output_on_chip else task.outputs
    return PassBlocks(
        operations=shares(task.operations),
        inputs=inputs,
        others=_bursts(task, shares(others) * task.other_bits),
        outputs=_bursts(task, shares(outputs) * task.output_bits),
    )


def steps(task: VectorTask) -> np.ndarray:
    """The blocks as steps of a schedule: int64 [block, part], parts as in `kernel.walk`.

    Raises:
        InfeasibleError: if there are too many.
    """
    return _walked(task, blocks_of(task))


def _walked(task: VectorTask, blocks: PassBlocks) -> np.ndarray:
    code = kernel("walk")
    walked = np.zeros((len(blocks.operations), code.STEP_PARTS), dtype=np.int64)
    walked[:, code.DRAIN] = -(-blocks.operations // task.lanes)
    walked[:, code.INPUTS] = blocks.inputs + blocks.others
    walked[:, code.STORED] = blocks.outputs
    return walked


def moved(task: VectorTask) -> dict[tuple[str, str, str], int]:
    """Bits by memory, tensor and direction; finished outputs pass through the output buffer where
    the array leaves its sums.

    Raises:
        InfeasibleError: if there are too many blocks.
    """
    return _moved(task, blocks_of(task))


def _moved(task: VectorTask, blocks: PassBlocks) -> dict[tuple[str, str, str], int]:
    others, stored = task.others * task.other_bits, task.outputs * task.output_bits
    kept = stored if task.output_on_chip else 0
    return {
        ("dram", "inputs", "read"): int(blocks.inputs.sum()),
        ("dram", "others", "read"): int(blocks.others.sum()),
        ("dram", "outputs", "write"): int(blocks.outputs.sum()),
        ("input_buffer", "inputs", "read"): task.reads * task.inputs * task.input_bits,
        ("input_buffer", "inputs", "write"): task.fetched * task.input_bits,
        ("input_buffer", "others", "read"): others,
        ("input_buffer", "others", "write"): 0 if task.other_on_chip else others,
        ("input_buffer", "outputs", "write"): kept,
        ("output_buffer", "partial_sums", "read"): stored - kept,
        ("output_buffer", "partial_sums", "write"): stored - kept,
    }


def _bursts(task: VectorTask, bits: Bits) -> Bits:
    """Bits of transfers in whole bursts."""
    return -(-bits // task.burst_bits) * task.burst_bits if task.burst_bits else bits


def price(task: VectorTask) -> Priced:
    """What the operator takes: cycles, and counts of `ACTIONS`.

    Raises:
        InfeasibleError: if it has too many blocks.
    """
    code, blocks = kernel("walk"), blocks_of(task)
    scheduled, rate = task.scheduled, task.dram_bits_per_cycle
    priced = code.price_steps(scheduled, rate, _walked(task, blocks)).tolist()
    counts = np.zeros(len(ACTIONS), dtype=np.int64)
    counts[STALL], counts[VECTOR] = priced[code.CYCLES], task.operations
    for (where, _, direction), bits in _moved(task, blocks).items():
        counts[ACTIONS.index(f"{where}_{direction}_bits")] += bits
    return Priced(priced[code.CYCLES], counts, 0, priced[code.TAIL], 0)
