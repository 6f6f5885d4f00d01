"""Choices of inputs that may leave: an input that has left goes on choosing ``exit``.

So a unit's column says for every input what became of it there: what it ran at, that it was
skipped, or that the input had left, there or before. Where it left is the first of those columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accel_models.precision import Precision
from accel_models.workloads.workload import Workload

NEVER = -1
"""Index of ``exit`` in a choice set without it."""


def exit_index(choices: Sequence[Precision]) -> int:
    """Index of ``exit`` among the choices; `NEVER` if it is not offered."""
    return next((number for number, one in enumerate(choices) if one.exits), NEVER)


def units_run(choices: np.ndarray, leaving: int) -> np.ndarray:
    """How many units each input decided about and did not leave at, int64 [input]: the unit at
    which it left, or all.

    Args:
        choices: uint8 [input, unit].
        leaving: `exit_index` of the choice set.
    """
    gone = np.column_stack([choices == leaving, np.ones(len(choices), dtype=bool)])
    return gone.argmax(axis=1)


def left_for_good(choices: np.ndarray, leaving: int) -> np.ndarray:
    """Choices uint8 [input, unit] of which all behind an ``exit`` are ``exit`` as well."""
    if leaving == NEVER:
        return choices
    gone = np.logical_or.accumulate(choices == leaving, axis=1)
    return np.where(gone, np.uint8(leaving), choices)


def fault_of_leaving(choices: np.ndarray, leaving: int, workload: Workload) -> str:
    """What is wrong with where inputs leave, with the row of the first; nothing if all is right.

    Args:
        choices: uint8 [input, unit].
        leaving: `exit_index` of the choice set.
    """
    gone = choices == leaving
    if leaving == NEVER or not gone.any():
        return ""
    units = workload.units
    back = gone[:, :-1] & ~gone[:, 1:]
    if back.any():
        row, unit = np.argwhere(back)[0].tolist()
        return f"row {row} left at {units[unit]} and yet chooses at {units[unit + 1]}"
    first = gone.copy()
    first[:, 1:] &= ~gone[:, :-1]
    first[:, [unit in workload.exits for unit in units]] = False
    if first.any():
        row, unit = np.argwhere(first)[0].tolist()
        return f"row {row} leaves at {units[unit]}, which has no exit"
    return ""


__all__ = ["NEVER", "exit_index", "fault_of_leaving", "left_for_good", "units_run"]
