"""Precision-scalable arrays left out: the errors and ranks that the page states are reached."""

import pytest

from accel_models.validation.psma import PsmaComparison, PsmaErrors, compare_with_psma

REACHED = {
    # unrolling, clock in ns, figure: median and 90th percentile in %, rank, lowest rank
    ("FU", 1.0, "energy"): (7.1, 18.0, 0.94, 0.93),
    ("FU", 5.0, "energy"): (8.9, 27.4, 0.93, 0.87),
    ("FU", 1.0, "area"): (6.9, 12.0, 0.95, 0.95),
    ("FU", 5.0, "area"): (3.0, 8.9, 0.98, 0.98),
    ("SWU", 1.0, "energy"): (10.5, 24.7, 0.79, 0.79),
    ("SWU", 5.0, "energy"): (10.3, 27.4, 0.86, 0.69),
    ("SWU", 1.0, "area"): (7.9, 12.1, 0.65, 0.65),
    ("SWU", 5.0, "area"): (5.7, 10.1, 0.55, 0.55),
}
PERCENT, RANK = 0.2, 0.01
"""Margins, for other versions of the solver."""


@pytest.fixture(scope="module")
def comparison() -> PsmaComparison:
    return compare_with_psma()


@pytest.fixture(scope="module")
def errors(comparison: PsmaComparison) -> dict[tuple[str, float, str], PsmaErrors]:
    return {(one.unrolling, one.clock_ns, one.figure): one for one in comparison.errors}


def test_every_published_figure_is_left_out_once(comparison: PsmaComparison) -> None:
    assert len(comparison.rows) == 2 * (40 * 6 + 16 * 4)
    keys = {(row.design, row.clock_ns, row.precision) for row in comparison.rows}
    assert len(keys) == len(comparison.rows)


@pytest.mark.parametrize("group", REACHED, ids=lambda group: "-".join(map(str, group)))
def test_errors_of_arrays_left_out(
    errors: dict[tuple[str, float, str], PsmaErrors], group: tuple[str, float, str]
) -> None:
    found = errors[group]
    median, p90, rank, lowest = REACHED[group]
    assert found.median_percent <= median + PERCENT
    assert found.p90_percent <= p90 + PERCENT
    assert found.rank >= rank - RANK
    assert found.lowest_rank >= lowest - RANK


def test_the_model_beats_a_ridge_regression_but_in_one_case(
    errors: dict[tuple[str, float, str], PsmaErrors],
) -> None:
    """Areas of subword arrays at 5 ns differ by less than the model can tell."""
    worse = {key for key, one in errors.items() if one.median_percent > one.ridge_median_percent}
    assert worse == {("SWU", 5.0, "area")}
    assert {key for key, one in errors.items() if one.rank < one.ridge_rank} == worse


def test_the_ridge_does_as_well_as_a_ridge_does(
    errors: dict[tuple[str, float, str], PsmaErrors],
) -> None:
    """12 to 19 % in power, 8 to 16 % in area, ranks of .58 to .84, worked out apart."""
    for clock_ns in (1.0, 5.0):
        energy, area = (errors["FU", clock_ns, figure] for figure in ("energy", "area"))
        assert 12 <= energy.ridge_median_percent <= 19
        assert 7 <= area.ridge_median_percent <= 16
        assert 0.58 <= energy.ridge_lowest_rank <= energy.ridge_rank <= 0.84
