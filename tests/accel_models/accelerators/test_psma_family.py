"""Precision-scalable arrays as machines: what each works on in a step, and what that costs."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from exploring import trace_of
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

from accel_models import InputError, Layer, Precision, load_accelerator
from accel_models.accelerators.arrays.psma import PsmaArray
from accel_models.energy.psma import PsmaDesign, psma28
from accel_models.energy.psma_counts import L2_UNITS
from accel_models.exploration.evaluate import Evaluator
from accel_models.exploration.space_file import parse_space
from accel_models.exploration.workloads import demands_of_traces

MACHINE = load_accelerator(ROOT / "docs" / "spaces" / "machines" / "psma.toml")
CONV = Layer("conv", 64, 64, (3, 3), (8, 8), padding=(1, 1))
SHARINGS = ("00", "10", "11")


def made(fields: tuple[str, ...], nanoseconds: float = 2.5) -> PsmaArray | None:
    """The array of bg, l4, l3, l2 and unrolling; None if there is none."""
    try:
        PsmaDesign(*fields)
    except InputError:
        return None
    names = ("bg", "l4", "l3", "l2", "unrolling")
    own = dict(zip(names, fields, strict=True))
    return PsmaArray.model_validate(
        {**MACHINE.array.model_dump(), **own, "synthesis_ns": nanoseconds}
    )


ALL = tuple(
    array
    for fields in product(("L2", "L3", "BS"), SHARINGS, SHARINGS, SHARINGS, ("FU", "SWU"))
    if (array := made(fields)) is not None
)
arrays, levels = st.sampled_from(ALL), st.sampled_from((2, 4, 8))


@given(arrays, levels, levels)
def test_a_step_makes_the_products_of_its_multipliers(
    array: PsmaArray, weights: int, inputs: int
) -> None:
    widths = Precision(weights, inputs)
    if array.unrolling == "SWU":
        widths = Precision(max(weights, inputs), max(weights, inputs))
    one, design = array.unrolled(widths), array.design
    assert prod(one[:3]) / one.cycles == design.macs_per_cycle(widths)
    assert one.outputs * one.positions == design.outputs(widths)


@given(arrays, levels)
def test_a_full_cycle_costs_what_the_model_says(array: PsmaArray, bits: int) -> None:
    array = array.model_copy(update={"synthesis_ns": 1.0})
    widths, figures = Precision(bits, bits), array.design.figures(1.0)
    data = array.datapath(CONV, widths)
    pj = array.figures().pj_per_cycle / array.operations_per_cycle * data.operations_per_mac
    assert pj == pytest.approx(figures.pj_per_mac[widths], rel=1e-3)
    units = array.rows * array.columns * L2_UNITS
    assert array.figures().area_mm2 == pytest.approx(figures.um2_per_mac * units * 1e-6)


def test_bit_fusion_of_the_model_is_near_bit_fusion_as_synthesised() -> None:
    """A tenth is what the model reaches at arrays that it does not know."""
    array = made(("L2", "00", "11", "11", "FU"), 1.0)
    assert array is not None
    synthesised = psma28("BITFUSION", "FU", 1.0)
    assert array.figures().area_mm2 == pytest.approx(
        synthesised.um2_per_mac * 2 * L2_UNITS * 1e-6, rel=0.1
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bg": "L4"}, "array.bg"),
        ({"unrolling": "SWU"}, "subwords .SWU. join bit groups in L2"),
        ({"l2": "00"}, "l2 is 10 or 11"),
        ({"synthesis_ns": 0.5}, "array.synthesis_ns"),
    ],
)
def test_what_makes_no_array_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        MACHINE.configured(**{f"array__{name}": value for name, value in changes.items()})


def test_a_space_of_them_keeps_those_that_make_no_array_with_the_reason() -> None:
    tables = {
        "name": "some",
        "base": str(ROOT / "docs" / "spaces" / "machines" / "psma.toml"),
        "objectives": ["energy", "p95", "area"],
        "fields": {"array": {"bg": ["L2", "L3"], "l4": ["00", "11"], "l2": ["00", "11"]}},
    }
    space, _ = parse_space(tables)
    found = Evaluator(space, demands_of_traces([trace_of()])).run((0, 8))
    for number, outcome in enumerate(found):
        made = space.configuration(number)
        makes_none = (made["array.bg"], made["array.l2"]) == ("L3", "00")
        assert outcome.is_feasible != makes_none
        assert ("l2 is 10 or 11" in (outcome.infeasible or "")) == makes_none
    runs = [one.metrics for one in found if one.is_feasible]
    assert len({one["energy_j"] for one in runs}) == len(runs) == 6
