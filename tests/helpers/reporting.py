"""A report of made-up decisions, for tests of what is written of it."""

from __future__ import annotations

from pathlib import Path

from exploring import trace_of

from accel_models import cost_table, load_accelerator
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.report.measured.input_spread import KnownInputs
from dfs_hw.report.measured.subjects import subject_of_replay
from dfs_hw.report.report import (
    Comparison,
    Competitor,
    EnergyReport,
    HeadroomPoint,
    ReportVerdict,
    SavedAmount,
)
from dfs_hw.report.sources.of_trace import origin_of

EVIL = "</script><b>bold</b>&amp;$_{%\"'"


def made_up(trace: GateTrace | None = None, known: KnownInputs | None = None) -> EnergyReport:
    """One subject beside two competitors, whose names try to be more than names."""
    trace = trace_of() if trace is None else trace
    header = trace.header
    machine = load_accelerator(header.accelerator)
    table = cost_table(header.workload, machine, header.choices, always=header.always)
    outcome = replay(trace, table)
    origin = origin_of(trace, table, Path("absent.parquet"))
    subject = subject_of_replay(EVIL, outcome, origin, known or KnownInputs())
    energy = subject.energy.joules_per_inference
    competitors = (
        Competitor(EVIL, "adaptive", "adaptive", 0.7, energy, 1e-5, 5e6, leads=True),
        Competitor("static", "static", "static", 0.65, 1.5 * energy, 2e-5, 9e6, best=True),
    )
    saved = (SavedAmount("energy", "J", 1.5 * energy, energy),)
    curve = tuple(HeadroomPoint(at * energy / 15, 0.6, 0.6 + at / 300) for at in range(1, 31))
    comparison = Comparison(competitors, "static", saved, headroom_curve=curve)
    return EnergyReport(EVIL, ReportVerdict(EVIL), (subject,), comparison, "dfs-hw report x")
