"""What every decision unit costs at every choice: computed once, then only looked up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from accel_models.accelerator import Accelerator
from accel_models.errors import InfeasibleError, InputError
from accel_models.precision import Precision, highest, parse_choices
from accel_models.simulator import ACTIONS, LayerCost, Pricing, bitops, simulate_layer
from accel_models.workload import Layer, Workload

Metric = Literal["energy", "latency", "bitops"]


@dataclass(frozen=True)
class CostTable:
    """Cost of every layer at every choice of its unit, for every group size.

    A group is how many inputs of a batch take the same choice, and so share one run of the layer.
    Layers outside decision units cost the same at every choice.

    Args:
        choices: K options in the order of a trace's choice indices.
        always: precision of everything that runs whatever is chosen.
        cycles: int64 [layer, choice, group], group g at index g - 1.
        counts: int64 [layer, choice, group, action], actions as in `mapping.ACTIONS`.
        infeasible: why a layer cannot run at a choice, by (layer index, choice index).
    """

    workload: Workload
    accelerator: Accelerator
    choices: tuple[Precision, ...]
    always: Precision
    cycles: np.ndarray
    counts: np.ndarray
    infeasible: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the U decision units, in the order of a trace's columns."""
        return self.workload.units

    @cached_property
    def unit_of_layer(self) -> np.ndarray:
        """Index of the unit of each layer, -1 for layers outside units; int64 [layer]."""
        index = {unit: number for number, unit in enumerate(self.units)}
        return np.array([index.get(layer.unit, -1) for layer in self.workload.layers])

    @cached_property
    def bitops(self) -> np.ndarray:
        """BitOps for one input, int64 [layer, choice]."""
        return np.array(
            [
                [bitops(layer, layer.precision(choice, self.always)) for choice in self.choices]
                for layer in self.workload.layers
            ],
            dtype=np.int64,
        )

    def costs(self, metric: Metric) -> tuple[float, np.ndarray]:
        """Cost of one input running alone: of what always runs, and of each unit at each choice.

        Args:
            metric: ``energy`` in J, ``latency`` in s, or ``bitops``.

        Returns:
            The part no choice changes, and float64 [unit, choice].

        Raises:
            InfeasibleError: if a choice cannot run on the machine.
        """
        self.require_feasible()
        values = self._layer_costs(metric)
        return float(values[self.unit_of_layer < 0, 0].sum()), self.per_unit(values)

    def reference(self, metric: Metric) -> float:
        """Cost of one input at the highest precision everywhere, in a network without gates.

        Units and errors are those of `costs`.
        """
        self.require_feasible()
        gates = np.array([layer.role == "gate" for layer in self.workload.layers])
        column = self.choices.index(highest(self.choices))
        return float(self._layer_costs(metric)[~gates, column].sum())

    def _layer_costs(self, metric: Metric) -> np.ndarray:
        """Cost of each layer for one input, float64 [layer, choice], in SI units."""
        if metric == "energy":
            pricing = Pricing(self.accelerator)
            per_layer = pricing.energy_pj(self.counts[:, :, 0], self.cycles[:, :, 0])
            return per_layer.sum(axis=-1) * 1e-12
        if metric == "latency":
            return self.cycles[:, :, 0] / self.accelerator.frequency_hz
        if metric == "bitops":
            return self.bitops.astype(np.float64)
        raise InputError(f"unknown metric '{metric}': use energy, latency or bitops")

    def per_unit(self, values: np.ndarray) -> np.ndarray:
        """Sum [layer, ...] over the layers of each unit: [unit, ...]."""
        total = np.zeros((len(self.units), *values.shape[1:]), dtype=values.dtype)
        inside = self.unit_of_layer >= 0
        np.add.at(total, self.unit_of_layer[inside], values[inside])
        return total

    def require_feasible(self, used: Iterable[int] | None = None) -> None:
        """Raise `InfeasibleError` if one of the `used` choices (default all) cannot run."""
        wanted = set(range(len(self.choices)) if used is None else used)
        for (_, choice), reason in sorted(self.infeasible.items()):
            if choice in wanted:
                raise InfeasibleError(reason)

    @cached_property
    def key(self) -> str:
        """Hash of everything the figures depend on."""
        parts: dict[str, Any] = {
            "workload": self.workload.key,
            "accelerator": self.accelerator.model_dump(mode="json"),
            "choices": [str(choice) for choice in self.choices],
            "always": str(self.always),
            "groups": self.cycles.shape[2],
            "version": version("dfs-hw"),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def cost_table(
    workload: Workload,
    accelerator: Accelerator,
    choices: str | Iterable[str | int | Precision] = "skip,2,4,8",
    *,
    always: str | int | Precision | None = None,
    max_group: int = 1,
) -> CostTable:
    """Simulate every distinct layer at every choice and group size.

    Args:
        workload: the layers, some of them in decision units.
        accelerator: the machine.
        choices: the choice set, in the order that traces number it.
        always: precision of what always runs; by default the highest choice.
        max_group: largest number of inputs that share a run. Where running a group in two parts is
            cheaper than at once, it is charged so.

    Raises:
        InputError: if the choice set is malformed.
        InfeasibleError: if a layer that always runs cannot. Choices that cannot run are kept in
            `CostTable.infeasible`, and refused when they are asked for.
    """
    options = parse_choices(choices)
    rest = highest(options) if always is None else Precision.parse(always)
    pricing = Pricing(accelerator)
    shape = (len(workload.layers), len(options), max_group)
    cycles = np.zeros(shape, dtype=np.int64)
    counts = np.zeros((*shape, len(ACTIONS)), dtype=np.int64)
    infeasible: dict[tuple[int, int], str] = {}
    known: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
    for row, layer in enumerate(workload.layers):
        for column, choice in enumerate(options):
            precision = layer.precision(choice, rest)
            if precision is None:
                continue
            key = (layer.geometry, precision)
            try:
                if key not in known:
                    known[key] = _groups(layer, precision, accelerator, pricing, max_group)
            except InfeasibleError as error:
                if layer.role in ("fixed", "gate"):
                    raise
                infeasible[row, column] = str(error)
                continue
            cycles[row, column], counts[row, column] = known[key]
    return CostTable(workload, accelerator, options, rest, cycles, counts, infeasible)


def _groups(
    layer: Layer, precision: Precision, accelerator: Accelerator, pricing: Pricing, max_group: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cycles [group] and counts [group, action], closed under splitting a group in two."""
    cycles = np.zeros(max_group, dtype=np.int64)
    counts = np.zeros((max_group, len(ACTIONS)), dtype=np.int64)
    prices = np.asarray(pricing.action_pj)
    for group in range(1, max_group + 1):
        cost: LayerCost = simulate_layer(layer, precision, accelerator, pricing.action_pj, group)
        options = [(cost.cycles, cost.counts)]
        for part in range(1, group // 2 + 1):
            rest = group - part
            whole = cycles[part - 1] + cycles[rest - 1]
            options.append((whole, counts[part - 1] + counts[rest - 1]))
        best = min(options, key=lambda option: (option[0], option[1] @ prices))
        cycles[group - 1], counts[group - 1] = best
    return cycles, counts
