"""Claims of papers over other machines, beside what the library makes of them.

Machines run as their files have them, and where a claim is about arithmetic also with a memory that
never waits, which is closer to what the papers' own models assume. Each network is one ratio; those
of several are averaged geometrically.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.simulator import simulate
from accel_models.explain.departures import departure_steps
from accel_models.precision import Precision
from accel_models.validation.eyeriss import GROUP, compare_with_eyeriss
from accel_models.validation.networks import alexnet_convolutions
from accel_models.validation.published_rows import PUBLISHED, read_rows, row_layer
from accel_models.workloads.workload import Workload

AMPLE = 16
"""Times the banks of a machine with ample memory."""
STRIPES_GB_PER_S = 502.0
"""Bandwidth in the configuration that Bit Fusion was compared with Stripes in: bf_s_conf.ini, which
also has 128 KiB in each buffer and the clock below."""
STRIPES_HZ = 980e6
NODE_NM = 45
"""Process of the synthesis released with Bit Fusion."""
ALEXNET_ACTIVATION_BITS = (9, 8, 5, 5, 7)
"""Profiled widths of AlexNet's convolutions at full accuracy (Stripes): recalled, not checked."""
ALEXNET_WEIGHT_BITS = 11
"""Profiled width of its weights (Loom): recalled, not checked."""


@dataclass(frozen=True)
class Claim:
    """One published comparison of two machines, and the library's: ratios of time and of energy."""

    title: str
    setting: str
    """What was run, and on which memories."""
    published_speedup: float
    published_gain: float
    speedup: float
    gain: float
    """Times that the other machine takes this one's energy."""
    why: str
    """Where the difference comes from."""


def compare_with_claims() -> list[Claim]:
    """All claims, in the order of their papers."""
    return [*over_dadiannao(), *over_parallel(), *over_stripes(), *over_eyeriss()]


def over_dadiannao() -> Iterator[Claim]:
    """Stripes over DaDianNao: 1.92 in time and 1.57 in energy (abstract, five networks)."""
    networks = [_alexnet(16)]
    pair = load_accelerator("stripes-published"), load_accelerator("dadiannao-published")
    title, run = "Stripes over DaDianNao", "AlexNet's convolutions"
    waits = "memory: 502 GB/s and 128 KiB (bf_s_conf.ini) are not the eDRAM of the paper"
    yield _claim(title, f"{run}, as shipped", (1.92, 1.57), pair, networks, why=waits)
    closed = "widths of five networks are not known; without memory it is 16 / bits, layer by layer"
    ample = [_ample(machine) for machine in pair]
    yield _claim(title, f"{run}, ample memory", (1.92, 1.57), ample, networks, why=closed)


def over_parallel() -> Iterator[Claim]:
    """Loom-1b over 128 bit-parallel MACs: 4.38 in time and 3.54 in energy (abstract)."""
    networks = [_alexnet(ALEXNET_WEIGHT_BITS)]
    loom, parallel = (load_accelerator(f"{name}-published") for name in ("loom-1b", "dadiannao"))
    pair = loom, _with_memory_of(loom, parallel.configured(array__columns=8))
    title, run = "Loom-1b over 128 parallel MACs", "AlexNet's convolutions"
    waits = "the paper trims activations' widths at run time, and its memories are not known"
    yield _claim(title, f"{run}, Loom's memory for both", (4.38, 3.54), pair, networks, why=waits)
    trimmed = "the paper trims activations' widths at run time, which is not modelled"
    ample = [_ample(machine) for machine in pair]
    yield _claim(title, f"{run}, ample memory", (4.38, 3.54), ample, networks, why=trimmed)


def over_stripes() -> Iterator[Claim]:
    """Bit Fusion over Stripes: 2.6 in time and 3.9 in energy (abstract, eight networks)."""
    networks = bit_fusion_networks()
    fusion, stripes = load_accelerator("bitfusion"), load_accelerator("stripes")
    title, run = "Bit Fusion over Stripes", f"{len(networks)} networks, batch 16"
    why = "equal peak at 8 bits; Stripes fetches weights of 16 bits whatever they need"
    pair = fusion, stripes
    yield _claim(title, f"{run}, on common ground", (2.6, 3.9), pair, networks, batch=16, why=why)
    memory = {"frequency_hz": STRIPES_HZ, "dram__gb_per_s": STRIPES_GB_PER_S}
    memory |= {f"buffers__{name}_bytes": 2**17 for name in ("weight", "input", "output")}
    fused = _at_45_nm(fusion).configured(**memory)
    tiles = load_accelerator("stripes-published").configured(
        array__columns=32, **memory, **_kind_of_sram(fused)
    )
    pair = fused, tiles
    setting = f"{run}, two tiles of Stripes, both with {STRIPES_GB_PER_S:g} GB/s and 980 MHz"
    why = "an array of equal area has 1.56 tiles: if time went with tiles, 2.7 and as much energy"
    yield _claim(title, setting, (2.6, 3.9), pair, networks, batch=16, why=why)


def over_eyeriss() -> Iterator[Claim]:
    """Bit Fusion over Eyeriss: 3.9 in time and 5.1 in energy (abstract, eight networks)."""
    found = compare_with_eyeriss()
    title = "Bit Fusion over Eyeriss"
    why = "the released comparison, whose Eyeriss is counters of 256 elements, not the chip"
    run = f"{len(found.networks)} networks, batch 16, published counters of Eyeriss"
    yield Claim(title, run, 3.9, 5.1, found.speedup, found.energy_ratio, why)


def bit_fusion_networks() -> list[Workload]:
    """Networks that Bit Fusion was evaluated on, each layer at its own widths, from its released
    results; recurrent ones are left out."""
    layers = defaultdict(list)
    for name, row in read_rows(PUBLISHED):
        if row["group"] == GROUP and row["network"] not in ("RNN", "LSTM"):
            layer, widths = row_layer(name, row)
            layers[row["network"]].append(replace(layer, name=name, widths=widths))
    return [Workload(network, tuple(found)) for network, found in layers.items()]


def _alexnet(weight_bits: int) -> Workload:
    """AlexNet's convolutions at their profiled widths."""
    network = alexnet_convolutions()
    widths = [Precision(weight_bits, bits) for bits in ALEXNET_ACTIVATION_BITS]
    layers = [
        replace(layer, widths=own, reads_image=False)
        for layer, own in zip(network.layers, widths, strict=True)
    ]
    return Workload.chain(network.name, layers)


def _ample(machine: Accelerator) -> Accelerator:
    """A machine whose memory never waits and holds what is needed, leakage left out."""
    buffers = machine.buffers
    banks = {
        f"buffers__{name}_{size}": AMPLE * getattr(buffers, f"{name}_{size}")
        for name in ("weight", "input", "output")
        for size in ("bytes", "banks")
    }
    never = {"dram__gb_per_s": 1e5, "dram__latency_ns": 0.0, "energy__leakage_scale": 0.0}
    return machine.configured(**banks, **never)


def _with_memory_of(one: Accelerator, machine: Accelerator) -> Accelerator:
    """A machine with another's buffers, kind of SRAM and DRAM."""
    memory = {f"buffers__{name}": value for name, value in one.buffers.model_dump().items()}
    memory |= {f"dram__{name}": value for name, value in one.dram.model_dump().items()}
    return machine.configured(**memory, **_kind_of_sram(one))


def _kind_of_sram(machine: Accelerator) -> dict[str, object]:
    """Fields that give another machine the same kind of SRAM."""
    fields = ("sram_cell", "sram_kelvin")
    return {f"technology__{field}": getattr(machine.technology, field) for field in fields}


def _at_45_nm(fusion: Accelerator) -> Accelerator:
    """Bit Fusion as hardware would run, by the 45 nm tables released with it: the last machine on
    its way to common ground that is built as these tables have it."""
    steps = [step.machine for step in departure_steps(fusion)]
    return [one for one in steps if one.technology.node_nm == NODE_NM][-1]


def _claim(
    title: str,
    setting: str,
    published: tuple[float, float],
    machines: Sequence[Accelerator],
    networks: Sequence[Workload],
    *,
    why: str,
    batch: int = 1,
) -> Claim:
    """The first machine over the second."""
    runs = [
        [simulate(network, machine, 8, batch=batch) for machine in machines] for network in networks
    ]
    speedup = geometric_mean(other.latency_s / one.latency_s for one, other in runs)
    gain = geometric_mean(other.energy_j / one.energy_j for one, other in runs)
    return Claim(title, setting, *published, speedup, gain, why)
