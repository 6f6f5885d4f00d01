"""Assignments that oracles choose from: few, near the front, and never a way out."""

from itertools import product

import numpy as np
import pytest

from accel_models import InputError, Layer, Workload, cost_table, load_accelerator, simulate
from accel_models.precision import EXIT, parse_choices
from dfs_hw.headroom.family import family, static_costs

CONV = {"kernel": (3, 3), "padding": (1, 1), "out_size": (8, 8)}
CHOICES = parse_choices("skip,2,4,8,exit")
UNITS = "abcde"


def leaving() -> Workload:
    """Five units with gates, the first two of which inputs may leave at."""
    layers = [Layer("stem", 3, 16, reads_image=True, **CONV)]
    for unit in UNITS:
        layers.append(Layer(f"{unit}.gate", 16, 4, role="gate", unit=unit))
        if unit in "ab":
            layers.append(Layer(f"{unit}.exit", 32, 10, role="exit", unit=unit))
        layers.append(Layer(f"{unit}.conv", 16, 16, role="body", unit=unit, **CONV))
    return Workload.chain("leaving", [*layers, Layer("classifier", 16, 10)])


TABLE = cost_table(leaving(), load_accelerator("bitfusion"), CHOICES, cache=False)
OFFERED = np.ones((5, 5), dtype=bool)
TERMS = np.random.default_rng(0).random((5, 1)) * np.array([0.2, 0.06, 0.02, 0.0, 0.0])


def risk(choices: tuple[int, ...]) -> float:
    """Risk that is a sum over units: who knew its terms would know the front."""
    return float(TERMS[range(5), choices].sum())


def test_costs_are_those_of_the_network_without_gates_and_exits() -> None:
    rows = [(3, 3, 3, 3, 3), (0, 1, 2, 3, 0)]
    for row, cost in zip(rows, static_costs(TABLE, rows, "energy"), strict=True):
        by_unit = {unit: CHOICES[one] for unit, one in zip(UNITS, row, strict=True)}
        bare = TABLE.workload.without_gates()
        assert cost == simulate(bare, TABLE.accelerator, by_unit, always=8).energy_j


def test_all_assignments_but_those_that_leave_where_there_is_room() -> None:
    assert set(family(TABLE, OFFERED, "energy", 1024, risk)) == set(product(range(4), repeat=5))


def test_at_every_price_the_best_of_all_is_nearly_in_the_family() -> None:
    everything = list(product(range(4), repeat=5))
    found = family(TABLE, OFFERED, "energy", 64, risk)
    assert len(found) <= 64
    assert len(set(found)) == len(found)
    assert {(choice,) * 5 for choice in range(4)} <= set(found)
    leave = CHOICES.index(EXIT)
    assert not any(leave in one for one in found)
    costs, risks = static_costs(TABLE, everything, "energy"), np.array([*map(risk, everything)])
    inside = np.array([one in set(found) for one in everything])
    for price in np.logspace(-3, 1, 30) / costs.max():
        total = risks + price * costs
        assert total[inside].min() <= total.min() + 0.002


def test_a_unit_takes_nothing_that_it_is_not_offered() -> None:
    offered = OFFERED.copy()
    offered[1, :2] = offered[4, 0] = False
    for one in family(TABLE, offered, "energy", 40, risk):
        assert offered[range(5), one].all()


def test_a_family_has_room_for_the_widths() -> None:
    with pytest.raises(InputError, match="a family of 3 assignments has no room for the 4 widths"):
        family(TABLE, OFFERED, "energy", 3, risk)
