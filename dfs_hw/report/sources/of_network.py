"""A network at fixed precisions: nothing is decided, everything else can be told."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.simulator import simulate
from accel_models.errors import InputError
from accel_models.reference_machine import static_timeline
from accel_models.workloads.workload import Workload
from dfs_hw.report.measured.subjects import subject_of_simulation
from dfs_hw.report.measured.tracks import track
from dfs_hw.report.report import EnergyReport, ReportVerdict
from dfs_hw.report.sources.digests import digests
from dfs_hw.report.subject import Origin, Subject, Track


def report_of_network(
    source: str, workload: Workload, machine: Accelerator, precisions: Sequence[str]
) -> EnergyReport:
    """A report on a static network, at each of some precisions.

    Raises:
        InfeasibleError: if the machine cannot run it so.
    """
    subjects = tuple(_subject(source, workload, machine, bits) for bits in precisions)
    verdict = ReportVerdict(
        "A static network: nothing is decided per input, and nothing was measured beside it that "
        "decides. What it costs is simulated; how accurate it is was not looked at."
    )
    return EnergyReport(f"{workload.name} on {machine.name}", verdict, subjects, None, "")


def _subject(source: str, workload: Workload, machine: Accelerator, bits: str) -> Subject:
    run = simulate(workload, machine, bits, uncertainty=True)
    origin = Origin(
        source=source,
        digests=digests(Path(source)),
        network=workload.name,
        dataset="",
        workload_key=workload.key,
        cost_table="",
        choices=(bits,),
        seed=None,
        version=version("dfs-hw"),
    )
    name = f"{workload.name} at {bits} bit, {machine.name}"
    return subject_of_simulation(name, run, origin, _tracks(workload, machine, bits))


def _tracks(workload: Workload, machine: Accelerator, bits: str) -> tuple[Track, ...]:
    try:
        return (
            track(f"one input at {bits} bit", static_timeline(workload, machine, bits, draw=True)),
        )
    except InputError:  # more tiles than can be played
        return ()
