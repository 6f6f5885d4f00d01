"""Branches drawn for the gates' gradient: right on average, exact if all are drawn, and fewer."""

import pytest
import torch
from deciding import SIDE, images, trained
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.gates import Trials, probabilities, uniform
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.gate_gradient import GateGradient, all_others, drawn_others
from dfs_hw.quantize.minmax import MinMaxActivations
from dfs_hw.quantize.quantizers import family
from dfs_hw.training.config import TrainConfig

GRID = 16
"""Draws at the middles of so many equal parts of [0, 1) stand for all."""


def draws(part: int, *shape: int) -> Tensor:
    return torch.full(shape, (part + 0.5) / GRID)


@given(
    st.lists(st.integers(0, GRID), min_size=1, max_size=4),
    st.sampled_from([0.5, 1.0, 2.0, 8.0]),
)
def test_weights_are_1_on_average_wherever_a_choice_has_a_probability(
    sixteenths: list[int], tries: float
) -> None:
    likely = torch.tensor([sixteenths]) / (GRID * tries)
    shape = (1, 1, len(sixteenths))
    weights = [Trials(tries, draws(part, *shape)).weights(0, likely) for part in range(GRID)]
    assert torch.allclose(torch.stack(weights).mean(0), (likely > 0).float())


def test_no_more_branches_are_drawn_than_asked_for_and_none_that_cannot_be() -> None:
    generator = torch.Generator().manual_seed(0)
    offered = torch.tensor([True, True, False, True])
    likely = probabilities(torch.randn(4000, 4, generator=generator), offered)
    weights = Trials(0.7, uniform((4000, 1, 4), generator)).weights(0, likely)
    assert 0.66 < (weights > 0).sum(1).float().mean() < 0.74  # no chance reaches 1 here
    assert not weights[:, 2].any()


def test_what_is_too_unlikely_to_be_drawn_has_no_weight_beyond_all_numbers() -> None:
    likely = torch.tensor([[1e-40, 1e-12, 1.0]])
    assert Trials(1.0, torch.zeros(1, 1, 3)).weights(0, likely).tolist() == [[0, 0, 1]]


@pytest.mark.slow
@given(
    counts=st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any),
    seed=st.integers(0, 2**16),
)
def test_only_what_was_drawn_runs_and_its_mean_is_the_gradient_of_all(
    counts: list[int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    inputs = sum(counts)
    made = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    x, upstream = torch.randn(2, inputs, 5, generator=generator, dtype=torch.float64)
    factors = torch.tensor([-2.0, 0.5, 3.0])
    ran: list[tuple[int, int]] = []

    def run(some: Tensor, choice: int, rows: slice | Tensor) -> Tensor:
        assert torch.equal(x[rows], some)
        ran.append((choice, len(some)))
        return some * factors[choice]

    def gradient(others: list) -> Tensor:  # type: ignore[type-arg]
        gate = functional.one_hot(made, 3).double().requires_grad_()
        output = x * factors[made][:, None]
        out = GateGradient.apply(output, gate, x, run, (True, True, True), others)
        (out * upstream).sum().backward()
        assert gate.grad is not None
        return gate.grad

    exact = gradient(all_others(counts, (True, True, True)))
    assert torch.allclose(exact, (x * upstream).sum(1, keepdim=True) * factors)
    assert sum(rows for _, rows in ran) == 2 * inputs

    eighths = torch.randint(1, 9, (inputs, 3), generator=generator)
    found = []
    for part in range(GRID):
        weights = Trials(1.0, draws(part, inputs, 1, 3)).weights(0, eighths / 8)
        weights = weights.masked_fill(functional.one_hot(made, 3).bool(), 0)
        ran.clear()
        found.append(gradient(drawn_others(weights.double())))
        drawn = (weights > 0).sum(0).tolist()
        assert ran == [(choice, rows) for choice, rows in enumerate(drawn) if rows]
    assert torch.allclose(torch.stack(found).mean(0), exact)


def gate_gradient(network: DynamicNetwork, x: Tensor, trials: Trials | None) -> Tensor:
    network.zero_grad()
    logits = network(x, trials=trials).logits
    functional.cross_entropy(logits, torch.arange(len(x)) % 5).backward()
    grads = [p.grad for p in network.gate.parameters() if p.grad is not None]
    return torch.cat([grad.flatten() for grad in grads])


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["normal", "lsq"])
def test_with_every_branch_drawn_a_step_has_the_exact_gradient(quantizer: str) -> None:
    network = trained(quantizer=quantizer).train()
    network.normalize_by_batch(False)
    x = images(24)
    everything = Trials(1e9, torch.rand(24, len(network.units), 4))
    exact, drawn = (gate_gradient(network, x, trials) for trials in (None, everything))
    assert torch.allclose(drawn, exact, rtol=1e-3, atol=1e-5 * float(exact.abs().max()))


@pytest.mark.slow
def test_a_network_learns_the_exact_gradient_on_average() -> None:
    network = trained().train()
    network.normalize_by_batch(False)
    x = images(24)
    exact = gate_gradient(network, x, None)
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(60):
        trials = Trials(1.0, uniform((24, len(network.units), 4), generator))
        found.append(gate_gradient(network, x, trials))
    mean, spread = torch.stack(found).mean(0), torch.stack(found).std(0) / 60**0.5
    assert torch.cosine_similarity(mean, exact, dim=0) > 0.95
    assert ((mean - exact).abs() < 5 * spread + 1e-6).all()


def test_branches_are_not_drawn_where_norms_go_by_the_batch() -> None:
    with pytest.raises(InputError, match="tries goes with norm=running"):
        TrainConfig(tries=1.0, norm="batch")
    with pytest.raises(InputError, match="tries must be at least 0"):
        TrainConfig(tries=-1.0)


@pytest.mark.parametrize("name", ["normal", "minmax"])
def test_a_pass_without_statistics_goes_by_the_tensor_at_hand(name: str) -> None:
    """Also if statistics were there and an untrained state was loaded."""
    quantizer = family(name).activations((2, 8), False)
    if isinstance(quantizer, MinMaxActivations):
        quantizer.by_batch = False
    untrained = {name: value.clone() for name, value in quantizer.state_dict().items()}
    x = torch.rand(4, 3, SIDE, SIDE)
    with torch.no_grad():
        at_hand = quantizer(x, 0)
    quantizer(10 * x, 0)
    quantizer.absorb(quantizer.pending, torch.tensor([1.0, 0.0]))
    with torch.no_grad():
        known = quantizer(x, 0)
        quantizer.load_state_dict(untrained)
        again = quantizer(x, 0)
    assert torch.equal(again[0] * again[1], at_hand[0] * at_hand[1])
    assert not torch.equal(known[0] * known[1], at_hand[0] * at_hand[1])
