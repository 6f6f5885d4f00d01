"""A trace without its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.errors import InputError
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.report.measured.input_spread import KnownInputs
from dfs_hw.report.measured.subjects import subject_of_replay
from dfs_hw.report.report import EnergyReport, ReportVerdict
from dfs_hw.report.sources.digests import digests
from dfs_hw.report.subject import Origin, Subject


def report_of_trace(path: Path, machine: Accelerator | None = None) -> EnergyReport:
    """A report on a trace alone: what it costs, and no word on what it had to beat.

    Args:
        machine: to replay it on; by default the one that it names.

    Raises:
        InputError: if the file is no trace, or it names no machine and none is given.
    """
    subject = subject_of_trace(path, machine)
    assert subject.inputs is not None  # as it is of a replay
    inputs = subject.energy.samples
    verdict = ReportVerdict(
        f"Whether deciding per input earns its keep is not known: no static network was measured "
        f"beside this trace of {inputs:,} inputs. dfs-hw compare does that.",
        seeds=1,
        inputs=inputs,
    )
    return EnergyReport(subject.name, verdict, (subject,), None, "")


def subject_of_trace(path: Path, machine: Accelerator | None = None) -> Subject:
    """The trace, replayed."""
    trace = GateTrace.read(path)
    table = table_of(trace, path, machine)
    name = f"{trace.header.network} on {trace.header.dataset}, {table.accelerator.name}"
    outcome = replay(trace, table)
    return subject_of_replay(name, outcome, origin_of(trace, table, path), KnownInputs())


def table_of(trace: GateTrace, path: Path, machine: Accelerator | None = None) -> CostTable:
    """The cost table to replay a trace with.

    Raises:
        InputError: if it names no machine and none is given.
    """
    header = trace.header
    if machine is None:
        if not header.accelerator:
            raise InputError(f"{path} names no machine: say which with --accelerator")
        machine = load_accelerator(header.accelerator, plugin=header.plugin)
    return cost_table(header.workload, machine, header.choices, always=header.always)


def origin_of(
    trace: GateTrace, table: CostTable, path: Path, *others: Path, **settings: Any
) -> Origin:
    """Where a replayed trace comes from, and the files that were read beside it."""
    header = trace.header
    return Origin(
        source=str(path),
        digests=digests(path, *others),
        network=header.network,
        dataset=header.dataset,
        workload_key=header.workload.key,
        cost_table=table.digest,
        choices=tuple(map(str, header.choices)),
        seed=header.seed,
        version=header.version,
        settings=settings,
    )
