"""Chips and RTL beside the model: every published figure that a machine of the library can be held
against, what the model says, and where the difference comes from.

Figures are those of abstracts and released data (``docs/silicon.md`` has their sources). Recalled
ones are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from accel_models.accelerators.arrays.colonnade import energy_fj_per_mac, throughput_gops
from accel_models.accelerators.arrays.neureka import Neureka
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.energy.published_tables import read_table
from accel_models.precision import Precision
from accel_models.validation import unpu
from accel_models.validation.claims import Claim, compare_with_claims
from accel_models.validation.eyeriss_chip import run_on_chip
from accel_models.validation.networks import alexnet_convolutions, vgg16_convolutions
from accel_models.validation.neureka import array_cycles, compare_with_neureka, weight_cycles
from accel_models.workloads.workload import Layer

Basis = Literal["predicted", "fitted", "size"]
"""What the model's figure rests on: nothing of the kind, a fit to this figure or to a series that
it is of, or the machine's size, which was chosen to give it."""

EYERISS = {
    "AlexNet": (alexnet_convolutions, 4, (35.0, 278.0, 0.0029)),
    "VGG-16": (vgg16_convolutions, 3, (0.7, 236.0, 0.0035)),
}
"""Abstract: frames a second, mW, DRAM accesses a MAC, of a network's convolutions at a batch."""
UNPU_GOPS = {16: 345.6, 1: 7372.0}
UNPU_TOPS_PER_WATT = {16: 3.08, 1: 50.6}
TPU_TOPS = 92.0
NE16_LAYER = Layer("conv", 64, 64, (3, 3), out_size=(16, 16), padding=(1, 1))
NE16_CYCLES = {8: 90_576, 4: 53_712, 2: 35_280}
"""PLiNIO's ne16_latency.py, by bits of weights."""


@dataclass(frozen=True)
class SiliconFigure:
    """One published figure of a chip or of RTL, and the model's."""

    chip: str
    figure: str
    unit: str
    published: float
    model: float
    basis: Basis
    why: str = ""

    @property
    def ratio(self) -> float:
        """The model's figure over the published one."""
        return self.model / self.published


@dataclass(frozen=True)
class SiliconComparison:
    """All figures, and all claims of papers over other machines."""

    figures: tuple[SiliconFigure, ...]
    claims: tuple[Claim, ...]


def compare_with_silicon() -> SiliconComparison:
    """Work out every figure and claim; takes some seconds."""
    figures = [*eyeriss_figures(), *unpu_figures(), *colonnade_figures(), *tpu_figures()]
    return SiliconComparison((*figures, *rtl_figures()), tuple(compare_with_claims()))


def eyeriss_figures() -> Iterator[SiliconFigure]:
    """The Eyeriss chip, half of all activations taken to be zero."""
    machine = load_accelerator("eyeriss-published")
    why = {
        "frames": "a bound: filling the array before each pass and draining it take no time",
        "power": "one MAC with its registers at 45 nm, scaled; half zeros; no clock tree",
        "DRAM": "half zeros, run-length coded",
    }
    for network, (workload, batch, published) in EYERISS.items():
        run = run_on_chip(workload(), machine, batch)
        figures = (run.frames_per_s, run.milliwatts, run.dram_accesses_per_mac)
        units = ("frames/s", "mW", "accesses/MAC")
        for name, unit, paper, model in zip(why, units, published, figures, strict=True):
            title = f"{network}, {name}"
            yield SiliconFigure("Eyeriss", title, unit, paper, model, "predicted", why[name])


def unpu_figures() -> Iterator[SiliconFigure]:
    """UNPU at 16-bit weights and at 1-bit ones."""
    for bits, gops in UNPU_GOPS.items():
        why = "look-ups were counted from these two peaks"
        yield SiliconFigure(
            "UNPU", f"{bits} bit, peak", "GOPS", gops, unpu.peak_gops(bits), "size", why
        )
    for bits, published in UNPU_TOPS_PER_WATT.items():
        fitted = bits == unpu.FITTED_BITS
        why = "" if fitted else "by what its elements save over MACs, four figures of the abstract"
        basis: Basis = "fitted" if fitted else "predicted"
        yield SiliconFigure(
            "UNPU", f"{bits} bit", "TOPS/W", published, unpu.efficiency(bits), basis, why
        )


def colonnade_figures() -> Iterator[SiliconFigure]:
    """Colonnade at 16 pipeline registers and 0.8 V, inputs as wide as weights. Energies at even
    widths are predicted: its one constant of this supply is fitted to the odd ones."""
    delays = "one of 80 throughputs that three delays are fitted to"
    for row in read_table("colonnade_silicon.csv"):
        bits = int(row["bits"])
        if bits not in (1, 4, 8, 16):
            continue
        gops, fj = float(row["gops_16reg"]), float(row["iw_fj_0v8"])
        peak, energy = throughput_gops(bits, bits, 16), energy_fj_per_mac(bits, bits, 0.8)
        basis: Basis = "fitted" if bits % 2 else "predicted"
        why = "a constant of each supply, fitted at odd widths"
        yield SiliconFigure("Colonnade", f"{bits} bit, peak", "GOPS", gops, peak, "fitted", delays)
        yield SiliconFigure("Colonnade", f"{bits} bit", "fJ/MAC", fj, energy, basis, why)


def tpu_figures() -> Iterator[SiliconFigure]:
    """The TPU's peak."""
    machine = load_accelerator("tpu-published")
    tops = 2e-12 * machine.array.operations_per_cycle * machine.frequency_hz
    why = "power and time of its workloads are not in the abstract"
    yield SiliconFigure("TPU", "8 bit, peak", "TOPS", TPU_TOPS, tops, "size", why)


def rtl_figures() -> Iterator[SiliconFigure]:
    """Cycles of single jobs on engines whose RTL or cycle model is released."""
    for job in compare_with_neureka():
        layer = job.layer
        kind = "depthwise" if layer.groups > 1 else "x".join(map(str, layer.kernel))
        rows, columns = layer.in_size
        size = f"{layer.in_channels} to {layer.out_channels} on {rows}x{columns}"
        title = f"{kind}, {job.widths.weight_bits} bit, {size}"
        basis: Basis = "fitted" if job.fitted else "predicted"
        yield SiliconFigure("N-EUREKA", title, "cycles", job.published, job.model, basis)
    ne16 = load_accelerator("ne16-published")
    for bits, cycles in NE16_CYCLES.items():
        model = array_cycles(ne16, NE16_LAYER, Precision(bits, 8))
        title = f"3x3, {bits} bit, 64 to 64 on 16x16"
        yield SiliconFigure("NE16", title, "cycles", cycles, model, "size", "the released formula")
    assert isinstance(ne16.array, Neureka)
    for bits in (2, 4):
        title = f"{bits}-bit weights, 32 x 32 channels"
        read = weight_cycles(ne16.array, bits)
        yield SiliconFigure("RBE", title, "cycles", bits * 32, read, "size", "as NE16 reads them")
