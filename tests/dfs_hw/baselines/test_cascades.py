"""Cascades of two static networks, accounted for input by input in plain Python."""

from itertools import permutations

import numpy as np
import pytest
from comparing import CONFIG, STUDY

from dfs_hw.baselines.cascades import Cascade, cascade_runs
from dfs_hw.baselines.contenders import Contender, LineUp
from dfs_hw.baselines.records import AS_TRAINED, SHUFFLED, WITHIN, Answers, Record, Run

BUDGET = 4e-6
"""Cost allowed for one input, in J."""
FIELD = LineUp((Contender("cascade", "cascade", "cascade", CONFIG),), {}, BUDGET, "")


def answers(generator: np.random.Generator, inputs: int, skill: float) -> Answers:
    confidence = generator.random(inputs).round(2)  # some are equal
    return Answers(
        (generator.random(inputs) < skill * (0.5 + confidence)).astype(float), confidence
    )


def static(generator: np.random.Generator, name: str, seed: int, share: float) -> Run:
    said = answers(generator, 60, 0.5 + 0.2 * share)
    record = Record(
        *(name, seed, AS_TRAINED, said.correct.mean(), 100 * share, share * BUDGET, 7 * share),
        share=share,
        target=1.0,
        validation_accuracy=0.5,
    )
    severity = generator.random(60)
    cost = np.full(60, share * BUDGET)
    known = answers(generator, 40, 0.5 + 0.2 * share)
    return Run(record, said.correct, cost, np.arange(60), severity, said, known)


@pytest.fixture
def runs() -> list[Run]:
    generator = np.random.default_rng(5)
    return [
        static(generator, name, seed, share)
        for seed in (0, 1)
        for name, share in (("a", 0.3), ("b", 0.6), ("c", 0.9), ("d", 1.4))
    ]


def plain(first: Run, then: Run, threshold: float, split: str) -> tuple[float, float]:
    """Accuracy, and cost over the budget, input by input."""
    assert first.validation and first.answers and then.validation and then.answers
    one = first.validation if split == "validation" else first.answers
    two = then.validation if split == "validation" else then.answers
    right = spent = 0.0
    for place, sure in enumerate(one.confidence):
        spent += first.record.share
        if sure < threshold:
            spent += then.record.share
            right += two.correct[place]
        else:
            right += one.correct[place]
    return right / len(one.confidence), spent / len(one.confidence)


def best_by_trying(runs: list[Run], budgets: list[float]) -> float:
    """Highest mean validation accuracy of all pairs that spend one of the budgets."""
    by_name = {(run.record.contender, run.record.seed): run for run in runs}
    found = []
    for allowed in budgets:
        for one, two in permutations("abcd", 2):
            accuracies = []
            for seed in (0, 1):
                first, then = by_name[one, seed], by_name[two, seed]
                if one > two or first.record.share > allowed:
                    break
                assert first.validation
                tries = [*first.validation.confidence, 2.0]
                fit = [t for t in tries if plain(first, then, t, "validation")[1] <= allowed + 1e-9]
                most = max([*fit, 0.0])
                accuracies.append(plain(first, then, most, "validation")[0])
            if len(accuracies) == 2:
                found.append(sum(accuracies) / 2)
    return max(found)


def test_cascades_do_and_cost_what_their_inputs_do_and_cost(runs: list[Run]) -> None:
    found = cascade_runs(runs, STUDY, FIELD)
    by_name = {(run.record.contender, run.record.seed): run for run in runs}
    assert [(run.record.variant, run.record.target) for run in found[::2]] == [
        (variant, target)
        for target in (0.9, 1.0, 1.25)
        for variant in [AS_TRAINED if target == 1 else WITHIN] * 2
    ]
    for run, dealt in zip(found[::2], found[1::2], strict=True):
        one = run.record
        assert one.threshold is not None
        first, then = (by_name[name, one.seed] for name in one.made_of)
        accuracy, spent = plain(first, then, one.threshold, "test")
        assert one.accuracy == pytest.approx(accuracy)
        assert one.share == pytest.approx(spent)
        assert one.energy_j == pytest.approx(spent * BUDGET) == pytest.approx(run.cost.mean())
        assert one.bitops == pytest.approx(100 * spent)
        assert one.latency_s == pytest.approx(7 * spent)
        assert first.answers is not None
        passed = (first.answers.confidence < one.threshold).mean()
        mixed = (1 - passed) * first.record.accuracy + passed * then.record.accuracy
        assert dealt.record.variant == SHUFFLED
        assert dealt.record.accuracy == pytest.approx(mixed)
        assert (dealt.record.energy_j, dealt.record.share) == (one.energy_j, one.share)


def test_the_pair_and_its_thresholds_are_those_that_validation_calls_best(runs: list[Run]) -> None:
    found = cascade_runs(runs, STUDY, FIELD)
    budgets = sorted((*STUDY.grid, 1.0))
    for number, allowed in enumerate(budgets):
        pair = [run.record for run in found[::2] if run.record.target == allowed]
        assert len({one.made_of for one in pair}) == 1
        by_name = {(run.record.contender, run.record.seed): run for run in runs}
        for one in pair:
            assert one.threshold is not None
            first, then = (by_name[name, one.seed] for name in one.made_of)
            known = plain(first, then, one.threshold, "validation")
            assert one.validation_accuracy == pytest.approx(known[0])
            assert known[1] <= allowed + 1e-9
        mean = sum(one.validation_accuracy or 0.0 for one in pair) / 2
        assert mean == pytest.approx(best_by_trying(runs, budgets[: number + 1]))


def test_a_cascade_spends_what_it_may_and_no_more(runs: list[Run]) -> None:
    first, then = runs[0], runs[2]
    assert first.validation is not None
    for allowed in (0.3, 0.5, 1.1999, 1.2001, 9.0):
        cascade = Cascade.within(first, then, allowed, "mean")
        assert cascade.validation_share <= allowed + 1e-12
        more = np.unique([*first.validation.confidence, 2.0])
        if cascade.threshold <= 1:  # not all are passed on
            next_one = float(more[more > cascade.threshold][0])
            assert plain(first, then, next_one, "validation")[1] > allowed
    tail = Cascade.within(first, then, 0.5, "p90")  # between the 4th and the 5th dearest of 40
    assert int((first.validation.confidence < tail.threshold).sum()) in (3, 4)
    assert tail.validation_share <= 0.5


def test_there_is_no_cascade_below_the_cheapest_network(runs: list[Run]) -> None:
    dear = [run for run in runs if run.record.share > 1.3]
    assert cascade_runs(dear, STUDY, FIELD) == []
    nobody = LineUp((Contender("s", "static", "s", CONFIG),), {}, BUDGET, "")
    assert cascade_runs(runs, STUDY, nobody) == []
