"""Decisions from logits: what is chosen, with which gradient, under which noise."""

from __future__ import annotations

import math

import pytest
import torch
from gating import generator
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from accel_models.errors import InputError
from dfs_hw.gates import ESTIMATORS, decide, gumbel_noise, noise_is_on

ALL = torch.ones(3, dtype=torch.bool)

Rows = list[list[float]]
rows_of_logits: st.SearchStrategy[Rows] = st.lists(
    st.lists(st.integers(-6, 6).map(lambda i: i / 2), min_size=4, max_size=4),
    min_size=1,
    max_size=6,
)
offers = st.lists(st.booleans(), min_size=4, max_size=4).filter(any)


@given(rows_of_logits, offers, st.sampled_from(ESTIMATORS), st.booleans())
def test_a_decision_is_exactly_one_hot_and_takes_the_first_largest_logit_offered(
    rows: Rows, offered: list[bool], estimator: str, draws: bool
) -> None:
    logits = torch.tensor(rows, requires_grad=True)
    noise = gumbel_noise(logits.shape, generator()) if draws and estimator == "gumbel" else None
    gates = decide(logits, torch.tensor(offered), estimator=estimator, noise=noise)
    scores = (logits if noise is None else logits + noise).tolist()
    for gate, row in zip(gates.tolist(), scores, strict=True):
        best = max(score for score, can in zip(row, offered, strict=True) if can)
        first = next(k for k in range(4) if offered[k] and row[k] == best)
        assert gate == [float(k == first) for k in range(4)]


@given(rows_of_logits, offers, st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from(ESTIMATORS))
def test_the_gradient_is_that_of_the_probabilities_of_what_is_offered(
    rows: Rows, offered: list[bool], temperature: float, estimator: str
) -> None:
    """By hand: d(p . worth)/d(logit k) = p_k (worth_k - p . worth) / temperature."""
    logits = torch.tensor(rows, dtype=torch.double, requires_grad=True)
    worth = torch.tensor([3.0, -5.0, 11.0, 2.0], dtype=torch.double)
    noise = gumbel_noise(logits.shape, generator()).double() if estimator == "gumbel" else None
    gates = decide(
        logits, torch.tensor(offered), estimator=estimator, temperature=temperature, noise=noise
    )
    (gates * worth).sum().backward()
    assert logits.grad is not None
    softness = temperature if estimator == "gumbel" else 1.0
    scores = (logits.detach() if noise is None else logits.detach() + noise) / softness
    for grad, row in zip(logits.grad.tolist(), scores.tolist(), strict=True):
        weights = [math.exp(s) * can for s, can in zip(row, offered, strict=True)]
        p = [weight / sum(weights) for weight in weights]
        mean = sum(a * b for a, b in zip(p, worth.tolist(), strict=True))
        wanted = [a * (b - mean) / softness for a, b in zip(p, worth.tolist(), strict=True)]
        assert grad == pytest.approx(wanted, abs=1e-12)
        assert all(g == 0 for g, can in zip(grad, offered, strict=True) if not can)


def test_units_with_different_offers_can_be_decided_at_once() -> None:
    offered = torch.tensor([[True, True], [False, True]])
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0]]).expand(5, 2, 2)
    assert (decide(logits, offered).argmax(-1) == torch.tensor([0, 1])).all()


def test_the_released_fault_makes_every_choice_that_ties() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]], requires_grad=True)
    both = decide(logits, ALL, ties_run_both=True)
    assert both.tolist() == [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    assert decide(logits, ALL)[0].tolist() == [1.0, 0.0, 0.0]
    worth = torch.tensor([1.0, 2.0, 4.0])
    (faulty,) = torch.autograd.grad((both * worth).sum(), logits)
    (sound,) = torch.autograd.grad((decide(logits, ALL) * worth).sum(), logits)
    assert torch.equal(faulty, sound)
    only = decide(torch.zeros(1, 3), torch.tensor([False, True, True]), ties_run_both=True)
    assert only.tolist() == [[0.0, 1.0, 1.0]]


def test_noise_makes_a_decision_a_draw_from_the_softmax() -> None:
    """The Gumbel-max trick, by a chi-squared test."""
    logits = torch.tensor([1.0, 0.0, -1.0]).expand(20_000, 3)
    noise = gumbel_noise(logits.shape, generator())
    counts = decide(logits, ALL, estimator="gumbel", temperature=0.3, noise=noise).sum(0)
    expected = logits[0].double().softmax(0) * len(logits)
    assert stats.chisquare(counts.double().numpy(), expected.numpy()).pvalue > 0.01


def test_noise_has_the_distribution_of_gumbel_and_repeats_with_its_seed() -> None:
    noise = gumbel_noise((100, 100), generator(1))
    assert noise.dtype == torch.float32
    assert stats.kstest(noise.flatten().double().numpy(), stats.gumbel_r.cdf).pvalue > 0.01
    assert torch.equal(noise, gumbel_noise((100, 100), generator(1)))
    assert not torch.equal(noise, gumbel_noise((100, 100), generator(2)))


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_without_noise_the_temperature_does_not_change_the_choice(temperature: float) -> None:
    logits = torch.randn(50, 3, generator=generator())
    gates = decide(logits, ALL, estimator="gumbel", temperature=temperature)
    assert torch.equal(gates.argmax(-1), logits.argmax(-1))


def test_noise_is_off_when_it_is_in_the_code_of_dynconv() -> None:
    """There, by default, 350 epochs counted from 0, without noise where epoch > 0.8 * 350."""
    assert [epoch for epoch in range(350) if not noise_is_on(epoch / 350)] == list(range(281, 350))
    assert noise_is_on(0)
    assert not noise_is_on(1)
    with pytest.raises(InputError, match=r"0 to 1, got 1\.5"):
        noise_is_on(1.5)


def test_decisions_that_cannot_be_made_as_asked_are_refused() -> None:
    logits = torch.zeros(2, 3)
    with pytest.raises(InputError, match=r"'reinforce'.*straight-through, gumbel"):
        decide(logits, ALL, estimator="reinforce")
    with pytest.raises(InputError, match=r"above 0, got 0\.0"):
        decide(logits, ALL, estimator="gumbel", temperature=0.0)
    with pytest.raises(InputError, match="takes no noise"):
        decide(logits, ALL, noise=logits)
    with pytest.raises(InputError, match=r"\[2, 3\].*not \[3\]"):
        decide(logits, ALL, estimator="gumbel", noise=torch.zeros(3))
