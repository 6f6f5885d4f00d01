"""What deciding is worth elsewhere: networks re-priced as they would be measured there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accel_models import load_accelerator
from accel_models.documents import digest_of
from accel_models.errors import InputError
from accel_models.exploration import parse_space
from accel_models.metrics import METRICS, additive
from accel_models.precision import Precision
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.judgement.frontier import AS_ACCURATE
from dfs_hw.baselines.judgement.verdicts import Evidence, Verdict
from dfs_hw.baselines.records import AS_TRAINED, SHUFFLED, WITHIN, Answers, Record, Run
from dfs_hw.experiment import static_cost, trace_header
from dfs_hw.studies import FinishedNetworks, PricedStudy, StudyDefinition, priced_on, worth_in
from dfs_hw.studies.together import Together
from dfs_hw.studies.worth import Worth

HOME, AWAY = "bitfusion", "tpu-int8"
INPUTS = 1000
SETTINGS = f"""
title = "Worth?"
machines = ["{HOME}", "{AWAY}"]
seeds = [0, 1]
contenders = ["static", "smaller", "static-exits", "cascade"]
smaller = ["x0.5"]
grid = [0.5, 1.25, 1.5, 1.75]

[train]
network = "resnet14"
widths = [4, 8, 8]
choices = "2,8"
budget = "0.6"
"""
SKILL = {"x0.5-static-2": 0.55, "x0.5-static-8": 0.65, "static-2": 0.7, "static-8": 0.85}
"""Share of the inputs that a made-up network classifies right."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[PricedStudy, PricedStudy]:
    path = tmp_path_factory.mktemp("worth") / "study.toml"
    path.write_text(SETTINGS)
    definition = StudyDefinition.read(path)
    home = priced_on(definition, HOME)
    return home, priced_on(definition, AWAY, home.field)


def made_up(place: PricedStudy) -> dict[tuple[str, int], list[Run]]:
    """Networks that nobody trained, as a study on a machine would have measured them; what they
    say is the same on every machine."""
    found = {}
    for one in place.field.contenders:
        for seed in place.study.seeds if one.trained else ():
            draw = np.random.default_rng([seed, len(one.name), ord(one.name[-1])])
            if one.adaptive:
                found[one.name, seed] = leaving(place, one.name, seed, draw)
            else:
                found[one.name, seed] = [static(place, one.name, seed, draw)]
    return found


def static(place: PricedStudy, name: str, seed: int, draw: np.random.Generator) -> Run:
    table, width = place.tables[name], Precision.parse(name[-1])
    fixed = dict.fromkeys(table.units, width)
    cost = static_cost(table, fixed)
    test, validation = (answers(split, draw, SKILL[name]) for split in range(2))
    means = {metric.name: float(metric.of(cost)) for metric in additive()}
    record = recorded(place, name, seed, AS_TRAINED, 1.0, test.correct, means)
    record = replace(
        record,
        validation_accuracy=float(validation.correct.mean()),
        fixed=" ".join(map(str, fixed.values())),
    )
    costs = np.full(INPUTS, means["energy"])
    return Run(record, test.correct, costs, np.arange(INPUTS), None, test, validation)


def answers(split: int, draw: np.random.Generator, skill: float) -> Answers:
    """Of inputs some are harder than others, for all networks; the sure ones are the easy ones."""
    ease = np.random.default_rng(split).random(INPUTS)
    correct = (ease + draw.normal(0, 0.02, INPUTS) > 1 - skill).astype(np.float64)
    return Answers(correct, np.clip(0.2 + 0.7 * ease + draw.normal(0, 0.05, INPUTS), 0.1, 1))


def leaving(place: PricedStudy, name: str, seed: int, draw: np.random.Generator) -> list[Run]:
    """Inputs that leave anywhere, replayed one by one, at two budgets."""
    table = place.tables[name]
    whole = table.choices.index(Precision.parse(name.removesuffix("-exits")[-1]))
    ends = np.array([*map(table.units.index, table.workload.exits), len(table.units)])
    header = trace_header(table.workload, table.choices, "test", data="", accelerator="", seed=seed)
    found = []
    for variant, target in ((AS_TRAINED, 1.0), (WITHIN, 0.75)):
        at = ends[draw.integers(0 if target < 1 else 1, len(ends), INPUTS)]
        taken = np.where(np.arange(len(table.units)) < at[:, None], whole, table.leaving)
        unknown = np.zeros(INPUTS, dtype=np.int32)
        trace = GateTrace(header, np.arange(INPUTS), unknown, unknown, taken.astype(np.uint8))
        amounts = {metric.name: metric.of(replay(trace, table)) for metric in additive()}
        means = {metric: float(values.mean()) for metric, values in amounts.items()}
        right = (draw.random(INPUTS) < 0.8).astype(np.float64)
        dealt = draw.permutation(INPUTS)
        for way, correct, order in ((variant, right, slice(None)), (SHUFFLED, right[dealt], dealt)):
            record = recorded(place, name, seed, way, target, correct, means)
            if way != SHUFFLED:
                record = replace(record, validation_accuracy=0.8)
            found.append(Run(record, correct, amounts["energy"][order], np.arange(INPUTS)))
    return found


def recorded(
    place: PricedStudy,
    name: str,
    seed: int,
    variant: str,
    target: float,
    correct: np.ndarray,
    means: dict[str, float],
) -> Record:
    return Record(
        contender=name,
        seed=seed,
        variant=variant,
        accuracy=float(correct.mean()),
        bitops=means["bitops"],
        energy_j=means["energy"],
        latency_s=means["latency"],
        share=means["energy"] / place.field.budget,
        target=target,
    )


def networks_of(place: PricedStudy, *names: str) -> FinishedNetworks:
    """All networks of a study, or some."""
    done = made_up(place)
    finished = frozenset(names or (name for name, _ in done))
    return FinishedNetworks(place, Together(place.study.seeds, finished), done)


def judged(networks: FinishedNetworks, machine: str) -> tuple[list[Run], Evidence]:
    there = networks.elsewhere(load_accelerator(machine))
    runs = there.runs()
    return runs, Evidence(runs, there.field)


def point(run: Run) -> tuple[str, int, str, float]:
    """A run by what it is judged at: of inputs that leave, by what they spend."""
    record = run.record
    target = record.share if record.contender.endswith("-exits") else record.target
    return record.contender, record.seed, record.variant, round(target, 9)


@pytest.mark.parametrize("machine", [HOME, AWAY])
def test_networks_cost_elsewhere_what_they_would_be_measured_at(
    places: tuple[PricedStudy, PricedStudy], machine: str
) -> None:
    there = places[machine == AWAY]
    expected = {point(run): run for runs in made_up(there).values() for run in runs}
    elsewhere = networks_of(places[0]).elsewhere(load_accelerator(machine))
    assert elsewhere.budget == there.field.budget
    runs = [run for run in elsewhere.runs() if not run.record.made_of]
    assert {point(run) for run in runs} == expected.keys()
    for run in runs:
        record, other = run.record, expected[point(run)]
        if record.contender.endswith("-exits"):
            assert record.target == pytest.approx(other.record.share, rel=1e-12)
        assert np.array_equal(run.correct, other.correct)
        assert run.cost == pytest.approx(other.cost, rel=1e-12)
        for name in ("energy_j", "latency_s", "bitops", "share", "accuracy"):
            assert getattr(record, name) == pytest.approx(getattr(other.record, name), rel=1e-12)


def test_validation_inputs_choose_what_is_shown(
    places: tuple[PricedStudy, PricedStudy],
) -> None:
    networks, equal = networks_of(places[0]), 0
    for machine in (HOME, AWAY):
        runs, evidence = judged(networks, machine)
        every = [
            evidence.verdict(one, variant, target)
            for one in evidence.field.contenders
            if one.adaptive
            for variant, target in evidence.points(one)
        ]
        found = networks.worth_on({}, load_accelerator(machine))
        ahead = [one for one in every if one.against_static is not None]
        assert found.leads == max(ahead, key=lambda one: seen_ahead(runs, one))
        best = max(seen(runs, name, 1.0) for name in SKILL)
        enough = best - AS_ACCURATE
        good = [one for one in every if seen(runs, one.contender, one.target) >= enough]
        if not good:
            assert found.spares is None
            continue
        equal += 1
        assert found.spares is not None
        cheapest = min(good, key=lambda one: one.share)
        assert (found.spares.contender, found.spares.target) == (
            cheapest.contender,
            cheapest.target,
        )
        static = {r.record.contender: r.record.share for r in runs if r.record.contender in SKILL}
        than = min((n for n in SKILL if seen(runs, n, 1.0) >= enough), key=static.__getitem__)
        assert found.spares.saving.than == than
        assert found.spares.saving.share.mean == pytest.approx(1 - cheapest.share / static[than])
    assert equal


def seen(runs: list[Run], name: str, target: float) -> float:
    """Mean accuracy on the validation inputs."""
    return float(
        np.mean(
            [
                run.record.validation_accuracy
                for run in runs
                if (run.record.contender, run.record.target) == (name, target)
                and run.record.validation_accuracy is not None
            ]
        )
    )


def seen_ahead(runs: list[Run], verdict: Verdict) -> float:
    """How far validation inputs see a network ahead of its rival."""
    assert verdict.against_static is not None
    return seen(runs, verdict.contender, verdict.target) - seen(
        runs, verdict.against_static.than, 1.0
    )


def test_where_widths_save_nothing_the_floor_is_all(
    places: tuple[PricedStudy, PricedStudy],
) -> None:
    space, _ = parse_space(
        {"base": [HOME, AWAY], "objectives": ["energy"], "fields": {"dram.gb_per_s": [6, 12]}}
    )
    found = worth_in(networks_of(places[0]), space)
    floors = {(one.configuration["base"], one.configuration["dram.gb_per_s"]): one.floor
              for one in found}  # fmt: skip
    assert len(floors) == 4
    assert floors[AWAY, 6] == floors[AWAY, 12] == 1
    for bandwidth in (6, 12):
        table = places[0].tables["static-8"]
        machine = load_accelerator(HOME).configured(dram__gb_per_s=bandwidth)
        ends = [
            float(METRICS["energy"].of(static_cost(replace(table, accelerator=machine), width)))
            for width in map(Precision.parse, "28")
        ]
        assert floors[HOME, bandwidth] == pytest.approx(ends[0] / ends[1], rel=1e-12)


def test_a_machine_that_cannot_run_is_kept_with_its_reason(
    places: tuple[PricedStudy, PricedStudy],
) -> None:
    space, _ = parse_space(
        {"base": HOME, "objectives": ["energy"], "fields": {"buffers.weight_bytes": [1, 65536]}}
    )
    cannot, can = worth_in(networks_of(places[0]), space)
    assert cannot.refused
    assert cannot == Worth(cannot.configuration, cannot.refused)
    assert not can.refused
    assert can.leads is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"policy.prefetch": ["none", "modal"]}, "policy.prefetch is no field of a machine"),
        ({"dram.gb_per_s": {"low": 4, "high": 48, "log": True}}, "has no end of values"),
    ],
)
def test_spaces_of_anything_but_machines_are_refused(
    places: tuple[PricedStudy, PricedStudy], fields: dict[str, object], said: str
) -> None:
    space, _ = parse_space({"base": HOME, "objectives": ["energy"], "fields": fields})
    with pytest.raises(InputError, match=said):
        worth_in(networks_of(places[0]), space)


def test_static_networks_are_needed(places: tuple[PricedStudy, PricedStudy]) -> None:
    done = made_up(places[0])
    few = Together((0,), frozenset({"static-8", "static-8-exits"}))
    with pytest.raises(InputError, match=r"two or more have to be finished .* there are 1"):
        FinishedNetworks(places[0], few, done)


def test_budgets_are_of_the_studys_own_network_be_it_finished_or_not(
    places: tuple[PricedStudy, PricedStudy],
) -> None:
    some = networks_of(places[0], "x0.5-static-2", "x0.5-static-8")
    away = load_accelerator(AWAY)
    assert some.elsewhere(away).budget == places[1].field.budget
    assert some.elsewhere(away).floor == networks_of(places[0]).elsewhere(away).floor
    smaller = [one for one in places[0].field.contenders if one.family in ("smaller", "cascade")]
    alone = replace(places[0], field=replace(places[0].field, contenders=tuple(smaller)))
    with pytest.raises(InputError, match="no contender of the study is of resnet14 itself"):
        networks_of(alone, "x0.5-static-2", "x0.5-static-8")


@pytest.mark.slow
def test_the_shipped_digits_say_where_deciding_pays(
    ended: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    space = tmp_path / "two.toml"
    space.write_text(f'base = ["{HOME}", "{AWAY}"]\nobjectives = ["energy"]\n[fields]\n')
    study = Path(__file__).parents[3] / "results/digits/study.toml"
    status, _, errors = ended("study", "machines", study, space, "--out", tmp_path / "out")
    assert status == 0, errors
    page = (tmp_path / "out/machines.md").read_text()
    assert "At the accuracy of the best static network deciding spares" in page
    assert (tmp_path / "out/machines.png").stat().st_size > 10_000
    content = json.loads((tmp_path / "out/machines.json").read_text())
    sealed = content.pop("digest")
    assert digest_of(content) == sealed
    shipped = json.loads((study.parent / HOME / "compare.json").read_text())
    here = next(one for one in content["machines"] if one["configuration"]["base"] == HOME)
    assert here["budget"] == shipped["budget"]["amount"]
    cascades = {one["target"]: one for one in shipped["verdicts"] if one["contender"] == "cascade"}
    assert here["leads"]["contender"] == "cascade"
    same = cascades[here["leads"]["target"]]
    assert here["leads"]["against_static"]["points"] == same["against_static"]["points"]
