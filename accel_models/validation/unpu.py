"""UNPU's efficiency over widths of weights, beside the chip's (Lee et al., JSSC 2019).

The machine itself has all of its energy go with the bits of weights, which is right at 16 bits,
where it is fitted, and too little at 1. Two ways to do better, neither fitted at 1 bit:

- `efficiency`: the abstract states how much less the look-up elements draw than an array of
  fixed-point MACs, at 16, 8, 4 and 1 bits. Such a MAC is b - 1 additions of partial products and
  one to accumulate (Horowitz, ISSCC 2014: energies of a 16-bit multiplication, half way in
  logarithms between 8 and 32 bits, and of a 32-bit addition).
- `table_efficiency`: a look-up is b reads of a table of sums that is built once. What building
  takes is worked out from its additions and the registers that hold its activations.
"""

from __future__ import annotations

import math

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.unpu import Unpu
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.energy.array import integer_op
from accel_models.energy.published_tables import read_table
from accel_models.energy.technology import logic_energy_scale
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer

FITTED_BITS, FITTED_TOPS_PER_WATT = 16, 3.08
"""Abstract: at 0.63 to 1.1 V; the high efficiency taken to belong to the lowest voltage."""
SAVED = {16: 0.231, 8: 0.272, 4: 0.41, 1: 0.536}
"""Abstract: energy that the look-up elements save over fixed-point MACs, by bits of weights."""
ADD_NM, ADD_VOLTS = 45.0, 0.9
REGISTER_NM = 40.0
ACTIVATION_BITS = 16
CONVOLUTION = Layer("any", 512, 512, (3, 3), out_size=(48, 48))


def peak_gops(weight_bits: int, machine: str = "unpu-published") -> float:
    """Peak in 10^9 operations a second, two to a MAC, of convolutions."""
    accelerator, array = _unpu(machine)
    data = array.datapath(CONVOLUTION, Precision(weight_bits, ACTIVATION_BITS))
    inputs = data.passes[0][0]
    macs = data.rows * inputs * data.columns * data.windows / data.cycles_per_step
    return 2 * macs * accelerator.frequency_hz * 1e-9


def efficiency(weight_bits: int) -> float:
    """10^12 operations a second and watt, two to a MAC, by what elements save over MACs.

    Args:
        weight_bits: 16, 8, 4 or 1.
    """
    drawn = (1 - SAVED[weight_bits]) * _mac_pj(weight_bits)
    fitted = (1 - SAVED[FITTED_BITS]) * _mac_pj(FITTED_BITS)
    return FITTED_TOPS_PER_WATT * fitted / drawn


def table_efficiency(weight_bits: int, machine: str = "unpu-published") -> float:
    """10^12 operations a second and watt, two to a MAC, with tables that have to be built."""
    fitted = 2 / FITTED_TOPS_PER_WATT - _table_pj(FITTED_BITS, machine)
    per_read = fitted / FITTED_BITS * _table_inputs(FITTED_BITS, machine)
    reads = weight_bits * per_read / _table_inputs(weight_bits, machine)
    return 2 / (reads + _table_pj(weight_bits, machine))


def serial_efficiency(weight_bits: int, machine: str = "unpu-published") -> float:
    """Efficiency that the machine itself has: all of it goes with the bits of weights."""
    fitted = FITTED_TOPS_PER_WATT * FITTED_BITS / _table_inputs(FITTED_BITS, machine)
    return fitted * _table_inputs(weight_bits, machine) / weight_bits


def _mac_pj(weight_bits: int) -> float:
    """A fixed-point MAC of 16-bit activations, in pJ at 45 nm and 0.9 V."""
    multiplication = math.sqrt(integer_op("multiply", 8).pj * integer_op("multiply", 32).pj)
    additions = (weight_bits - 1) / (ACTIVATION_BITS - 1)
    return additions * multiplication + integer_op("add", 32).pj


def _table_pj(weight_bits: int, machine: str) -> float:
    """Energy in pJ a MAC of building a table: additions for all sums of two activations or more,
    of which negatives are left out at 1 bit, and its activations read from registers."""
    accelerator, array = _unpu(machine)
    inputs = _table_inputs(weight_bits, machine)
    sums = 2 ** (inputs - 1) if weight_bits == 1 else 2**inputs - inputs - 1
    technology = accelerator.technology
    volts = technology.figures_volts
    add = integer_op("add", 16).pj * sums
    add *= logic_energy_scale(ADD_NM, ADD_VOLTS, technology.node_nm, volts)
    (bit,) = read_table("register_file40.csv")
    read = float(bit["pj_per_bit"]) * ACTIVATION_BITS * inputs
    read *= logic_energy_scale(REGISTER_NM, ADD_VOLTS, technology.node_nm, volts)
    return (add + read) / (inputs * array.columns)


def _table_inputs(weight_bits: int, machine: str) -> int:
    """Activations that a table adds up."""
    array = _unpu(machine)[1]
    return array.binary_table_inputs if weight_bits == 1 else array.table_inputs


def _unpu(machine: str) -> tuple[Accelerator, Unpu]:
    accelerator = load_accelerator(machine)
    assert isinstance(accelerator.array, Unpu)
    return accelerator, accelerator.array
