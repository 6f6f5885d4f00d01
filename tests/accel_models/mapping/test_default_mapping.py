"""The compiled search of the default machine against brute force, objective by objective."""

import default_reference as reference
import pytest
from depth_reference import deep_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import layers, machines, quickly_tried, reference_problem, widths

from accel_models import InfeasibleError
from accel_models.mapping.problem import EDP, ENERGY, LATENCY
from accel_models.mapping.search import (
    NO_LIMIT,
    compute_cycles,
    pareto,
    price,
    price_each,
    search,
    search_each,
)

OBJECTIVES = {"latency": LATENCY, "energy": ENERGY, "edp": EDP}
flat_or_deep = layers | deep_layers()
small = flat_or_deep.filter(quickly_tried)


@pytest.mark.slow
@settings(max_examples=150)
@given(small, widths, machines, st.sampled_from(sorted(OBJECTIVES)))
def test_finds_the_optimum_of_brute_force(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    objective: str,
) -> None:
    problem = reference_problem(layer, widths, machine)
    static = machine.static_pj_per_cycle
    expected = reference.best(layer, widths, machine, objective)
    if expected is None:
        with pytest.raises(InfeasibleError):
            search(problem, machine.action_pj, OBJECTIVES[objective], cycle_pj=static)
        return
    found = search(problem, machine.action_pj, OBJECTIVES[objective], cycle_pj=static)
    energy = found.counts @ machine.action_pj + static * found.cycles
    if objective == "latency":
        assert found.cycles == expected.cycles
    if objective != "edp":
        assert energy == pytest.approx(expected.energy_pj, rel=1e-9)
    assert energy * found.cycles == pytest.approx(expected.energy_pj * expected.cycles, rel=1e-9)

    short = {"batch": "B", "out_rows": "OH", "out_columns": "OW"}
    short |= {"in_channels": "IC", "out_channels": "OC"}
    order = tuple(short[loop] for loop in reversed(found.mapping.order))
    same = reference.evaluate(
        layer, widths, machine, found.mapping.tile, order, found.mapping.lane_rule
    )
    figures = [(one.cycles, one.compute_cycles, list(one.counts)) for one in same]
    assert (found.cycles, found.compute_cycles, found.counts.tolist()) in figures


@pytest.mark.slow
@settings(max_examples=40)
@given(small, widths, machines)
def test_the_pareto_set_is_that_of_brute_force(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
) -> None:
    expected = reference.pareto(layer, widths, machine)
    problem = reference_problem(layer, widths, machine)
    if not expected:
        with pytest.raises(InfeasibleError):
            list(pareto(problem, machine.action_pj))
        return
    static = machine.static_pj_per_cycle
    found = list(pareto(problem, machine.action_pj, cycle_pj=static))
    points = [(one.cycles, one.counts @ machine.action_pj + static * one.cycles) for one in found]
    assert [cycles for cycles, _ in points[::-1]] == [cycles for cycles, _ in expected]
    assert [pj for _, pj in points[::-1]] == pytest.approx([pj for _, pj in expected], rel=1e-9)


@settings(max_examples=100)
@given(flat_or_deep, widths, machines)
def test_compute_cycles_are_those_of_the_untiled_layer(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
) -> None:
    expected = min(
        reference.compute_cycles(layer, machine, layer.dimensions, rule)
        for rule in machine.lane_rules
    )
    assert compute_cycles(reference_problem(layer, widths, machine)) == expected


@settings(max_examples=100, deadline=None)
@given(
    flat_or_deep,
    widths,
    machines,
    st.sampled_from(sorted(OBJECTIVES)),
    st.lists(
        st.tuples(st.floats(0.5, 500), st.floats(0, 50), st.sampled_from([NO_LIMIT, 5000])),
        min_size=1,
        max_size=6,
    ),
)
def test_machines_that_differ_in_bandwidth_are_searched_together_as_one_by_one(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    objective: str,
    ports: list[tuple[float, float, int]],
) -> None:
    problem, goal = reference_problem(layer, widths, machine), OBJECTIVES[objective]
    rates, static, limits = zip(*ports, strict=True)
    together = search_each(problem, rates, machine.action_pj, goal, static, limits)
    for found, (rate, cycle_pj, limit) in zip(together, ports, strict=True):
        task = problem._replace(dram_bits_per_cycle=rate)
        options = {"cycle_pj": cycle_pj, "cycle_limit": limit}
        if found is None:
            with pytest.raises(InfeasibleError):
                search(task, machine.action_pj, goal, **options)
            continue
        alone = search(task, machine.action_pj, goal, **options)
        assert found[:2] == alone[:2]
        assert found.counts.tolist() == alone.counts.tolist()
        assert found.mapping == alone.mapping
    fitting = [(rate, one) for rate, one in zip(rates, together, strict=True) if one is not None]
    priced = price_each(problem, [rate for rate, _ in fitting], [one for _, one in fitting])
    for (rate, found), one in zip(fitting, priced, strict=True):
        assert one is not None
        alone = price(problem._replace(dram_bits_per_cycle=rate), found)
        assert (*one[:1], *one[2:]) == (*alone[:1], *alone[2:])
        assert one.counts.tolist() == alone.counts.tolist()
