"""Energy by layer, component, tensor and action, in cells that add up exactly; the roofline."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from accel_models.costs.layer_frame import moved_bits
from accel_models.costs.pricing import Pricing
from accel_models.explain.static_picture import roof_point
from accel_models.mapping.problem import ACTIONS
from dfs_hw.report.measured.exact import adding_up
from dfs_hw.report.measured.layer_uses import LayerUse
from dfs_hw.report.subject import EnergyCell, LayerWidth

NO_TENSOR, IN_VAIN = "none", "fetched in vain"
LEAKAGE, BACKGROUND, OTHER = "leakage", "dram background", "other"
STATIC = (LEAKAGE, BACKGROUND)
"""Components that draw energy because time passes."""
_COMPONENTS = {"array": "array", "vector": "vector unit", "dram": "dram"}
Key = tuple[str, str, str, str]


def energy_cells(
    names: Sequence[str],
    counts: np.ndarray,
    cycles: np.ndarray,
    uses: Iterable[LayerUse],
    pricing: Pricing,
    inputs: int,
    total_j: float,
) -> tuple[EnergyCell, ...]:
    """Cells of the energy of an input, the mean over inputs.

    Args:
        names: of the layers.
        counts: int64 [layer, action] of all inputs together.
        cycles: int64 [layer] of all inputs together.
        uses: widths at which the layers ran, which tell whose traffic it was.
        inputs: how many there were.
        total_j: energy of an input in J, which the cells add up to.
    """
    moved: dict[int, Counter[tuple[str, str]]] = {}
    for use in uses:
        of_layer = moved.setdefault(use.row, Counter())
        for (memory, tensor, way), bits in moved_bits(use.cost).items():
            of_layer[f"{memory}_{way}_bits", tensor] += bits * use.runs
    found: dict[Key, float] = defaultdict(float)
    for row, name in enumerate(names):
        of_actions = dict(_of_layer(name, counts[row], moved.get(row, Counter()), pricing))
        found.update(of_actions)
        control = sum(of_actions.values()) * pricing.machine.energy.other_share
        found[name, OTHER, NO_TENSOR, "control and clock tree"] += control
        for component, watts in zip(
            STATIC, (pricing.leakage_power_w, pricing.background_power_w), strict=True
        ):
            picojoules = int(cycles[row]) * watts / pricing.frequency_hz * 1e12
            found[name, component, NO_TENSOR, "time that passes"] += picojoules
    kept = {key: pj for key, pj in found.items() if pj > 0}
    joules = adding_up(np.array(list(kept.values())) * 1e-12 / inputs, total_j)
    return tuple(EnergyCell(*key, joule) for key, joule in zip(kept, joules.tolist(), strict=True))


def _of_layer(
    name: str, counts: np.ndarray, moved: Counter[tuple[str, str]], pricing: Pricing
) -> Iterator[tuple[Key, float]]:
    """Energy in pJ of each action of one layer, tensor by tensor."""
    for action, count, price in zip(ACTIONS, counts.tolist(), pricing.action_pj, strict=True):
        component = component_of(action)
        told = action.removesuffix("_bits").replace("_", " ")
        tensors = {tensor: bits for (one, tensor), bits in moved.items() if one == action and bits}
        rest = count - sum(tensors.values())
        if rest:
            tensors[IN_VAIN if action.endswith("_bits") else NO_TENSOR] = rest
        for tensor, bits in tensors.items():
            yield (name, component, tensor.replace("_", " "), told), bits * price


def component_of(action: str) -> str:
    """Component of `pricing.COMPONENTS` that an action of `problem.ACTIONS` takes place in."""
    first, second, *_ = action.split("_")
    return _COMPONENTS.get(first, f"{first} {second}")


def component_sums(cells: Iterable[EnergyCell]) -> dict[str, float]:
    """Energy in J by component, as the cells have it."""
    sums: dict[str, float] = defaultdict(float)
    for cell in cells:
        sums[cell.component] += cell.energy_j
    return dict(sums)


def layer_widths(uses: Iterable[LayerUse], pricing: Pricing, inputs: int) -> tuple[LayerWidth, ...]:
    """Every layer at every width under the roofline."""
    return tuple(_layer_width(use, pricing, inputs) for use in uses)


def _layer_width(use: LayerUse, pricing: Pricing, inputs: int) -> LayerWidth:
    cost, point = use.cost, roof_point(use.cost)
    energy = pricing.energy_pj(cost.counts, cost.cycles).sum() * 1e-12
    return LayerWidth(
        layer=cost.layer.name,
        precision=str(cost.precision),
        share=use.runs / inputs,
        macs=cost.layer.macs,
        cycles=cost.cycles,
        macs_per_bit=point.macs_per_bit if point else None,
        macs_per_cycle=point.macs_per_cycle if point else None,
        peak_macs_per_cycle=point.peak_macs_per_cycle if point else None,
        occupancy=cost.occupancy if cost.compute_cycles else None,
        energy_j=float(energy),
    )
