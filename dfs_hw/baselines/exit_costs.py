"""What inputs cost that leave a network of one width, exit by exit."""

from __future__ import annotations

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.precision import Precision
from accel_models.replay import Replay, replay
from accel_models.trace import GateTrace
from dfs_hw.experiment import trace_header


def replayed_exits(table: CostTable, choice: str) -> Replay:
    """A replay of one input for each exit, which leaves there, and of one that leaves nowhere.

    Args:
        table: of a network with exits, on a machine.
        choice: that every block runs at which is reached.
    """
    whole = table.choices.index(Precision.parse(choice))
    places = np.arange(len(table.units))
    ends = [*map(table.units.index, table.workload.exits), len(table.units)]
    taken = np.array([np.where(places < end, whole, table.leaving) for end in ends], dtype=np.uint8)
    header = trace_header(table.workload, table.choices, "test", data="", accelerator="", seed=0)
    unknown = np.zeros(len(ends), dtype=np.int32)
    return replay(GateTrace(header, np.arange(len(ends)), unknown, unknown, taken), table)


def exits_told(cost: np.ndarray, at_exits: np.ndarray) -> np.ndarray:
    """Which exit each input left at, int64 [N], told by what it cost.

    Args:
        cost: of each input [N].
        at_exits: what leaving at each exit costs, and nowhere [exits + 1], by the same costs.
    """
    return np.asarray(np.abs(cost[:, None] / at_exits - 1).argmin(axis=1))


__all__ = ["exits_told", "replayed_exits"]
