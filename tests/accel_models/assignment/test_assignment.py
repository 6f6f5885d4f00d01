"""The best static assignment is what trying them all finds, and costs what `simulate` says."""

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import gated_pair
from scipy.optimize import Bounds, LinearConstraint, milp

from accel_models import (
    InfeasibleError,
    InputError,
    Layer,
    Simulation,
    Workload,
    cost_table,
    load_accelerator,
    simulate,
)
from accel_models.assignment import constrained_path
from accel_models.assignment.assignment import Assignment, best_assignment, pareto_assignments
from accel_models.costs.cost_table import CostTable
from accel_models.metrics import additive

METRICS = tuple(metric.name for metric in additive())
CONV = {"kernel": (3, 3), "padding": (1, 1)}


def residual() -> Workload:
    """Four gated units as residual networks have them; the second changes the shape."""
    layers = [Layer("stem", 3, 16, out_size=(8, 8), reads_image=True, **CONV)]
    edges, feeding, channels = [], "stem", 16
    for unit, width, side in (("a", 16, 8), ("b", 32, 4), ("c", 32, 4), ("d", 32, 4)):
        here = {"unit": unit}
        down = {"stride": (2, 2), "in_size": (8, 8)} if width > channels else {}
        first_map = down or {"in_size": (side, side)}
        gate, first, second = f"{unit}.gate", f"{unit}.conv1", f"{unit}.conv2"
        side_path = feeding
        layers.append(Layer(gate, channels, 4, role="gate", unit=unit))
        if down:
            side_path = f"{unit}.shortcut"
            layers.append(Layer(side_path, channels, width, role="shortcut", **here, **down))
            edges.append((feeding, side_path))
        layers.append(Layer(first, channels, width, role="body", **here, **first_map, **CONV))
        rest = {"in_size": (side, side), **here}
        layers.append(Layer(second, width, width, role="body", **rest, **CONV))
        edges += [(feeding, gate), (feeding, first), (first, second), (side_path, second)]
        feeding, channels = second, width
    return Workload("residual", (*layers, Layer("head", 32, 10)), (*edges, (feeding, "head")))


def interleaved() -> Workload:
    """Three units, two of which take turns, and a fixed layer between two parts of one."""
    here: dict[str, Any] = {"out_size": (4, 4), **CONV}
    body = {"role": "body", **here}
    return Workload.chain(
        "interleaved",
        [
            Layer("stem", 3, 16, reads_image=True, **here),
            Layer("a1", 16, 32, unit="a", **body),
            Layer("b1", 32, 16, unit="b", **body),
            Layer("a2", 16, 16, unit="a", **body),
            Layer("middle", 16, 16, **here),
            Layer("b2", 16, 32, unit="b", **body),
            Layer("c1", 32, 16, unit="c", **body),
            Layer("head", 16, 10),
        ],
    )


CASES = {
    "bitfusion": (residual, "bitfusion", "skip,2,8", None),
    "bitfusion-published": (residual, "bitfusion-published", "skip,4/8,8", None),
    "loom-1b": (residual, "loom-1b", "skip,3,8", None),
    "stripes": (residual, "stripes", "skip,4,8", None),
    "chain with gates": (gated_pair, "bitfusion", "skip,2,4,8", None),
    "units that take turns": (interleaved, "stripes", "skip,2,4,8", None),
    "widths beyond what always runs": (residual, "loom-1b", "skip,8/2,2/16", 4),
    "resident tensors": (residual, "kept", "skip,8,2/16", 4),
    "only part of the choices can run": (gated_pair, "bitfusion-published", "skip,8,2,16", 8),
}


@cache
def table_of(case: str) -> CostTable:
    workload, machine, choices, always = CASES[case]
    if machine == "kept":
        accelerator = load_accelerator("loom-1b").configured(storage__resident=True)
    else:
        accelerator = load_accelerator(machine)
    return cost_table(workload(), accelerator, choices, always=always)


def judged(table: CostTable, choices: tuple[int, ...]) -> Simulation:
    precisions = {
        unit: table.choices[choice] for unit, choice in zip(table.units, choices, strict=True)
    }
    bare = table.workload.without_gates()
    return simulate(bare, table.accelerator, precisions, always=table.always)


@cache
def simulated(case: str) -> dict[tuple[int, ...], dict[str, float]]:
    """Every assignment that the machine can run, and its cost in every metric."""
    table, costs = table_of(case), {}
    for choices in itertools.product(range(len(table.choices)), repeat=len(table.units)):
        try:
            run = judged(table, choices)
        except InfeasibleError:
            continue
        costs[choices] = {
            "energy": run.energy_j,
            "latency": run.latency_s,
            "bitops": float(run.bitops),
        }
    return costs


def summed(losses: np.ndarray, choices: tuple[int, ...]) -> float:
    return sum(float(row[choice]) for row, choice in zip(losses, choices, strict=True))


def tried(case: str, losses: np.ndarray, metric: str, budget: float) -> tuple[float, float]:
    """Loss and cost of the best assignment, by trying them all."""
    return min(
        (summed(losses, choices), cost[metric])
        for choices, cost in simulated(case).items()
        if cost[metric] <= budget
    )


def losses_for(case: str, numbers: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    table = table_of(case)
    shape = (len(table.units), len(table.choices))
    flat = st.lists(numbers, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    return flat.map(lambda values: np.array(values).reshape(shape))


REALS = st.floats(-3, 3)
TYING = st.integers(0, 2).map(float)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_best_that_trying_them_all_finds(case: str, metric: str) -> None:
    costs = sorted({cost[metric] for cost in simulated(case).values()})

    @settings(max_examples=25)
    @given(st.one_of(losses_for(case, REALS), losses_for(case, TYING)), st.data())
    def holds(losses: np.ndarray, data: st.DataObject) -> None:
        just_missed = st.sampled_from(costs[1:]).map(lambda cost: np.nextafter(cost, 0))
        anything = st.floats(costs[0], 1.1 * costs[-1])
        budget = data.draw(st.sampled_from(costs) | just_missed | anything)
        best = best_assignment(table_of(case), losses, budget, metric)
        assert (best.loss, best.cost) == tried(case, losses, metric, budget)
        assert best.cost == simulated(case)[best.choices][metric]
        assert best.loss == summed(losses, best.choices)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("case", CASES)
def test_the_front_is_that_of_all_assignments(case: str, metric: str) -> None:
    @settings(max_examples=10)
    @given(st.one_of(losses_for(case, REALS), losses_for(case, TYING)))
    def holds(losses: np.ndarray) -> None:
        points = sorted(
            (cost[metric], summed(losses, choices)) for choices, cost in simulated(case).items()
        )
        expected: list[tuple[float, float]] = []
        for cost, loss in points:
            if not expected or loss < expected[-1][1]:
                expected.append((cost, loss))
        front = pareto_assignments(table_of(case), losses, metric)
        assert [(one.cost, one.loss) for one in front] == expected

    holds()


def test_a_front_at_some_budgets_holds_the_best_for_each() -> None:
    case = "bitfusion"
    losses = np.random.default_rng(1).random((4, 3))
    costs = sorted(cost["energy"] for cost in simulated(case).values())
    budgets = costs[:: len(costs) // 7]
    front = pareto_assignments(table_of(case), losses, budgets=budgets)
    singles = {best_assignment(table_of(case), losses, budget) for budget in budgets}
    assert set(front) == singles
    assert front == sorted(front, key=lambda one: one.cost)


def test_cycles_spared_across_units_decide_between_assignments() -> None:
    """Weights that load while the unit before computes make costs no sum over units: the case that
    a table of costs by unit gets wrong."""
    table = cost_table(residual().without_gates(), load_accelerator("stripes"), "skip,4,8")
    fixed, units = table.costs("latency")
    added = {choices: fixed + sum(units[np.arange(4), choices]) for choices in simulated("stripes")}
    true = {choices: cost["latency"] for choices, cost in simulated("stripes").items()}
    by_sum, by_simulation = (sorted(costs, key=costs.__getitem__) for costs in (added, true))
    assert by_sum != by_simulation
    assert all(true[choices] <= added[choices] * (1 + 1e-12) for choices in true)


def resnet_like(units: int) -> Workload:
    """A long chain of gate-less units, all alike within each of three stages."""
    layers = [Layer("stem", 3, 16, out_size=(16, 16), reads_image=True, **CONV)]
    width = 16
    for number in range(units):
        before, width = width, 16 << (3 * number // units)
        side = 256 // width
        step = (2, 2) if width > before else (1, 1)
        here = {"role": "body", "unit": f"unit{number}", "stride": step, **CONV}
        in_size = (side * step[0], side * step[0])
        layers.append(Layer(f"conv{number}", before, width, in_size=in_size, **here))
    return Workload.chain("chain", [*layers, Layer("head", width, 10)])


@pytest.mark.parametrize("seed", range(3))
def test_for_many_units_it_agrees_with_an_integer_program(seed: int) -> None:
    """HiGHS solves the same problem where costs are a sum over units: BitOps."""
    machine = load_accelerator("bitfusion")
    table = cost_table(resnet_like(53), machine, "skip,2,2/4,4,4/8,2/8,8")
    shape = (53, 7)
    losses = np.random.default_rng(seed).lognormal(0, 1, shape)
    fixed, costs = table.costs("bitops")
    budget = fixed + 0.3 * costs.max(axis=1).sum()
    one_each = np.kron(np.eye(53), np.ones(7))
    solved = milp(
        losses.ravel(),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(costs.ravel(), ub=budget - fixed),
        ],
        integrality=np.ones(losses.size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    best = best_assignment(table, losses, budget, "bitops")
    assert best.loss == pytest.approx(solved.fun, rel=1e-6)
    assert best.cost == judged(table, best.choices).bitops <= budget


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_for_many_units_the_bounds_drop_nothing_that_is_best(metric: str) -> None:
    """The front is computed without them."""
    table = cost_table(resnet_like(24), load_accelerator("stripes"), "skip,2,4,8")
    losses = np.random.default_rng(0).random((24, 4))
    front = pareto_assignments(table, losses, metric)
    assert len(front) > 50
    for one, dearer in itertools.pairwise(front[:: len(front) // 12]):
        assert best_assignment(table, losses, one.cost, metric) == one
        between = (one.cost + dearer.cost) / 2
        within = [other for other in front if other.cost <= between]
        assert best_assignment(table, losses, between, metric) == within[-1]
    picked = front[len(front) // 2]
    run = judged(table, picked.choices)
    assert picked.cost in (run.energy_j, run.latency_s, run.bitops)


@pytest.mark.slow
@given(losses_for("bitfusion", REALS))
@settings(max_examples=20)
def test_more_budget_never_costs_accuracy(losses: np.ndarray) -> None:
    table, shares = table_of("bitfusion"), np.linspace(0.4, 1, 7)
    reference = table.reference("energy")
    best = [best_assignment(table, losses, share * reference) for share in shares]
    assert [one.loss for one in best] == sorted((one.loss for one in best), reverse=True)
    assert all(one.cost <= share * reference for one, share in zip(best, shares, strict=True))


def test_only_offered_choices_are_made() -> None:
    case, losses = "bitfusion", np.random.default_rng(2).random((4, 3))
    offered = np.array([[False, True, True], [True] * 3, [True, False, True], [False, True, True]])
    losses[~offered] = np.nan
    expected = min(
        (summed(losses, choices), cost["energy"])
        for choices, cost in simulated(case).items()
        if offered[np.arange(4), choices].all()
    )
    best = best_assignment(table_of(case), losses, np.inf, offered=offered)
    assert (best.loss, best.cost) == expected


def test_an_unreachable_budget_is_refused_with_the_least_that_is_reachable() -> None:
    for case, metric in itertools.product(("loom-1b", "resident tensors"), METRICS):
        table, costs = table_of(case), simulated(case).values()
        losses = np.zeros((4, 3))
        least = min(cost[metric] for cost in costs)
        with pytest.raises(InputError, match="no assignment is within") as refused:
            best_assignment(table, losses, np.nextafter(least, 0), metric)
        said = float(str(refused.value).split("reached is ")[1].split()[0])
        assert said == least == best_assignment(table, losses, said, metric).cost


def test_a_network_without_units_has_one_assignment() -> None:
    fixed = Workload.chain("fixed", [Layer("only", 16, 16)])
    table = cost_table(fixed, load_accelerator("bitfusion"), "8")
    only = best_assignment(table, np.zeros((0, 1)), np.inf)
    assert only == Assignment((), judged(table, ()).energy_j, 0.0)


def test_an_assignment_reads_as_precisions() -> None:
    table = table_of("bitfusion")
    best = best_assignment(table, -np.arange(12.0).reshape(4, 3), np.inf)
    assert {unit: str(bits) for unit, bits in best.precisions(table).items()} == {
        unit: "8" for unit in "abcd"
    }


@pytest.mark.parametrize(
    ("losses", "options", "said"),
    [
        (np.zeros((3, 3)), {}, r"losses must be \[units, choices\] = \[4, 3\]"),
        (np.zeros(12), {}, r"got an array of \[12\]"),
        (np.full((4, 3), np.nan), {}, "the loss of unit 'a' at skip .* got nan"),
        (np.full((4, 3), np.inf), {}, "do not offer what is ruled out"),
        (np.zeros((4, 3)), {"budget": np.nan}, "at least 0, got nan"),
        (np.zeros((4, 3)), {"budget": -1.0}, "at least 0, got -1"),
        (np.zeros((4, 3)), {"metric": "edp"}, "unknown metric 'edp'"),
        (np.zeros((4, 3)), {"offered": np.ones((4, 2))}, "what is offered must be"),
        (np.zeros((4, 3)), {"offered": np.eye(4, 3)}, "unit 'd' is offered no choice"),
    ],
)
def test_what_makes_no_sense_is_refused(
    losses: np.ndarray, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        best_assignment(table_of("bitfusion"), losses, **{"budget": 1.0, **options})


def test_a_unit_that_the_machine_cannot_run_at_anything_offered_is_named() -> None:
    case = "only part of the choices can run"
    offered = np.array([[True] * 4, [False, False, False, True]])
    with pytest.raises(InfeasibleError, match="none of the choices that b may take"):
        best_assignment(table_of(case), np.zeros((2, 4)), 1.0, offered=offered)


def test_a_front_too_large_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constrained_path, "MAX_LABELS", 5)
    with pytest.raises(InputError, match="over 5 are too many to hold"):
        pareto_assignments(table_of("bitfusion"), -np.arange(12.0).reshape(4, 3))
