"""A comparison: everybody, over seeds, and the verdict with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dfs_hw.baselines.judgement.resampling import Interval
from dfs_hw.baselines.judgement.sentences import lead, nominal, robust
from dfs_hw.baselines.records import AS_TRAINED, AT_PRICE, FROZEN, SHUFFLED, WITHIN
from dfs_hw.baselines.study import COMPOSED, STATIC
from dfs_hw.baselines.tabulation import Row, Spread
from dfs_hw.report.measured.subjects import expectations, subject_of_replay
from dfs_hw.report.report import (
    Bounds,
    Comparison,
    Competitor,
    EnergyReport,
    HeadroomPoint,
    Judgement,
    ReportVerdict,
    SavedAmount,
    SeedReplay,
    Survival,
    SweepPoint,
)
from dfs_hw.report.sources.comparison_file import ComparedVerdict, CompareFile, read_comparison
from dfs_hw.report.sources.left_traces import SeedOutcome, replayed_seeds
from dfs_hw.report.sources.of_trace import origin_of
from dfs_hw.report.sources.pictures import known_inputs, splits_of
from dfs_hw.report.subject import Subject

FILE = "compare.json"
KINDS = {AS_TRAINED: "adaptive", WITHIN: "adaptive", FROZEN: "frozen", SHUFFLED: "shuffled"}


def report_of_comparison(folder: Path) -> EnergyReport:
    """A report on a folder of `dfs-hw compare`, or on one of a study's machines. The adaptive
    network that the verdict speaks of, or the next best whose traces are there, is replayed from
    the traces of its seeds; the first of them is looked at in full.

    Raises:
        InputError: if the folder holds no comparison of a known format, or a damaged trace.
    """
    found = read_comparison(folder / FILE)
    best = ranked(found)
    looked_at = _LookedAt("", [])
    for name in dict.fromkeys(verdict.contender for verdict in best):
        if outcomes := replayed_seeds(folder, name, found.study.seeds):
            looked_at = _LookedAt(name, outcomes)
            break
    config = found.study.settings
    title = f"{config.network} on {config.data}, {config.accelerator}"
    subjects = tuple(_subject(found, looked_at, one, folder / FILE) for one in looked_at.seeds[:1])
    inputs = len(looked_at.seeds[0].replay.trace) if looked_at.seeds else 0
    leads = best[0] if best else None
    comparison = _comparison(found, leads, looked_at)
    return EnergyReport(title, _verdict(found, leads, inputs), subjects, comparison, "")


class _LookedAt(NamedTuple):
    """A contender, and the seeds whose traces are there."""

    contender: str
    seeds: list[SeedOutcome]


def ranked(found: CompareFile) -> list[ComparedVerdict]:
    """Verdicts, the one that is led with first.

    Those that earned their keep, at whichever budget, come first, then networks as they were
    trained, then what is left; of each the one that validation inputs see furthest ahead of its
    static rival. Test inputs say how far it is, and have no part in the choice.
    """

    def place(verdict: ComparedVerdict) -> tuple[bool, bool, float]:
        own = [row for row in found.rows if _is_led(row, verdict) and row.variant != SHUFFLED]
        fixed = verdict.against_static
        than = [row for row in found.rows if fixed is not None and row.contender == fixed.than]
        seen = _validated(own) - _validated(than) if than else -1.0
        return bool(verdict.earned), bool(verdict.earned) or verdict.as_trained, seen

    return sorted(found.verdicts, key=place, reverse=True)


def _validated(rows: Sequence[Row]) -> float:
    """Accuracy on the validation inputs; 0 where the comparison does not say."""
    spreads = (row.figures.get("validation_accuracy") for row in rows)
    return next((spread.mean for spread in spreads if spread is not None), 0.0)


def _is_led(row: Row, leads: ComparedVerdict | None) -> bool:
    """Whether a row is of the contender that a verdict is on, at the budget that it is on."""
    return leads is not None and (row.contender, row.target) == (leads.contender, leads.target)


def _verdict(found: CompareFile, leads: ComparedVerdict | None, inputs: int) -> ReportVerdict:
    if leads is None:
        return ReportVerdict(
            "Nobody of this comparison decides per input: there is nothing to judge."
        )
    fixed = leads.against_static
    return ReportVerdict(
        sentence=f"{lead(found.verdicts, found.titles)} {leads.sentence}",
        earned=leads.earned,
        against="" if fixed is None else found.titles[fixed.than],
        points=None if fixed is None else bounds(fixed.points),
        saving=None if leads.saving is None else bounds(leads.saving.share),
        seeds=len(leads.against_shuffled.points.by_seed),
        inputs=inputs,
        survives=_survives(found, leads),
        survival=_survival(found, leads),
    )


def bounds(interval: Interval) -> Bounds:
    """An interval without what each seed says."""
    return Bounds(interval.mean, interval.low, interval.high)


def _survival(found: CompareFile, leads: ComparedVerdict) -> Survival | None:
    """How who leads and the cheapest static network that is as accurate stand at every draw of the
    constants."""
    held = leads.robustness
    if held is None or held.spared is None or found.drawn is None:
        return None
    least, most = held.spared
    return Survival(
        of=found.titles[leads.contender],
        than="the cheapest as accurate at each draw",
        draws=held.draws,
        kept=held.cheaper,
        low=1 - most,
        high=1 - least,
        constants=found.drawn.constants,
    )


def _survives(found: CompareFile, leads: ComparedVerdict) -> str:
    if leads.robustness is None or found.drawn is None:
        return "What becomes of that within the ranges of the constants is not told."
    return robust(leads.robustness, found.titles) + nominal(found.drawn.not_drawn)


def _comparison(
    found: CompareFile, leads: ComparedVerdict | None, looked_at: _LookedAt
) -> Comparison:
    competitors = tuple(
        _competitor(found, row, leads) for row in found.rows if _stands_beside(found, row, leads)
    )
    ends = _ends(found, leads, competitors)
    return Comparison(
        competitors=competitors,
        saved_from=ends[0].name if len(ends) == 2 else "",
        saved=_saved(ends),
        judgements=tuple(_judgement(found, one) for one in found.verdicts),
        sweep=tuple(
            SweepPoint(
                found.titles[one.contender], one.seed, one.variant, one.target, one.share,
                one.accuracy, one.energy_j, one.latency_s,
            )
            for one in found.records
            if one.variant in (AS_TRAINED, WITHIN, AT_PRICE)
            and found.contender(one.contender).family not in STATIC
        ),
        replays=tuple(_seed_replay(found, looked_at.contender, one) for one in looked_at.seeds),
        headroom="" if found.headroom is None else found.headroom.sentence,
        headroom_curve=_curve(found),
        budget=f"{found.budget.text}: {found.budget.amount:.4g} {found.budget.unit} of "
        f"{found.budget.metric} an input",
        remarks=tuple(_remarks(found, leads, looked_at)),
        looked_at=found.titles.get(looked_at.contender, ""),
    )  # fmt: skip


def _remarks(
    found: CompareFile, leads: ComparedVerdict | None, looked_at: _LookedAt
) -> Iterator[str]:
    if leads is not None and leads.contender != looked_at.contender:
        how = "dfs-hw compare leaves one in the folder of each seed"
        if found.contender(leads.contender).family in COMPOSED:
            how = "dfs-hw record FIRST --then SECOND records one, which is reported by itself"
        yield f"No trace of {found.titles[leads.contender]} lies here: {how}."
    for why in dict.fromkeys(found.left_out.values()):
        names = [name for name, reason in found.left_out.items() if reason == why]
        yield f"Left out: {', '.join(names)}: {why}."


def _curve(found: CompareFile) -> tuple[HeadroomPoint, ...]:
    """Headroom over energy; nothing where it was looked for over another cost."""
    if found.headroom is None or found.headroom.metric != "energy":
        return ()
    points = found.headroom.points
    return tuple(HeadroomPoint(one.amount, one.static, one.limit) for one in points)


def _elsewhere(found: CompareFile, row: Row) -> bool:
    """Whether a row is of a contender set to another budget than it was trained for."""
    own = (one for one in found.rows if one.contender == row.contender)
    return row.target != next((one.target for one in own if one.variant == AS_TRAINED), row.target)


def _stands_beside(found: CompareFile, row: Row, leads: ComparedVerdict | None) -> bool:
    """Whether a row is shown: of everybody as trained, of who leads at every budget, and with its
    decisions shuffled at the one that the verdict is on."""
    if row.variant not in KINDS:
        return False
    follows = leads is not None and row.contender == leads.contender and row.variant == WITHIN
    return follows or _is_led(row, leads) or not _elsewhere(found, row)


def _ends(
    found: CompareFile, leads: ComparedVerdict | None, everybody: tuple[Competitor, ...]
) -> list[Competitor]:
    """The static network that is as accurate, and who leads; nobody where none is."""
    if leads is None or leads.saving is None:
        return []
    than = found.titles[leads.saving.than]
    return [one for one in everybody if one.name == than] + [one for one in everybody if one.leads]


def _saved(ends: Sequence[Competitor]) -> tuple[SavedAmount, ...]:
    if len(ends) < 2:
        return ()
    before, after = ends
    return (
        SavedAmount("energy", "J", before.energy_j, after.energy_j),
        SavedAmount("latency", "s", before.latency_s, after.latency_s),
        SavedAmount("BitOps", "", before.bitops, after.bitops),
    )


def _competitor(found: CompareFile, row: Row, leads: ComparedVerdict | None) -> Competitor:
    contender = found.contender(row.contender)
    static = contender.family in STATIC
    trained = row.variant == AS_TRAINED
    kind = "static" if static else KINDS[row.variant]
    way = "" if row.variant in (AS_TRAINED, WITHIN) else f", {row.variant}"
    if _elsewhere(found, row):
        way = f", set to {row.target:g} x budget{way}"
    fixed = None if leads is None else leads.against_static
    held_against = found.best_static if fixed is None else fixed.than
    accuracy, energy = _spread(row, "accuracy"), _spread(row, "energy_j")
    before = row.figures.get("validation_accuracy")
    return Competitor(
        name=contender.title + way,
        kind=kind,
        group=contender.family if trained or row.variant == WITHIN else kind,
        accuracy=accuracy.mean,
        energy_j=energy.mean,
        latency_s=_spread(row, "latency_s").mean,
        bitops=_spread(row, "bitops").mean,
        seeds=row.n,
        accuracy_sd=accuracy.deviation,
        energy_sd=energy.deviation,
        validation_accuracy=None if before is None else before.mean,
        share=_spread(row, "share").mean,
        leads=_is_led(row, leads) and kind == "adaptive",
        best=trained and row.contender == held_against,
    )


def _spread(row: Row, name: str) -> Spread:
    spread = row.figures[name]
    assert spread is not None  # as `CompareFile` has them
    return spread


def _judgement(found: CompareFile, verdict: ComparedVerdict) -> Judgement:
    fixed, saving, held = verdict.against_static, verdict.saving, verdict.robustness
    return Judgement(
        contender=found.titles[verdict.contender],
        target=verdict.target,
        share=verdict.share,
        accuracy=verdict.accuracy,
        than="" if fixed is None else found.titles[fixed.than],
        points=None if fixed is None else bounds(fixed.points),
        shuffled=bounds(verdict.against_shuffled.points),
        saving=None if saving is None else bounds(saving.share),
        earned=verdict.earned,
        sentence=verdict.sentence,
        drawn=None if held is None else held.points,
        ahead=None if held is None else held.ahead / held.draws,
        keeps=None if held is None else held.earned / held.draws,
        alone=None if held is None else held.alone / held.draws,
    )


def _seed_replay(found: CompareFile, contender: str, one: SeedOutcome) -> SeedReplay:
    """A seed as training was told, as replayed, and as the comparison has it."""
    costs = {cost.metric: cost for cost in expectations(one.replay)}
    energy, latency = costs["energy"], costs["latency"]
    own = (contender, one.seed, AS_TRAINED)
    recorded = (
        record.energy_j
        for record in found.records
        if (record.contender, record.seed, record.variant) == own
    )
    return SeedReplay(
        seed=one.seed,
        inputs=len(one.replay.trace),
        accuracy=one.replay.trace.accuracy,
        expected_j=energy.expected,
        energy_j=energy.replayed,
        expected_s=latency.expected,
        latency_s=latency.replayed,
        recorded_j=next(recorded, None),
    )


def _subject(found: CompareFile, looked_at: _LookedAt, one: SeedOutcome, beside: Path) -> Subject:
    outcome = one.replay
    title = f"{found.titles[looked_at.contender]}, as trained, seed {one.seed}"
    splits = splits_of(outcome, one.path, found.study.settings.data, one.seed)
    known = known_inputs(outcome, splits.test, tuple(splits.classes))
    origin = origin_of(outcome.trace, outcome.table, one.path, beside, **found.study.config)
    return subject_of_replay(title, outcome, origin, known)
