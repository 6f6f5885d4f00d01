"""Buffers as banks of SRAM: how they are split, where they are made, what a bank costs."""

from __future__ import annotations

from dataclasses import dataclass

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.array import BankShape
from accel_models.energy.array import SramBank, sram_bank
from accel_models.energy.sram_process import SramProcess
from accel_models.errors import InfeasibleError, InputError

BUFFERS = ("weight", "input", "output")


@dataclass(frozen=True)
class Buffer:
    """One buffer: its name, its banks, and the figures of each."""

    name: str
    size_bytes: int
    shape: BankShape
    bank: SramBank

    @property
    def stated(self) -> str:
        """The field and its value, as a file of the machine states them."""
        return f"buffers.{self.name}_bytes = {self.size_bytes}"


def buffers_of(machine: Accelerator, where: str) -> tuple[Buffer, ...]:
    """The machine's buffers, in the order of `BUFFERS`.

    Args:
        machine: the machine.
        where: name of its file, or of the machine where its caller changed it, for errors.

    Raises:
        InputError: for a buffer that does not split into banks, or banks without figures.
        InfeasibleError: for a bank that is too slow for the clock.
    """
    shapes = zip(BUFFERS, _bank_shapes(machine), strict=True)
    buffers = tuple(_buffer(machine, name, shape, where) for name, shape in shapes)
    slowest = max(buffers, key=lambda buffer: buffer.bank.access_ns)
    takes = slowest.bank.access_ns
    if machine.fidelity.sram_figures == "interpolated" and takes > 1e9 / machine.frequency_hz:
        raise InfeasibleError(
            f"{where}: frequency_hz, {machine.frequency_hz / 1e6:g} MHz, is too fast for "
            f"{slowest.stated}: a bank of {slowest.size_bytes // slowest.shape.number} bytes takes "
            f"{takes:.2f} ns to read, it reaches {1e3 / takes:.4g} MHz"
        )
    return buffers


def sram_process(machine: Accelerator) -> SramProcess | None:
    """Where the machine's banks are made; None for the published ones."""
    technology = machine.technology
    if technology.sram_cell is None or technology.sram_kelvin is None:
        return None
    volts = technology.volts if technology.sram_supply == "logic" else None
    return SramProcess(
        technology.node_nm,
        technology.sram_cell,
        technology.sram_kelvin,
        volts,
        technology.leakage_per_volt or 0.0,
    )


def _buffer(machine: Accelerator, name: str, shape: BankShape, where: str) -> Buffer:
    """One buffer. Output banks have a port more, for results on their way out."""
    size = getattr(machine.buffers, f"{name}_bytes")
    said = f"{where}: buffers.{name}_bytes = {size}"
    if size % shape.number:
        raise InputError(
            f"{said} does not split evenly into {shape.number} banks: it must be a "
            f"multiple of {shape.number}"
        )
    each, process, shared_port = size // shape.number, sram_process(machine), name == "output"
    interpolated = machine.fidelity.sram_figures == "interpolated"
    take = sram_bank if process is None else process.bank
    try:
        bank = take(each, shape.word_bits, shared_port=shared_port, interpolate=interpolated)
    except InputError as error:
        raise InputError(f"{said}, in {shape.number} banks: {error}") from error
    return Buffer(name, size, shape, bank)


def _bank_shapes(machine: Accelerator) -> tuple[BankShape, BankShape, BankShape]:
    own = machine.array.banks()
    if own is not None:
        return own
    buffers = machine.buffers
    word = buffers.word_bits or 0  # `accelerator.checked` sees to it that these are there
    counts = (buffers.weight_banks, buffers.input_banks, buffers.output_banks)
    weight, inputs, outputs = (BankShape(count or 0, word) for count in counts)
    return weight, inputs, outputs
