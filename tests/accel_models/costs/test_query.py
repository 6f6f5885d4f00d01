"""Costs of many assignments at once are those of simulations one by one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from networks import every_operator, gated_pair
from places import ROOT

from accel_models import (
    CostTable,
    InfeasibleError,
    InputError,
    Layer,
    Workload,
    cost_table,
    load_accelerator,
    simulate,
)
from accel_models.metrics import METRICS, additive
from accel_models.workloads.layer_csv import listed_network

SUMS = [metric.name for metric in additive()]


def one_by_one(table: CostTable, assignment: np.ndarray, metric: str) -> float:
    """What `simulate` says of an assignment."""
    chosen = [table.choices[at] for at in assignment]
    policy = dict(zip(table.decided, chosen, strict=True))
    network: Workload = table.workload.without_gates()
    if network.units:
        run = simulate(network, table.accelerator, policy, always=table.always)
    else:
        run = simulate(network.with_widths(policy), table.accelerator, table.always)
    return float(METRICS[metric].of(run))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "machine"),
    [
        *(("pair", name) for name in ("bitfusion", "loom-1b", "bitfusion-published")),
        *(("operators", name) for name in ("bitfusion", "stripes", "eyeriss-int8")),
        ("mobilenet_v2", "bitfusion"),
    ],
)
def test_a_query_costs_what_simulating_says(network: str, machine: str) -> None:
    made = {"pair": gated_pair, "operators": every_operator}
    workload = made[network]() if network in made else listed_network(network)
    choices = "skip,2,4/8,8" if workload.units else "2,4/8,8/4,8"
    table = cost_table(workload, load_accelerator(machine), choices, always=8, cache=False)
    draw = np.random.default_rng(0)
    assignments = draw.integers(0, 4, (6, len(table.decided)))
    assignments[0], assignments[1] = 3, 1
    for metric in SUMS:
        found = table.query(assignments, metric)
        known = [one_by_one(table, one, metric) for one in assignments]
        np.testing.assert_allclose(found, known, rtol=1e-13)
        again = table.query(assignments[::-1], metric)
        assert np.array_equal(again[::-1], found)


def test_what_is_decided_has_a_name() -> None:
    machine = load_accelerator("bitfusion")
    pair = cost_table(gated_pair(), machine, "skip,8", cache=False)
    assert pair.decided == pair.units
    plain = listed_network("resnet50")
    table = cost_table(plain, machine, "4,8", cache=False)
    assert table.decided == tuple(layer.name for layer in plain.layers if layer.on_array)
    assert table.query(np.zeros((0, len(table.decided)), int)).shape == (0,)


def test_what_makes_no_sense_is_refused() -> None:
    table = cost_table(listed_network("vgg16"), load_accelerator("bitfusion"), "4,8", cache=False)
    width = len(table.decided)
    with pytest.raises(InputError, match=rf"whole numbers \[N, {width}\], a choice for each"):
        table.query(np.zeros(width, int))
    with pytest.raises(InputError, match="got float64"):
        table.query(np.zeros((1, width)))
    with pytest.raises(InputError, match="choices are 0 to 1, for 4, 8: got 0 to 2"):
        table.query(np.arange(width)[None] % 3)
    with pytest.raises(InputError, match="energy"):
        table.query(np.zeros((1, width), int), "area")
    layers = (Layer("a", 4, 4), Layer("b.out", 4, 2, role="exit", unit="b"))
    layers += (Layer("b.conv", 4, 4, role="body", unit="b"), Layer("end", 4, 2))
    leaving = Workload("early", layers, (("a", "b.out"), ("a", "b.conv"), ("b.conv", "end")))
    with pytest.raises(InputError, match="'early' has exits, which no static assignment takes"):
        cost_table(leaving, load_accelerator("bitfusion"), "exit,8", cache=False).query(
            np.zeros((1, 1), int)
        )
    wide = cost_table(listed_network("vgg16"), load_accelerator("bitfusion"), "8,32", always=8)
    assert wide.query(np.zeros((1, width), int)).shape == (1,)
    with pytest.raises(InfeasibleError, match="at 32 bits on bitfusion"):
        wide.query(np.ones((1, width), int))


@pytest.mark.slow
def test_the_search_of_the_page_stays_within_its_budget() -> None:
    names: dict[str, Any] = {}
    page = (ROOT / "docs" / "oracle.md").read_text()
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(example, names)
    table, found = names["table"], names["found"][None]
    uniform = [np.full((1, len(table.decided)), at) for at in range(4)]
    budget = 0.6 * table.query(uniform[3])[0]
    assert table.query(found)[0] <= budget
    affordable = [one for one in uniform if table.query(one)[0] <= budget]
    assert names["loss"](found)[0] < min(names["loss"](one)[0] for one in affordable)
    settled = table.workload.with_widths(names["policy"])
    known = simulate(settled, table.accelerator, table.always).energy_j
    asked = simulate(table.workload, table.accelerator, names["policy"]).energy_j
    assert table.query(found)[0] == pytest.approx(known, rel=1e-13)
    assert asked == known
