"""What many inputs took together: integers that add up exactly, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accel_models.costs.pricing import ACTIONS
from accel_models.replay.plan import Plan
from accel_models.replay.rules import DRAM_READ, STALL, WEIGHT_WRITE, Sums


@dataclass
class OfClass:
    """The inputs of one label: how many, how many of them correct, J and s of all together."""

    inputs: int = 0
    correct: int = 0
    energy_j: float = 0.0
    latency_s: float = 0.0

    def add(self, other: OfClass) -> None:
        """Add the inputs of the same label in another part of the trace."""
        self.inputs += other.inputs
        self.correct += other.correct
        self.energy_j += other.energy_j
        self.latency_s += other.latency_s


@dataclass
class Totals:
    """Sums over N inputs.

    Args:
        sums: what ran how often.
        choice_counts: int64 [unit, choice], as executed.
        busy_cycles: that the machine worked or waited for memory.
        idle_s: that it waited for inputs.
        edp_js: sum of each input's energy x latency.
        classes: by label. As in `edp_js`, their energy is without what leaks in `idle_s`.
    """

    sums: Sums
    choice_counts: np.ndarray
    busy_cycles: int
    idle_s: float
    edp_js: float
    classes: dict[int, OfClass] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return sum(one.inputs for one in self.classes.values())

    @property
    def accuracy(self) -> float:
        return sum(one.correct for one in self.classes.values()) / self.inputs

    def add(self, other: Totals) -> None:
        """Add other inputs of the same plan."""
        self.sums = self.sums.plus(other.sums)
        self.choice_counts = self.choice_counts + other.choice_counts
        self.busy_cycles += other.busy_cycles
        self.idle_s += other.idle_s
        self.edp_js += other.edp_js
        for label, one in other.classes.items():
            self.classes.setdefault(label, OfClass()).add(one)

    def counts(self, plan: Plan) -> np.ndarray:
        """Actions of all inputs, int64 [action]."""
        return self.layer_actions(plan)[0].sum(axis=0)

    def energy_pj(self, plan: Plan) -> np.ndarray:
        """Mean energy of an input by component in pJ, float64 [component]."""
        leaking = float(self.busy_cycles)
        if not plan.policy.idle_gating:
            leaking += self.idle_s * plan.table.accelerator.frequency_hz
        return plan.pricing.energy_pj(self.counts(plan), np.array(leaking)) / self.inputs

    def layer_energy_pj(self, plan: Plan) -> np.ndarray:
        """Mean energy of each layer by component in pJ, float64 [layer, component], without what
        leaks while the machine waits for inputs."""
        return plan.pricing.energy_pj(*self.layer_actions(plan)) / self.inputs

    def layer_latency_s(self, plan: Plan) -> np.ndarray:
        """Mean time that each layer takes of an input's, in s, float64 [layer]."""
        cycles = self.layer_actions(plan)[1]
        return cycles / plan.table.accelerator.frequency_hz / self.inputs

    def cycles_by_cause(self, plan: Plan) -> dict[str, float]:
        """Mean cycles of an input, in batches of its share of the batch's: gates and first weights
        waited for as they decide, changes of width, and those spared by loading early."""
        turns = plan.chain.turns * plan.rules.reconfiguration * self.sums.runs.sum(axis=-1)
        by_cause = {
            "exposed": self.sums.exposed.sum(),
            "switching": self.sums.switching.sum() + turns.sum(),
            "spared": self.sums.spared.sum(),
        }
        return {name: int(cycles) / self.inputs for name, cycles in by_cause.items()}

    def layer_actions(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """Actions int64 [layer, action] and cycles int64 [layer] of all inputs."""
        table, sums, reconfiguration = plan.table, self.sums, plan.rules.reconfiguration
        counts = np.zeros((len(table.workload.layers), len(ACTIONS)), dtype=np.int64)
        cycles = np.zeros(len(counts), dtype=np.int64)
        for number, link in enumerate(plan.links):
            for row in link.gates:
                counts[row] = sums.batches[number] @ table.counts[row, 0]
                cycles[row] = sums.batches[number] @ table.cycles[row, 0]
            ran = sums.runs[number]
            for row in link.layers:
                counts[row] = np.einsum("kg,kga->a", ran, table.counts[row])
                turned = int((ran.sum(axis=-1) * plan.turns[row]).sum()) * reconfiguration
                cycles[row] = (ran * table.cycles[row]).sum() + turned
                counts[row, STALL] += turned
            for choice in np.flatnonzero(plan.chain.runs[number]):
                first = next(row for row in link.layers if table.runs[row, choice])
                waits = sums.switching[number, choice] - sums.spared[number, choice]
                cycles[first] += waits
                counts[first, STALL] += waits
            for action in (DRAM_READ, WEIGHT_WRITE) if link.layers else ():
                counts[link.layers[0], action] += sums.wasted[number]
        return counts, cycles

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "sums": [values.tolist() for values in self.sums],
            "choice_counts": self.choice_counts.tolist(),
            "busy_cycles": self.busy_cycles,
            "idle_s": self.idle_s,
            "edp_js": self.edp_js,
            "classes": {
                str(label): [one.inputs, one.correct, one.energy_j, one.latency_s]
                for label, one in self.classes.items()
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Totals:
        """Totals that `to_dict` made plain data of."""
        return cls(
            Sums(*(np.array(values, dtype=np.int64) for values in data["sums"])),
            np.array(data["choice_counts"], dtype=np.int64),
            data["busy_cycles"],
            data["idle_s"],
            data["edp_js"],
            {int(label): OfClass(*values) for label, values in data["classes"].items()},
        )
