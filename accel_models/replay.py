"""A recorded trace run through a machine: energy and latency of every input, and where they went.

Costs are added up as integers (cycles, bits moved, array cycles) and priced at the end, so a
static network written as a trace costs exactly what `simulate` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from accel_models.cost_table import CostTable
from accel_models.errors import InputError
from accel_models.files import whole_file
from accel_models.pricing import ACTIONS, COMPONENTS, Pricing
from accel_models.trace import GateTrace

_STALL = ACTIONS.index("array_stall_cycles")
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Replay:
    """Every input of a trace, run alone on the machine of a cost table.

    Args:
        cycles: int64 [input].
        counts: int64 [input, action], actions as in `mapping.ACTIONS`.
        bitops: int64 [input].
        spared: int64 [layer], cycles of all inputs together that a layer's weights took less by
            loading while the unit before computed; the table does not know of them.
    """

    trace: GateTrace
    table: CostTable
    cycles: np.ndarray
    counts: np.ndarray
    bitops: np.ndarray
    spared: np.ndarray

    @cached_property
    def energy_pj(self) -> np.ndarray:
        """Energy by component in pJ, float64 [input, component]."""
        return Pricing(self.table.accelerator).energy_pj(self.counts, self.cycles)

    @cached_property
    def energy_j(self) -> np.ndarray:
        """Energy of each input in J, float64 [input]."""
        return self.energy_pj.sum(axis=-1) * 1e-12

    @cached_property
    def latency_s(self) -> np.ndarray:
        """Latency of each input in s, float64 [input]."""
        return self.cycles / self.table.accelerator.frequency_hz

    @property
    def edp_js(self) -> float:
        """Mean of energy x latency over inputs, in J s."""
        return float((self.energy_j * self.latency_s).mean())

    @cached_property
    def choice_counts(self) -> np.ndarray:
        """How many inputs took each choice, int64 [unit, choice]."""
        number = len(self.table.choices)
        columns = self.trace.choices.T
        return np.array([np.bincount(column, minlength=number) for column in columns])

    @cached_property
    def layer_energy_pj(self) -> np.ndarray:
        """Mean energy of each layer by component in pJ, float64 [layer, component].

        Summed over layers it is the mean of `energy_pj`.
        """
        times = self._times_run()
        counts = np.einsum("lk,lka->la", times, self.table.counts[:, :, 0])
        counts[:, _STALL] -= self.spared
        cycles = np.einsum("lk,lk->l", times, self.table.cycles[:, :, 0]) - self.spared
        return Pricing(self.table.accelerator).energy_pj(counts, cycles) / len(self.trace)

    @cached_property
    def layer_latency_s(self) -> np.ndarray:
        """Mean latency of each layer in s, float64 [layer]."""
        cycles = np.einsum("lk,lk->l", self._times_run(), self.table.cycles[:, :, 0])
        cycles = cycles - self.spared
        return cycles / self.table.accelerator.frequency_hz / len(self.trace)

    def write(self, path: str | Path) -> None:
        """Write one row an input as Parquet: energy by component in J, latency in s, BitOps."""
        parts = {
            f"{name.replace(' ', '_')}_j": self.energy_pj[:, column] * 1e-12
            for column, name in enumerate(COMPONENTS)
        }
        table = pa.table(
            {
                "input_id": self.trace.input_ids,
                "label": self.trace.labels,
                "prediction": self.trace.predictions,
                "energy_j": self.energy_j,
                "latency_s": self.latency_s,
                "bitops": self.bitops,
                **parts,
            }
        )
        with whole_file(path) as partial:
            pq.write_table(table, partial, compression="zstd")

    def _times_run(self) -> np.ndarray:
        """How many inputs ran each layer at each choice of its unit, int64 [layer, choice]."""
        times = np.zeros(self.table.bitops.shape, dtype=np.int64)
        unit = self.table.unit_of_layer
        times[unit >= 0] = self.choice_counts[unit[unit >= 0]]
        times[unit < 0, 0] = len(self.trace)
        return times


def spread(amounts: np.ndarray) -> dict[str, float]:
    """Mean, percentiles and maximum of an amount [input]."""
    shares = {f"p{p}": float(np.percentile(amounts, p)) for p in PERCENTILES}
    return {"mean": float(amounts.mean()), **shares, "max": float(amounts.max())}


def replay(trace: GateTrace, table: CostTable) -> Replay:
    """Look up what every input of a trace cost.

    Args:
        trace: the choices of N inputs.
        table: costs of the same network and choice set, on any machine.

    Raises:
        InputError: if the trace is of another network or choice set than the table.
        InfeasibleError: if the machine cannot run a choice that occurs in the trace.
    """
    _check_match(trace, table)
    table.require_feasible(np.unique(trace.choices).tolist())
    inside = table.unit_of_layer >= 0
    layer_cycles, layer_counts = table.cycles[:, :, 0], table.counts[:, :, 0]
    unit_cycles, unit_counts = table.per_unit(layer_cycles), table.per_unit(layer_counts)
    unit_bitops = table.per_unit(table.bitops)
    inputs = len(trace)
    cycles = np.full(inputs, layer_cycles[~inside, 0].sum(), dtype=np.int64)
    counts = np.tile(layer_counts[~inside, 0].sum(axis=0), (inputs, 1))
    bitops = np.full(inputs, table.bitops[~inside, 0].sum(), dtype=np.int64)
    for unit, chosen in enumerate(trace.choices.T):
        cycles += unit_cycles[unit][chosen]
        counts += unit_counts[unit][chosen]
        bitops += unit_bitops[unit][chosen]
    spared = np.zeros((len(table.workload.layers), inputs), dtype=np.int64)
    if table.accelerator.fidelity.prefetch:
        spared = _spared_across_units(trace.choices, table)
    cycles -= spared.sum(axis=0)
    counts[:, _STALL] -= spared.sum(axis=0)
    return Replay(trace, table, cycles, counts, bitops, spared.sum(axis=1))


def _spared_across_units(choices: np.ndarray, table: CostTable) -> np.ndarray:
    """Cycles each input is spared as first weights load while the unit before still computes,
    int64 [layer, input]: where the width is known by then.

    The table has it already for layers of one unit that follow each other.
    """
    workload = table.workload
    spared = np.zeros((len(workload.layers), len(choices)), dtype=np.int64)
    free = np.zeros(len(choices), dtype=np.int64)
    waits = workload.deciding_units if table.accelerator.fidelity.gates == "vector-unit" else set()
    stretch = np.full_like(free, -1)
    here = 0
    for row, (layer, unit) in enumerate(zip(workload.layers, table.unit_of_layer, strict=True)):
        here += row > 0 and unit != table.unit_of_layer[row - 1]
        chosen = choices[:, unit] if unit >= 0 else np.zeros(len(choices), dtype=np.int64)
        runs, tail = table.runs[row][chosen], table.tail[row, :, 0][chosen]
        if layer.role == "gate" and layer.unit in waits:
            free += tail
            continue
        if layer.role == "gate" or layer.unit not in workload.deciding_units:
            fresh = np.minimum(free, table.head[row, :, 0][chosen])
            spared[row] = np.where(runs & (stretch != here), fresh, 0)
        free = np.where(runs, tail, free)
        stretch = np.where(runs, here, stretch)
    return spared


def _check_match(trace: GateTrace, table: CostTable) -> None:
    header = trace.header
    if header.workload.key != table.workload.key:
        raise InputError(
            f"the trace is of network '{header.network}' (workload {header.workload.key}), "
            f"the cost table of '{table.workload.name}' (workload {table.workload.key})"
        )
    for what, traced, tabled in (
        ("choices", header.choices, table.choices),
        ("precision outside its units", (header.always,), (table.always,)),
    ):
        if traced != tabled:
            raise InputError(
                f"the trace's {what} ({', '.join(map(str, traced))}) differ from the cost table's "
                f"({', '.join(map(str, tabled))})"
            )
