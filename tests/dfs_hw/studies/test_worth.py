"""What deciding is worth elsewhere: networks re-priced as they would be measured there."""

from dataclasses import replace

import numpy as np
import pytest

from accel_models import load_accelerator
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
from dfs_hw.studies import (
    FinishedNetworks,
    PricedStudy,
    StudyDefinition,
    priced_on,
    worth_in,
    worth_on,
)
from dfs_hw.studies.worth import Worth

HOME, AWAY = "bitfusion", "tpu-int8"
CHARGES = (
    *("energy.array_scale", "energy.sram_scale", "energy.leakage_scale", "energy.logic_scale"),
    *("energy.other_share", "energy.vector_pj", "dram.pj_per_bit", "dram.interface_pj_per_bit"),
    *("dram.interface_mw", "dram.background_mw"),
)
"""Fields that all energy is charged by."""
USUAL = {name: load_accelerator(HOME).field(name) for name in CHARGES}
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
    return FinishedNetworks(
        place, {key: runs for key, runs in done.items() if key[0] in names or not names}
    )


def judged(networks: FinishedNetworks, machine: str) -> tuple[list[Run], Evidence]:
    there = networks.elsewhere(load_accelerator(machine))
    runs = there.runs()
    return runs, Evidence(runs, there.field)


@pytest.mark.parametrize("machine", [HOME, AWAY])
def test_networks_cost_elsewhere_what_they_would_be_measured_at(
    places: tuple[PricedStudy, PricedStudy], machine: str
) -> None:
    there = places[machine == AWAY]
    elsewhere = networks_of(places[0]).elsewhere(load_accelerator(machine))
    assert elsewhere.budget == there.field.budget
    found: dict[tuple[str, int, str], list[Run]] = {}
    for run in elsewhere.runs():
        record = run.record
        found.setdefault((record.contender, record.seed, record.variant), []).append(run)
    for runs in made_up(there).values():
        for other in runs:
            record = other.record
            key = record.contender, record.seed, record.variant
            same = [run for run in found[key] if np.array_equal(run.correct, other.correct)]
            assert len(same) == 1
            assert same[0].cost == pytest.approx(other.cost, rel=1e-12)
            for name in ("energy_j", "latency_s", "bitops", "share", "accuracy"):
                wanted = getattr(record, name)
                assert getattr(same[0].record, name) == pytest.approx(wanted, rel=1e-12)


def test_networks_that_inputs_leave_are_judged_at_what_they_cost_over_the_seeds(
    places: tuple[PricedStudy, PricedStudy],
) -> None:
    runs, evidence = judged(networks_of(places[0]), AWAY)
    leaving = [one for one in evidence.field.contenders if one.name.endswith("-exits")]
    assert len(leaving) == 2
    for one in leaving:
        points = list(evidence.points(one))
        assert [variant for variant, _ in points] in ([AS_TRAINED, WITHIN], [WITHIN, AS_TRAINED])
        for variant, target in points:
            own = [
                run.record.share
                for run in runs
                if (run.record.contender, run.record.variant) == (one.name, variant)
            ]
            assert len(own) == 2
            assert own[0] != own[1]
            assert target == pytest.approx(np.mean(own), rel=1e-12)
            verdict = evidence.verdict(one, variant, target)
            assert verdict.against_shuffled.points.by_seed.keys() == {0, 1}


def test_whose_costs_are_others_now_is_left_out(places: tuple[PricedStudy, PricedStudy]) -> None:
    done = made_up(places[0])
    done["static-8-exits", 1] = [
        replace(run, cost=run.cost * (1 + 1e-8)) for run in done["static-8-exits", 1]
    ]
    del done["x0.5-static-8", 1]
    networks = FinishedNetworks(places[0], done)
    assert networks.left_out == {
        "static-8-exits": "measured by costs that are others now",
        "x0.5-static-8": "not finished of all seeds (0, 1)",
    }
    assert [one.name for one in networks.leaving] == ["static-2-exits"]
    assert [one.name for one in networks.static] == ["static-2", "static-8", "x0.5-static-2"]


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
        found = worth_on(networks, {}, load_accelerator(machine))
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
    space, _ = parse_space({"base": [HOME, AWAY], "fields": {"dram.gb_per_s": [6, 12]}})
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


def test_machines_that_cannot_be_or_cannot_run_are_kept_with_their_reason(
    places: tuple[PricedStudy, PricedStudy],
) -> None:
    networks = networks_of(places[0])
    space, _ = parse_space(
        {
            "base": HOME,
            "fields": {"buffers.weight_bytes": [1, 65536], "widths": [[2, 8], [2, 4]]},
        }
    )
    cannot_be, neither, can, cannot_run = worth_in(networks, space)
    for one in (cannot_be, neither, cannot_run):
        assert one == Worth(one.configuration, one.refused)
    assert "does not split evenly" in cannot_be.refused
    assert "8" in cannot_run.refused
    assert can == worth_on(networks, can.configuration, space.machine(can.configuration))
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
    space, _ = parse_space({"base": HOME, "fields": fields})
    with pytest.raises(InputError, match=said):
        worth_in(networks_of(places[0]), space)


def test_static_networks_are_needed(places: tuple[PricedStudy, PricedStudy]) -> None:
    with pytest.raises(InputError, match=r"two or more have to be finished .* there is 1"):
        networks_of(places[0], "static-8", "static-8-exits")
    done = made_up(places[0])  # two of one seed, if not of both
    some = {key: done[key] for key in (("static-8", 0), ("static-8", 1), ("static-2", 0))}
    assert FinishedNetworks(places[0], some).study.seeds == (0,)
    with pytest.raises(InputError, match="there is 1"):
        FinishedNetworks(places[0], some, (0, 1))
    for seeds in ((1,), (0, 1)):  # though one seed alone has more networks
        fewer = {key: runs for key, runs in done.items() if key != ("x0.5-static-2", 1)}
        asked = FinishedNetworks(places[0], fewer, seeds)
        assert asked.study.seeds == seeds
        assert "x0.5-static-2" in asked.left_out
    still = replace(places[0].field, contenders=places[0].field.contenders[:4])
    with pytest.raises(InputError, match="nobody who decides per input is finished"):
        FinishedNetworks(replace(places[0], field=still), done)


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


def test_a_machine_that_charges_nothing_is_refused(
    places: tuple[PricedStudy, PricedStudy],
) -> None:
    free = dict.fromkeys(CHARGES, 0.0)
    space, _ = parse_space({"base": HOME, "options": {"prices": {"none": free, "usual": USUAL}}})
    none, usual = worth_in(networks_of(places[0]), space)
    assert none.refused == f"{HOME} charges no energy, of which nothing is spared"
    assert usual.leads is not None
