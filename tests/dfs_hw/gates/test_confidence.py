"""The gate that goes by confidence, against its definition."""

from __future__ import annotations

import math

import pytest
import torch

from accel_models.errors import InputError
from accel_models.precision import Precision
from dfs_hw.gates import POINTS, ConfidenceGate, make_gate
from dfs_hw.gates.confidence import ALWAYS, MEASURES, NEVER_SURE

CHANNELS = (3, 3, 3)


def gate(measure: str = "maximum") -> ConfidenceGate:
    return ConfidenceGate(CHANNELS, 4, Precision(8, 8), measure=measure)


@pytest.mark.parametrize("measure", MEASURES)
def test_confidence_goes_from_nothing_known_to_certain(measure: str) -> None:
    made = gate(measure)
    for classes in (2, 10):
        alike = made.confidence(0, torch.zeros(1, classes))
        certain = made.confidence(0, torch.tensor([[100.0] + [0.0] * (classes - 1)]))
        assert float(alike) == pytest.approx(1 / classes if measure == "maximum" else 0, abs=1e-6)
        assert float(certain) == pytest.approx(1)


def test_confidence_measures_are_what_their_names_say() -> None:
    likely = torch.tensor([[0.5, 0.3, 0.2]])
    found = {name: float(measure(likely)) for name, measure in MEASURES.items()}
    entropy = -sum(p * math.log(p) for p in (0.5, 0.3, 0.2)) / math.log(3)
    assert found == pytest.approx({"maximum": 0.5, "margin": 0.2, "entropy": 1 - entropy})


def test_a_choice_is_the_most_demanding_that_the_last_belief_satisfies() -> None:
    made, drawn = gate(), torch.Generator().manual_seed(0)
    thresholds = torch.rand(3, 4, generator=drawn)
    thresholds[:, 2] = ALWAYS
    thresholds[1, 0] = NEVER_SURE
    made.table[0] = thresholds
    beliefs = [None, torch.randn(50, 5, generator=drawn) * 3, None]
    features = torch.zeros(50, 3, 2, 2)
    state, sure = made.begin(features), None
    for unit, belief in enumerate(beliefs):
        logits, state = made(unit, features, state, belief)
        sure = belief.softmax(1).amax(1).tolist() if belief is not None else sure
        for row, choice in enumerate(logits.argmax(1).tolist()):
            at_hand = -0.5 if sure is None else sure[row]
            reached = [k for k in range(4) if at_hand >= float(thresholds[unit, k])]
            assert choice == max(reached, key=lambda k: float(thresholds[unit, k]))


def test_points_are_found_by_cost_and_by_accuracy_or_refused_with_the_nearest() -> None:
    made = gate()
    cost, accuracy = torch.linspace(0.2, 1.0, POINTS), torch.linspace(0.6, 0.9, POINTS)
    made.adopt(torch.zeros(POINTS, 3, 4), cost, accuracy)
    for budget in (0.2, 0.5, 2.0):
        point = made.within(budget)
        assert cost[point] <= budget
        assert point == POINTS - 1 or cost[point + 1] > budget
    for floor in (0.0, 0.75, 0.9):
        point = made.as_accurate_as(floor)
        assert accuracy[point] >= floor
        assert point == 0 or accuracy[point - 1] < floor
    with pytest.raises(InputError, match=r"cheapest costs 0\.2"):
        made.within(0.1)
    with pytest.raises(InputError, match=r"95\.0%.*best there is has 90\.0%"):
        made.as_accurate_as(0.95)
    with pytest.raises(InputError, match="from cheap to dear"):
        made.adopt(torch.zeros(POINTS, 3, 4), cost.flip(0), accuracy)


def test_it_has_no_layers_and_no_knob() -> None:
    made = make_gate("confidence-margin", CHANNELS, 4, Precision(8, 8))
    assert not [*made.layers(0), *made.parameters()]
    with pytest.raises(InputError, match="no knob"):
        make_gate("confidence", CHANNELS, 4, Precision(8, 8), knob=True)
