"""The compiled search of the default machine against brute force, objective by objective."""

import default_reference as reference
import pytest
from depth_reference import deep_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import layers, machines, reference_problem, widths

from accel_models import InfeasibleError
from accel_models.mapping.problem import EDP, ENERGY, LATENCY
from accel_models.mapping.search import compute_cycles, pareto, search

OBJECTIVES = {"latency": LATENCY, "energy": ENERGY, "edp": EDP}
flat_or_deep = layers | deep_layers()


@pytest.mark.slow
@settings(max_examples=150)
@given(flat_or_deep, widths, machines, st.sampled_from(sorted(OBJECTIVES)))
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
@given(flat_or_deep, widths, machines)
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
