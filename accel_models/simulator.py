"""What a network costs on a machine at given precisions: cycles, and energy by component."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from accel_models.accelerator import Accelerator
from accel_models.arrays import bit_fusion
from accel_models.errors import InfeasibleError, InputError
from accel_models.mapping import ACTIONS, Mapping, search
from accel_models.precision import Precision, highest
from accel_models.workload import Layer, Workload

COMPONENTS = ("array", "weight buffer", "input buffer", "output buffer", "dram", "leakage")
"""Where energy goes, in the order of every `energy_pj` array of this package."""


@dataclass(frozen=True)
class LayerCost:
    """One layer at one precision for a whole batch.

    `counts` is int64 [action], in the order of `mapping.ACTIONS`.
    """

    layer: Layer
    precision: Precision
    cycles: int
    compute_cycles: int
    counts: np.ndarray
    mapping: Mapping


@dataclass(frozen=True)
class Simulation:
    """A network at fixed precisions; all figures are for one batch of `batch` inputs."""

    workload: Workload
    accelerator: Accelerator
    batch: int
    layers: tuple[LayerCost, ...]

    @property
    def cycles(self) -> int:
        return sum(layer.cycles for layer in self.layers)

    @property
    def latency_s(self) -> float:
        return self.cycles / self.accelerator.frequency_hz

    @cached_property
    def counts(self) -> np.ndarray:
        """Actions of all layers, int64 [action]."""
        return np.stack([layer.counts for layer in self.layers]).sum(axis=0)

    @cached_property
    def energy_pj(self) -> np.ndarray:
        """Energy by component in pJ, float64 [component]."""
        return Pricing(self.accelerator).energy_pj(self.counts, self.cycles)

    @property
    def energy_j(self) -> float:
        return float(self.energy_pj.sum()) * 1e-12

    @property
    def bitops(self) -> int:
        """One-bit multiplications: MACs x weight bits x activation bits."""
        return self.batch * sum(bitops(cost.layer, cost.precision) for cost in self.layers)


class Pricing:
    """The energy constants of one machine, looked up once.

    Raises:
        InputError: if the machine's tables hold no figures for one of its parts.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.action_pj = bit_fusion.action_energy_pj(accelerator)
        charged = accelerator.fidelity.static_power
        self.static_power_w = bit_fusion.static_power_w(accelerator) if charged else 0.0
        self.frequency_hz = accelerator.frequency_hz

    def energy_pj(self, counts: np.ndarray, cycles: np.ndarray | int) -> np.ndarray:
        """Energy by component.

        Args:
            counts: int64 [..., action].
            cycles: int64 [...], the time over which leakage is charged.

        Returns:
            float64 [..., component] in pJ. Figures do not depend on what else is priced beside
            them, so equal counts give equal energies to the last bit.
        """
        priced = counts * np.asarray(self.action_pj)
        energy = np.empty((*counts.shape[:-1], len(COMPONENTS)))
        energy[..., 0] = priced[..., 0]
        energy[..., 1:5] = priced[..., 1::2] + priced[..., 2::2]
        energy[..., 5] = np.asarray(cycles) * (self.static_power_w / self.frequency_hz * 1e12)
        return energy


def simulate_layer(
    layer: Layer,
    precision: Precision,
    accelerator: Accelerator,
    action_pj: tuple[float, ...],
    batch: int = 1,
) -> LayerCost:
    """Find the best mapping of one layer.

    Raises:
        InfeasibleError: naming the layer, the machine and what does not fit.
    """
    widths = bit_fusion.operands(layer, precision)
    try:
        found = search(bit_fusion.problem(layer, widths, batch, accelerator), action_pj)
    except InfeasibleError as error:
        raise InfeasibleError(
            f"layer '{layer.name}' at {precision} bits on {accelerator.name}: {error}"
        ) from error
    return LayerCost(
        layer=layer,
        precision=widths,
        cycles=found.cycles,
        compute_cycles=found.compute_cycles,
        counts=found.counts,
        mapping=found.mapping,
    )


def simulate(
    workload: Workload,
    accelerator: Accelerator,
    precision: str | int | Precision | MappingType[str, Any] = "8",
    *,
    always: str | int | Precision | None = None,
    batch: int = 1,
) -> Simulation:
    """Cost of a network whose precisions are fixed.

    Args:
        workload: the layers.
        accelerator: the machine.
        precision: of every layer, or one for each decision unit by name.
        always: precision of the layers outside decision units, and of gates; by default the
            highest one used.
        batch: inputs processed together.

    Raises:
        InfeasibleError: if the machine cannot run a layer at its precision.
        InputError: if a precision is malformed, or a unit is missing or unknown.
    """
    if batch < 1:
        raise InputError(f"batch must be at least 1, got {batch}")
    units = _unit_precisions(workload, precision)
    rest = Precision.parse(always) if always is not None else highest(units.values())
    if rest.is_skip:
        raise InputError("layers outside decision units always run: they cannot be skipped")
    action_pj = Pricing(accelerator).action_pj
    known: dict[Any, LayerCost] = {}
    costs = []
    for layer in workload.layers:
        chosen = layer.precision(units.get(layer.unit, rest), rest)
        if chosen is None:
            continue
        key = (layer.geometry, chosen)
        if key not in known:
            known[key] = simulate_layer(layer, chosen, accelerator, action_pj, batch)
        costs.append(_renamed(known[key], layer))
    return Simulation(workload, accelerator, batch, tuple(costs))


def bitops(layer: Layer, precision: Precision | None) -> int:
    """The BitOps proxy of one layer for one input: MACs x weight bits x activation bits."""
    if precision is None:
        return 0
    return layer.macs * bit_fusion.operands(layer, precision).bitops_per_mac


def _renamed(cost: LayerCost, layer: Layer) -> LayerCost:
    return LayerCost(
        layer, cost.precision, cost.cycles, cost.compute_cycles, cost.counts, cost.mapping
    )


def _unit_precisions(workload: Workload, precision: Any) -> dict[str, Precision]:
    if not isinstance(precision, MappingType):
        one = Precision.parse(precision)
        return dict.fromkeys((*workload.units, ""), one)
    units = {name: Precision.parse(value) for name, value in precision.items()}
    unknown = set(units) - set(workload.units)
    missing = set(workload.units) - set(units)
    if unknown or missing:
        names = ", ".join(sorted(unknown or missing))
        verb = "are not units of" if unknown else "have no precision in"
        raise InputError(f"{names} {verb} workload '{workload.name}'")
    return units


__all__ = [
    "ACTIONS",
    "COMPONENTS",
    "LayerCost",
    "Pricing",
    "Simulation",
    "bitops",
    "simulate",
    "simulate_layer",
]
