"""One cost table, kept and read again: by a test, and by processes that it starts."""

import warnings

import numpy as np
from networks import gated_pair

from accel_models import Accelerator, CostTable, cost_table, load_accelerator
from accel_models.costs.table_cache import Figures, load, save

MACHINE = load_accelerator("bitfusion")


CHOICES = "skip,2,8,32"
"""The machine cannot run 32 bits: its table has reasons in it."""


GROUPS = 2


SHAPE = (7, 4, GROUPS)
"""Layers of `gated_pair`, choices and group sizes."""


def table(cache: bool = True, machine: Accelerator = MACHINE) -> CostTable:
    return cost_table(gated_pair(), machine, CHOICES, always=8, max_group=GROUPS, cache=cache)


TRUE = table(cache=False)


FIGURES = Figures(*(getattr(TRUE, name) for name in Figures._fields))


def assert_true(found: CostTable | Figures | None) -> None:
    assert found is not None
    for name in ("cycles", "counts", "head", "tail"):
        got, expected = getattr(found, name), getattr(FIGURES, name)
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected)
    assert found.infeasible == FIGURES.infeasible


def hammer(rounds: int) -> None:
    """Compute the table, then keep and read it again and again; any warning is an error."""
    warnings.simplefilter("error")
    assert_true(table())
    for _ in range(rounds):
        save(TRUE.key, FIGURES)
        assert_true(load(TRUE.key, SHAPE))
