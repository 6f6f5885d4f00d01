"""Charts of one subject's gates and exits."""

from __future__ import annotations

from collections.abc import Iterator

from accel_models.pages import Chart, Frame
from accel_models.pages.frame import SHARE
from dfs_hw.report.subject import Subject


def gate_charts(subject: Subject, prefix: str) -> Iterator[Chart]:
    """What every unit chose, how mixed that is, and where inputs left; none of a static one."""
    if subject.units:
        yield _choices(subject, prefix)
        yield _mixed(subject, prefix)
    if subject.exits:
        yield from _exits(subject, prefix)


def _choices(subject: Subject, prefix: str) -> Chart:
    columns = [
        *(("unit", "unit"), ("choice", "choice"), ("share", "of the inputs that came", SHARE)),
        ("came", "inputs that came", SHARE),
    ]
    rows = [
        (one.unit, choice, share, one.came)
        for one in subject.units
        for choice, share in one.shares.items()
    ]
    return Chart(
        f"{prefix}choices", "What each unit chose", "heat", Frame.of(columns, rows),
        x="choice", y="unit", value="share", full=1.0,
    )  # fmt: skip


def _mixed(subject: Subject, prefix: str) -> Chart:
    columns = [
        *(("unit", "unit"), ("entropy_bits", "entropy of its choices", "bit")),
        ("switch_rate", "inputs that choose otherwise than the one before", SHARE),
        *(("dead", "dead"), ("came", "inputs that came", SHARE)),
    ]
    rows = [
        (one.unit, one.entropy_bits, one.switch_rate, one.dead, one.came) for one in subject.units
    ]
    dead = [one.unit for one in subject.units if one.dead]
    note = f"Dead, as all inputs choose alike: {', '.join(dead)}." if dead else "No gate is dead."
    return Chart(
        f"{prefix}gates", "How mixed each gate's decisions are", "points", Frame.of(columns, rows),
        x="entropy_bits", y="switch_rate", label="unit", note=note,
    )  # fmt: skip


def _exits(subject: Subject, prefix: str) -> Iterator[Chart]:
    columns = [
        *(("unit", "leaves at"), ("share", "share of all inputs", SHARE)),
        *(("came", "came there", SHARE), ("accuracy", "accuracy of those", SHARE)),
        *(("energy_j", "mean energy of those", "J"), ("latency_s", "mean latency", "s")),
        ("of_energy", "of all energy", SHARE),
    ]
    whole = subject.energy.joules_per_inference
    rows = [
        (
            one.unit, one.share, one.came, one.accuracy, one.energy_j, one.latency_s,
            None if one.energy_j is None else one.share * one.energy_j / whole,
        )
        for one in subject.exits
    ]  # fmt: skip
    frame = Frame.of(columns, rows)
    yield Chart(f"{prefix}exits", "Where inputs leave", "bars", frame, x="share", y="unit")
    yield Chart(
        f"{prefix}exit-cost", "What inputs cost that leave there", "bars", frame,
        x="energy_j", y="unit",
    )  # fmt: skip
