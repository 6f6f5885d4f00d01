"""A finished run: its figures as recorded, its trace replayed, and the images behind it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import norm

from accel_models.costs.cost_table import CostTable
from accel_models.errors import InputError, listed
from accel_models.precision import Precision, highest
from accel_models.replay import Replay, replay
from accel_models.si import si
from accel_models.trace import GateTrace
from dfs_hw.experiment import Variant, static_cost
from dfs_hw.report.measured.subjects import subject_of_replay
from dfs_hw.report.measured.survival import CountedWork, survival
from dfs_hw.report.report import (
    Bounds,
    Comparison,
    Competitor,
    EnergyReport,
    ReportVerdict,
    SavedAmount,
    Survival,
)
from dfs_hw.report.sources.of_trace import origin_of, table_of
from dfs_hw.report.sources.pictures import known_inputs, splits_of
from dfs_hw.report.sources.run_file import COSTS, RunFile, read_run

RUN, TRACE, NETWORK = "run.json", "trace.parquet", "network.safetensors"
CONFIDENCE = 0.95
DEAREST = 100
"""Cost of a way to run a network, in those of the highest precision everywhere, at most: all do the
same layers or fewer, and gates are small."""
HEAD = "Whether looking at each input earned its keep cannot be told"


def report_of_run(folder: Path) -> EnergyReport:
    """A report on a run's folder.

    Raises:
        InputError: if a file is not what a run leaves, or they are of different runs: says which.
    """
    run, outcome = read_run(folder / RUN), _replayed(folder)
    images = splits_of(outcome, folder / TRACE, run.settings.data, run.settings.seed).test
    _check(run, outcome, folder)
    named = ":" not in run.settings.network  # of one's own, only its module can build again
    checkpoint = folder / NETWORK if named and (folder / NETWORK).is_file() else None
    known = known_inputs(outcome, images, run.classes, checkpoint)
    trace = outcome.trace
    files = (folder / RUN, folder / NETWORK)
    origin = origin_of(trace, outcome.table, folder / TRACE, *files, **run.config)
    name = f"{run.settings.network} on {run.settings.data}, {outcome.table.accelerator.name}"
    subject = subject_of_replay(name, outcome, replace(origin, source=str(folder)), known)
    return EnergyReport(
        name,
        run_verdict(run, outcome),
        (subject,),
        _comparison(run, outcome.table),
        "",
    )


def run_verdict(run: RunFile, outcome: Replay) -> ReportVerdict:
    """The run's verdict: beside the static width that is most accurate on validation inputs, of
    those that cost no more; or else beside the cheapest good one."""
    own, inputs = adaptive(run), len(outcome.trace)
    within = [one for one in statics(run) if one.energy_j <= own.energy_j]
    best = max(
        within, key=lambda one: (one.validation_accuracy, -one.energy_j), default=best_static(run)
    )
    points = difference(own.accuracy, best.accuracy, inputs)
    kept = _survival(run, outcome, own)
    earned = False if within and points.high < 0 else None
    sentence = (
        _sentence(own, best, points, inputs, earned) if within else _dearer(own, best, inputs)
    )
    return ReportVerdict(
        sentence=sentence,
        earned=earned,
        against=best.name,
        points=points,
        seeds=1,
        inputs=inputs,
        survives=_survives(kept),
        survival=kept,
    )


def _sentence(own: Variant, best: Variant, points: Bounds, inputs: int, earned: bool | None) -> str:
    head = HEAD if earned is None else "Looking at each input did NOT earn its keep"
    gap, low, high = _gap(own, best), 100 * points.low, 100 * points.high
    word = "more"
    if gap < 0:
        gap, low, high, word = -gap, -high, -low, "less"
    than = f"{gap:.1f} points ({low:.1f} to {high:.1f}) {word} accurate".replace("-", "−")
    return (
        f"{head}: at {si(own.energy_j, 'J')} an input it is {than} than the best static width that "
        f"costs no more ({best.name}, {si(best.energy_j, 'J')}), on {inputs:,} inputs and one "
        "seed, 95 % interval over inputs. One seed says nothing of chance in training: dfs-hw "
        "compare has several."
    )


def _dearer(own: Variant, best: Variant, inputs: int) -> str:
    dear, gap = own.energy_j / best.energy_j - 1, _gap(own, best)
    return (
        f"{HEAD}: no static width costs as little. Beside the best static width ({best.name}) the "
        f"adaptive network spends {abs(dear):.1%} {'more' if dear > 0 else 'less'} energy, at "
        f"{abs(gap):.1f} points {'less' if gap < 0 else 'more'} accuracy ({inputs:,} inputs, one "
        "seed)."
    )


def _gap(own: Variant, best: Variant) -> float:
    """Points between two accuracies, as these are printed."""
    return round(100 * own.accuracy, 1) - round(100 * best.accuracy, 1)


def difference(first: float, second: float, inputs: int, others: int = 0) -> Bounds:
    """Difference of two accuracies with Newcombe's interval for unpaired proportions (Statistics
    in Medicine 17, 1998, method 10), which is wider than a paired one would be.

    Args:
        first, second: shares classified right, 0 to 1.
        inputs: of the first.
        others: inputs of the second; as many by default.
    """
    (low1, high1), (low2, high2) = _wilson(first, inputs), _wilson(second, others or inputs)
    gap = first - second
    low = gap - math.hypot(first - low1, high2 - second)
    high = gap + math.hypot(high1 - first, second - low2)
    return Bounds(gap, low, high)


def _wilson(share: float, inputs: int) -> tuple[float, float]:
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    middle = (share + z * z / (2 * inputs)) / (1 + z * z / inputs)
    half = z * math.sqrt(share * (1 - share) / inputs + z * z / (4 * inputs**2))
    half /= 1 + z * z / inputs
    return middle - half, middle + half


def adaptive(run: RunFile) -> Variant:
    """The network that decides."""
    return next(variant for variant in run.variants if variant.kind == "adaptive")


def statics(run: RunFile) -> list[Variant]:
    """The network at each width."""
    return [variant for variant in run.variants if variant.kind == "static"]


def best_static(run: RunFile) -> Variant:
    """The static width that the run calls best."""
    return next(variant for variant in run.variants if variant.name == run.best_static)


def _survival(run: RunFile, outcome: Replay, own: Variant) -> Survival | None:
    """Whether it stays cheaper, or dearer, than the best static width."""
    table, best = outcome.table, best_static(run)
    fixed = static_cost(table, Precision.parse(best.precision))
    counts = outcome.totals.counts(outcome.plan) / len(outcome.trace)
    mine = CountedWork(own.name, counts, float(outcome.cycles.mean()))
    return survival(mine, CountedWork(best.name, fixed.counts, fixed.cycles), table.accelerator)


def _survives(found: Survival | None) -> str:
    if found is None:
        return "No constant of this machine has a range, so whether it survives them is not told."
    cause = f"{len(found.constants)} constants drawn from their ranges together"
    return (
        f"{found.of} spends less than {found.than} in {found.kept} of {found.draws} draws "
        f"({cause}; {found.low:.1%} to {found.high:.1%} of its energy)."
    )


def _comparison(run: RunFile, table: CostTable) -> Comparison:
    own, top = adaptive(run), top_static(run, table)
    remarks = [str(run.budget)]
    if any(choice.full for choice in table.choices):
        remarks.append("full is trained unquantised and charged as 16-bit fixed point.")
    return Comparison(
        competitors=tuple(
            Competitor(
                one.name, one.kind, one.kind, one.accuracy, one.energy_j, one.latency_s, one.bitops,
                validation_accuracy=one.validation_accuracy,
                leads=one is own, best=one.name == run.best_static,
            )
            for one in run.variants
        ),
        saved_from=top.name,
        saved=(
            SavedAmount("energy", "J", top.energy_j, own.energy_j),
            SavedAmount("latency", "s", top.latency_s, own.latency_s),
            SavedAmount("BitOps", "", top.bitops, own.bitops),
        ),
        budget=run.budget.text,
        remarks=tuple(remarks),
    )  # fmt: skip


def top_static(run: RunFile, table: CostTable) -> Variant:
    """The network at the highest precision everywhere."""
    precision = str(highest(table.choices))
    return next(one for one in statics(run) if one.precision == precision)


def _replayed(folder: Path) -> Replay:
    trace = GateTrace.read(folder / TRACE)
    return replay(trace, table_of(trace, folder / TRACE))


def _check(run: RunFile, outcome: Replay, folder: Path) -> None:
    """Refuse a record that is of another run, or says nothing of a class or a choice."""
    table, trace = outcome.table, outcome.trace
    if table.digest != run.cost_table:
        raise InputError(
            f"{folder}: run.json was made with another cost table ({run.cost_table}) than "
            f"trace.parquet gives now ({table.digest}): the trace, the machine or what it charges "
            "differs"
        )
    numbers = np.concatenate([trace.labels, trace.predictions])
    if numbers.min() < 0 or numbers.max() >= len(run.classes):
        raise InputError(
            f"{folder}: run.json names {len(run.classes)} classes, and trace.parquet has "
            f"numbers of classes from {numbers.min()} to {numbers.max()}"
        )
    recorded = {Precision.parse(one.precision) for one in statics(run)}
    executed = {choice for choice in table.choices if choice.runs}
    if recorded != executed:
        raise InputError(
            f"{folder}/run.json: variants must hold each of {listed(sorted(executed))} bits as a "
            f"static one, and no other, got {listed(sorted(recorded))}"
        )
    said = adaptive(run)
    if (said.energy_j, said.accuracy) != (outcome.energy_j.mean(), trace.accuracy):
        raise InputError(f"{folder}: run.json and trace.parquet are of different runs")
    _check_costs(run, table, folder)


def _check_costs(run: RunFile, table: CostTable, folder: Path) -> None:
    """Refuse costs that no network of the run has, and no picture has room for."""
    top = top_static(run, table)
    for number, variant in enumerate(run.variants):
        for name in COSTS:
            most = DEAREST * getattr(top, name)
            if getattr(variant, name) > most:
                raise InputError(
                    f"{folder}/run.json: variants.{number}.{name} must be at most {most:.3g}, "
                    f"{DEAREST} times that of the highest precision, got {getattr(variant, name)}"
                )


__all__ = ["difference", "report_of_run", "run_verdict"]
