"""What a machine's actions cost: energy by component, power, area."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.banks import buffers_of, sram_process
from accel_models.accelerators.process import check_process
from accel_models.energy.array import ArrayFigures
from accel_models.energy.technology import (
    leakage_volt_scale,
    logic_area_scale,
    logic_energy_scale,
)
from accel_models.mapping.problem import ACTIONS
from accel_models.source import Source

COMPONENTS = (
    "array",
    "vector unit",
    "weight buffer",
    "input buffer",
    "output buffer",
    "dram",
    "dram background",
    "other",
    "leakage",
)
"""Where energy goes, in the order of every `energy_pj` array of this package."""
_COMPONENT_OF_ACTION = np.array([0, 0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5])
_BACKGROUND = COMPONENTS.index("dram background")
_OTHER, _LEAKAGE = COMPONENTS.index("other"), COMPONENTS.index("leakage")


class Pricing:
    """The constants of one machine, looked up once.

    Raises:
        InputError: if the machine's tables hold no figures for one of its parts.
        InfeasibleError: if logic or a bank is too slow for the clock.
    """

    def __init__(self, machine: Accelerator) -> None:
        self.machine = machine
        check_process(machine, machine.name)
        self.buffers = buffers_of(machine, machine.name)
        self.array = _scaled_array(machine)
        self.frequency_hz = machine.frequency_hz

    @cached_property
    def action_pj(self) -> tuple[float, ...]:
        """Energy of each of `problem.ACTIONS` in pJ, without the share for everything else."""
        machine, energy = self.machine, self.machine.energy
        cycle = self.array.pj_per_cycle
        if machine.fidelity.core_energy == "per-cycle":
            core = (0.0, cycle, 0.0)
        else:
            idle = energy.idle_share * cycle
            core = ((cycle - idle) / machine.array.operations_per_cycle, idle, idle)
        vector = _vector_pj(machine) if machine.fidelity.vector_unit else 0.0
        sram = [
            pj * energy.sram_scale
            for buffer in self.buffers
            for pj in (buffer.bank.read_pj_per_bit, buffer.bank.write_pj_per_bit)
        ]
        dram = machine.dram.pj_per_bit + machine.dram.interface_pj_per_bit
        return (*core, vector, *sram, dram, dram)

    @cached_property
    def weighed_pj(self) -> tuple[float, ...]:
        """Energy of each of `problem.ACTIONS` in pJ with its share for everything else: what
        mappings are compared by."""
        share = 1 + self.machine.energy.other_share
        return tuple(pj * share for pj in self.action_pj)

    @cached_property
    def leakage_w(self) -> dict[str, float]:
        """Leakage by component in W, whether or not it is charged."""
        scale = self.machine.energy.leakage_scale * 1e-3
        sram = {
            f"{buffer.name} buffer": buffer.shape.number * buffer.bank.leakage_mw * scale
            for buffer in self.buffers
        }
        return {"array": self.array.leakage_mw * scale, **sram}

    @property
    def leakage_power_w(self) -> float:
        """Leakage that is charged, in W."""
        return sum(self.leakage_w.values()) if self.machine.fidelity.static_power else 0.0

    @property
    def background_power_w(self) -> float:
        """What DRAM and the interface to it draw in W, whether or not anything moves."""
        dram = self.machine.dram
        return self.machine.dram_channels * (dram.background_mw + dram.interface_mw) * 1e-3

    @property
    def static_power_w(self) -> float:
        """What is drawn in W as long as the machine is on: leakage that is charged, and DRAM's
        background."""
        return self.leakage_power_w + self.background_power_w

    @property
    def static_pj_per_cycle(self) -> float:
        return self.static_power_w / self.frequency_hz * 1e12

    @property
    def peak_power_w(self) -> float:
        """Power in W with all units at work, DRAM included.

        Every element of the array multiplies and every lane of the vector unit requantises; every
        bank reads a word a cycle, output banks write one as well; DRAM moves all it can, into
        whichever of the weight and input buffers is dearer to write. Whether any layer does all of
        this at once is another question.
        """
        array = self.machine.array
        prices = dict(zip(ACTIONS, self.action_pj, strict=True))
        arriving = max(prices["weight_buffer_write_bits"], prices["input_buffer_write_bits"])
        dynamic = [
            self.array.pj_per_cycle,
            prices["vector_operations"] * array.vector_lanes,
            (prices["dram_read_bits"] + arriving) * self.machine.dram_bits_per_cycle,
        ]
        for buffer in self.buffers:
            read, write = (prices[f"{buffer.name}_buffer_{way}_bits"] for way in ("read", "write"))
            each = read + write if buffer.name == "output" else read
            dynamic.append(each * buffer.shape.number * buffer.shape.word_bits)
        cycle_pj = sum(dynamic) * (1 + self.machine.energy.other_share)
        return cycle_pj * self.frequency_hz * 1e-12 + self.static_power_w

    @cached_property
    def area_mm2(self) -> dict[str, float]:
        """Area by component in mm²: logic at the machine's node, SRAM as tabled; 0 for buffers that
        are inside the array's."""
        inside = self.machine.buffers.inside_array_area
        sram = {
            f"{buffer.name} buffer": 0.0 if inside else buffer.shape.number * buffer.bank.area_mm2
            for buffer in self.buffers
        }
        return {"array": self.array.area_mm2, **sram}

    def constants(self) -> Iterator[tuple[str, float, str, Source]]:
        """Name, value, unit and source of everything that was looked up or derived from the
        file."""
        figures, leakage = self.machine.array.figures_source, self.machine.array.leakage_source
        if figures is not None:
            yield "array, every element at work", self.array.pj_per_cycle, "pJ per cycle", figures
            yield "array area", self.array.area_mm2, "mm²", figures
        if leakage is not None:
            yield "array leakage", self.array.leakage_mw, "mW", leakage
        for buffer in self.buffers:
            bank, shape, name = buffer.bank, buffer.shape, f"{buffer.name} buffer"
            size = buffer.size_bytes // shape.number
            text = f"CACTI 7, {_sram_said(self.machine)}: {shape.number} banks of {size} bytes"
            scaled = self.machine.technology.sram_supply == "logic"
            status = "assumed" if scaled else "published"
            source = Source(status, f"{text}, {shape.word_bits}-bit words")
            yield f"{name} read", bank.read_pj_per_bit, "pJ per bit", source
            yield f"{name} write", bank.write_pj_per_bit, "pJ per bit", source
            yield f"{name} leakage", bank.leakage_mw * shape.number, "mW", source
            yield f"{name} area", bank.area_mm2 * shape.number, "mm²", source

    def energy_pj(self, counts: np.ndarray, cycles: np.ndarray | int) -> np.ndarray:
        """Energy by component.

        Args:
            counts: int64 [..., action].
            cycles: int64 [...], the time over which leakage and background are charged.

        Returns:
            float64 [..., component] in pJ. Figures do not depend on what else is priced beside
            them, so equal counts give equal energies to the last bit.
        """
        priced = counts * np.asarray(self.action_pj)
        energy = np.zeros((*counts.shape[:-1], len(COMPONENTS)))
        for action, component in enumerate(_COMPONENT_OF_ACTION):
            energy[..., component] += priced[..., action]
        energy[..., _OTHER] = energy.sum(axis=-1) * self.machine.energy.other_share
        for component, watts in (
            (_LEAKAGE, self.leakage_power_w),
            (_BACKGROUND, self.background_power_w),
        ):
            energy[..., component] = np.asarray(cycles) * (watts / self.frequency_hz * 1e12)
        return energy


@dataclass(frozen=True)
class Work:
    """What a machine did, as `accel_models.metrics` asks about it: arrays of one shape [...].

    Args:
        pricing: of the machine.
        counts: int64 [..., action], as in `mapping.ACTIONS`.
        cycles: int64 [...].
        bitops: int64 [...].
    """

    pricing: Pricing
    counts: np.ndarray
    cycles: np.ndarray
    bitops: np.ndarray

    @property
    def energy_j(self) -> np.ndarray:
        """Energy in J, leakage and background in it, float64 [...]."""
        energy: np.ndarray = self.pricing.energy_pj(self.counts, self.cycles).sum(axis=-1)
        return energy * 1e-12

    @property
    def latency_s(self) -> np.ndarray:
        """Latency in s, float64 [...]."""
        return self.cycles / self.pricing.frequency_hz


def _scaled_array(machine: Accelerator) -> ArrayFigures:
    """The array's figures, brought to the machine's process and supply."""
    figures, array, technology = machine.array.figures(), machine.array, machine.technology
    per_volt, leakage = technology.leakage_per_volt, 1.0
    energy = machine.energy.array_scale * machine.energy.logic_scale
    energy *= logic_energy_scale(
        array.node_nm,
        technology.figures_volts,
        technology.node_nm,
        technology.volts,
        technology.devices,
    )
    area = logic_area_scale(array.node_nm, technology.node_nm)
    if per_volt is not None:
        leakage = leakage_volt_scale(technology.figures_volts, technology.volts, per_volt)
    return ArrayFigures(
        pj_per_cycle=figures.pj_per_cycle * energy,
        leakage_mw=figures.leakage_mw * area * leakage,
        area_mm2=figures.area_mm2 * area,
    )


def _vector_pj(machine: Accelerator) -> float:
    """Energy of requantising an output, brought to the machine's process and supply."""
    energy, technology = machine.energy, machine.technology
    stated = energy.vector_pj * energy.logic_scale
    if energy.vector_node_nm is None or energy.vector_volts is None:
        return stated
    return stated * logic_energy_scale(
        energy.vector_node_nm,
        energy.vector_volts,
        technology.node_nm,
        technology.volts,
        technology.devices,
    )


def _sram_said(machine: Accelerator) -> str:
    """Where the machine's banks are made, in words."""
    process = sram_process(machine)
    if process is None:
        return "45 nm, itrs-hp at 360 K"
    said = f"{process.node_nm:g} nm, itrs-{process.cell} at {process.kelvin:g} K"
    return said if process.volts is None else f"{said}, brought to {process.volts:g} V"


__all__ = ["ACTIONS", "COMPONENTS", "Pricing"]
