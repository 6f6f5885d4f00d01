"""A comparison: everybody, over seeds, and the verdict with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfs_hw.baselines.judgement.resampling import Interval
from dfs_hw.baselines.judgement.sentences import lead, robust
from dfs_hw.baselines.records import AS_TRAINED, AT_PRICE, FROZEN, SHUFFLED, WITHIN
from dfs_hw.baselines.study import STATIC
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
    network that the verdict speaks of is replayed from the traces of its seeds, where these are
    there; the first of them is looked at in full.

    Raises:
        InputError: if the folder holds no comparison of a known format, or a damaged trace.
    """
    found = read_comparison(folder / FILE)
    leads = leading(found)
    outcomes = [] if leads is None else replayed_seeds(folder, leads.contender, found.study.seeds)
    config = found.study.settings
    name = f"{config.network} on {config.data}, {config.accelerator}"
    subjects: tuple[Subject, ...] = ()
    if leads is not None and outcomes:
        as_trained = "" if leads.as_trained else ", as trained"
        title = f"{found.titles[leads.contender]}{as_trained}, seed {outcomes[0].seed}"
        subjects = (_subject(found, title, outcomes[0], folder / FILE),)
    verdict = _verdict(found, leads, len(outcomes[0].replay.trace) if outcomes else 0)
    return EnergyReport(name, verdict, subjects, _comparison(found, leads, outcomes), "")


def leading(found: CompareFile) -> ComparedVerdict | None:
    """The verdict that is led with; None if nobody decides.

    Of those that earned their keep, at whichever budget, the surest: one that holds whatever the
    constants are before others, then the one whose interval begins highest. Where nobody has, of
    those on networks as they were trained, the one that falls short by least.
    """

    def gain(verdict: ComparedVerdict) -> tuple[bool, bool, bool, float]:
        fixed, held, earned = verdict.against_static, verdict.robustness, bool(verdict.earned)
        low = -1.0 if fixed is None else fixed.points.low
        holds = earned and held is not None and held.ahead == held.draws
        return earned, earned or verdict.as_trained, holds, low

    return max(found.verdicts, key=gain, default=None)


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
        survives=_survives(leads),
        survival=_survival(found, leads),
    )


def bounds(interval: Interval) -> Bounds:
    """An interval without what each seed says."""
    return Bounds(interval.mean, interval.low, interval.high)


def _survival(found: CompareFile, leads: ComparedVerdict) -> Survival | None:
    """Whether the energies stay in order, of who leads and the static network that is as
    accurate."""
    held, saving = leads.robustness, leads.saving
    if held is None or held.spared is None or saving is None:
        return None
    least, most = held.spared
    return Survival(
        of=found.titles[leads.contender],
        than=found.titles[saving.than],
        draws=held.draws,
        kept=held.cheaper,
        low=1 - most,
        high=1 - least,
        constants=held.constants,
    )


def _survives(leads: ComparedVerdict) -> str:
    if leads.robustness is None:
        return (
            "Whether that survives the ranges of the constants is not told: it needs the trace of "
            "the network, and constants with a range."
        )
    return robust(leads.robustness)


def _comparison(
    found: CompareFile, leads: ComparedVerdict | None, outcomes: Sequence[SeedOutcome]
) -> Comparison:
    competitors = tuple(
        _competitor(found, row, leads)
        for row in found.rows
        if (row.variant in KINDS and not _elsewhere(found, row)) or _is_of(row, leads)
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
        replays=tuple(_seed_replay(found, leads, one) for one in outcomes if leads),
        headroom="" if found.headroom is None else found.headroom.sentence,
        headroom_curve=_curve(found),
        budget=f"{found.budget.text}: {found.budget.amount:.4g} {found.budget.unit} of "
        f"{found.budget.metric} an input",
        remarks=tuple(f"Left out: {name}: {why}." for name, why in found.left_out.items()),
    )  # fmt: skip


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


def _is_of(row: Row, verdict: ComparedVerdict | None) -> bool:
    """Whether a row is what a verdict is on."""
    if verdict is None or row.variant not in (AS_TRAINED, WITHIN):
        return False
    return (row.contender, row.target) == (verdict.contender, verdict.target)


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
    way = row.variant if row.variant != WITHIN else f"set to {row.target:g} x budget"
    fixed = None if leads is None else leads.against_static
    held_against = found.best_static if fixed is None else fixed.than
    accuracy, energy = _spread(row, "accuracy"), _spread(row, "energy_j")
    before = row.figures.get("validation_accuracy")
    return Competitor(
        name=contender.title if trained else f"{contender.title}, {way}",
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
        leads=_is_of(row, leads),
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
    )


def _seed_replay(found: CompareFile, leads: ComparedVerdict, one: SeedOutcome) -> SeedReplay:
    """A seed as training was told, as replayed, and as the comparison has it."""
    costs = {cost.metric: cost for cost in expectations(one.replay)}
    energy, latency = costs["energy"], costs["latency"]
    own = (leads.contender, one.seed, AS_TRAINED)
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


def _subject(found: CompareFile, title: str, one: SeedOutcome, beside: Path) -> Subject:
    outcome = one.replay
    splits = splits_of(outcome, one.path, found.study.settings.data, one.seed)
    known = known_inputs(outcome, splits.test, tuple(splits.classes))
    origin = origin_of(outcome.trace, outcome.table, one.path, beside, **found.study.config)
    return subject_of_replay(title, outcome, origin, known)
