"""Bit Fusion: 2-bit bricks that fuse into multipliers (Sharma et al., ISCA 2018)."""

from __future__ import annotations

from accel_models.accelerator import Accelerator, Array, Source
from accel_models.energy import array_figures, sram_bank
from accel_models.errors import InfeasibleError, InputError
from accel_models.mapping import Problem
from accel_models.precision import Precision
from accel_models.workload import Layer

IMAGE_BITS = 8
"""Pixels come in 8 bits, whatever the layer that reads them computes in."""


def lanes_per_unit(array: Array, precision: Precision) -> int:
    """Products a unit computes per cycle: one per pair of the chunks its bricks fuse into.

    A unit of 8 down to 2 bits tells three widths of each operand apart: up to 2 bits count four
    times, up to 4 bits twice, up to 8 bits once.

    Raises:
        InfeasibleError: if an operand is wider than the unit.
    """
    lanes = 1
    for operand, bits in (
        ("weights", precision.weight_bits),
        ("activations", precision.activation_bits),
    ):
        if bits > array.max_bits:
            raise InfeasibleError(
                f"{bits}-bit {operand} are wider than the array's {array.max_bits} bits"
            )
        lanes *= array.max_bits // max(bits, array.min_bits)
    return lanes


def operands(layer: Layer, precision: Precision) -> Precision:
    """The widths a layer really computes at."""
    if layer.reads_image:
        return Precision(precision.weight_bits, IMAGE_BITS)
    return precision


def problem(layer: Layer, widths: Precision, batch: int, machine: Accelerator) -> Problem:
    """The mapping problem of a layer that computes at `widths`. Groups are computed densely.

    Raises:
        InfeasibleError: if the array cannot multiply operands of these widths.
    """
    fidelity, buffers = machine.fidelity, machine.buffers
    accumulator = machine.accumulator_bits
    stored = widths.activation_bits if fidelity.outputs == "activations" else accumulator
    is_image = layer.reads_image and fidelity.image_layer == "im2col"
    return Problem(
        batch=batch,
        out_rows=layer.out_size[0],
        out_columns=layer.out_size[1],
        in_channels=layer.in_channels,
        out_channels=layer.out_channels,
        kernel_rows=layer.kernel[0],
        kernel_columns=layer.kernel[1],
        row_stride=layer.stride[0],
        column_stride=layer.stride[1],
        weight_bits=widths.weight_bits,
        activation_bits=widths.activation_bits,
        accumulator_bits=accumulator,
        stored_output_bits=stored,
        array_rows=machine.array.rows,
        array_columns=machine.array.columns,
        lanes=lanes_per_unit(machine.array, widths),
        dram_bits_per_cycle=machine.dram.bits_per_cycle,
        weight_half=4 * buffers.weight_bytes,
        input_half=4 * buffers.input_bytes,
        output_half=4 * buffers.output_bytes,
        im2col=is_image,
        first_reload=int(fidelity.partial_sums == "always"),
        pad_outputs=fidelity.output_padding,
        share_input_reads=fidelity.input_reads == "per-row",
    )


def action_energy_pj(machine: Accelerator) -> tuple[float, ...]:
    """Energy of each of `mapping.ACTIONS` in pJ: per array cycle, then per bit moved.

    Raises:
        InputError: if a buffer does not split into the array's banks, or a bank has no figures.
    """
    array = machine.array
    core = array_figures(array.rows, array.columns, array.max_bits, array.min_bits)
    banks = [sram_bank(*bank[1:3], shared_port=bank[3]) for bank in _banks(machine)]
    sram = [pj for bank in banks for pj in (bank.read_pj_per_bit, bank.write_pj_per_bit)]
    return (core.pj_per_cycle, *sram, machine.dram.pj_per_bit, machine.dram.pj_per_bit)


def energy_source(action: str) -> Source:
    """Where the energy of one of `mapping.ACTIONS` on chip comes from."""
    if action == "array_cycles":
        text = "45 nm synthesis released with the Bit Fusion simulator, systolic_array_synth.csv"
        return Source("published", f"{text}; 4x4 array scaled by units where larger")
    return Source("published", "CACTI 7, 45 nm, itrs-hp at 360 K, by bank size and word width")


def static_power_w(machine: Accelerator) -> float:
    """Leakage of the array and of all banks, in W."""
    array = machine.array
    core = array_figures(array.rows, array.columns, array.max_bits, array.min_bits)
    sram = sum(
        count * sram_bank(size, word, shared_port=port).leakage_mw
        for count, size, word, port in _banks(machine)
    )
    return (core.leakage_mw + sram) * 1e-3


def area_mm2(machine: Accelerator) -> dict[str, float]:
    """Area by component in mm² at 45 nm."""
    array = machine.array
    core = array_figures(array.rows, array.columns, array.max_bits, array.min_bits).area_mm2
    buffers = [
        count * sram_bank(size, word, shared_port=port).area_mm2
        for count, size, word, port in _banks(machine)
    ]
    names = ("weight buffer", "input buffer", "output buffer")
    return {"array": core, **dict(zip(names, buffers, strict=True))}


def _banks(machine: Accelerator) -> list[tuple[int, int, int, bool]]:
    """(number, bytes each, word bits, shared port) of the weight, input and output banks.

    Every unit has a weight bank, every row an input bank, every column an output bank.
    """
    array, buffers = machine.array, machine.buffers
    operand_word = array.max_bits**2 // array.min_bits
    banks = []
    for name, size, count, word, port in (
        ("weight", buffers.weight_bytes, array.rows * array.columns, operand_word, False),
        ("input", buffers.input_bytes, array.rows, operand_word, False),
        ("output", buffers.output_bytes, array.columns, machine.accumulator_bits, True),
    ):
        if size % count:
            raise InputError(
                f"{machine.name}: buffers.{name}_bytes = {size} does not split evenly into the "
                f"{count} banks of a {array.rows} x {array.columns} array"
            )
        banks.append((count, size // count, word, port))
    return banks
