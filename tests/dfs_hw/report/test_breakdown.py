"""Energy taken apart by layer, component, tensor and action adds up again, to the last bit."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from exploring import of_many_operators, trace_of
from hypothesis import given
from hypothesis import strategies as st
from reporting import made_up

from accel_models import load_accelerator, simulate
from accel_models.costs.pricing import COMPONENTS
from dfs_hw.report import report_of_network
from dfs_hw.report.measured.exact import adding_up
from dfs_hw.report.measured.survival import CountedWork, survival
from dfs_hw.report.subject import Subject


def assert_adds_up(subject: Subject, layers: np.ndarray, names: list[str]) -> None:
    """Cells against the mean energy exactly, and against layers' by component, float64 in pJ."""
    cells = list(subject.cells)
    random.Random(0).shuffle(cells)
    assert sum(cell.energy_j for cell in cells) == subject.energy.joules_per_inference
    assert sum(subject.components.values()) == subject.energy.joules_per_inference
    assert subject.energy.active_j + subject.energy.static_j == pytest.approx(
        subject.energy.joules_per_inference, rel=1e-15
    )
    found = np.zeros_like(layers)
    for cell in cells:
        found[names.index(cell.layer), COMPONENTS.index(cell.component)] += cell.energy_j
    np.testing.assert_allclose(found, layers * 1e-12, rtol=1e-9, atol=1e-22)


def test_cells_of_a_replay_add_up_layer_by_layer() -> None:
    trace = trace_of(of_many_operators())
    (subject,) = made_up(trace).subjects
    from accel_models.replay import replay

    outcome = replay(trace, load_accelerator("bitfusion"))
    names = [layer.name for layer in trace.header.workload.layers]
    assert_adds_up(subject, outcome.layer_energy_pj, names)
    moved = {cell.tensor for cell in subject.cells if cell.component == "dram"}
    assert moved <= {"weights", "inputs", "others", "residual", "partial sums", "outputs"}


def test_cells_of_a_network_add_up_and_nothing_of_it_is_left_out() -> None:
    workload, machine = of_many_operators().without_gates(), load_accelerator("bitfusion")
    report = report_of_network("operators", workload, machine, ["8", "2"])
    for subject, bits in zip(report.subjects, ("8", "2"), strict=True):
        run = simulate(workload, machine, bits)
        from accel_models.explain.static_picture import energy_stack

        assert subject.energy.joules_per_inference == run.energy_j
        assert_adds_up(subject, energy_stack(run), [cost.layer.name for cost in run.layers])
        assert len(subject.roofline) == len(run.layers)
        assert "nothing was measured beside it" in report.verdict.sentence


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=40).filter(lambda parts: sum(parts) > 0))
def test_parts_are_moved_by_no_more_than_the_total_s_last_bits(parts: list[float]) -> None:
    total = sum(parts)
    whole = adding_up(np.array(parts), total)
    assert sum(whole.tolist()) == sum(whole.tolist()[::-1]) == total
    assert np.abs(whole - parts).max() <= (len(parts) + 1) * np.spacing(total)


def test_half_the_work_costs_less_whatever_the_constants_are_and_no_work_is_needed_twice() -> None:
    machine = load_accelerator("bitfusion")
    run = simulate(of_many_operators().without_gates(), machine, "8")
    whole = CountedWork("whole", run.counts, float(run.cycles))
    half = CountedWork("half", run.counts / 2, run.cycles / 2)
    found = survival(whole, half, machine)
    assert found is not None
    assert (found.of, found.than, found.kept) == ("half", "whole", found.draws)
    assert found.low == pytest.approx(found.high) == pytest.approx(0.5)
    assert "dram.latency_ns" not in found.constants  # which changes schedules, and no price


def test_a_folder_of_nothing_is_no_source(tmp_path: Path) -> None:
    from accel_models import InputError
    from dfs_hw.report import report_of

    with pytest.raises(InputError, match="a report is made of"):
        report_of(tmp_path)
