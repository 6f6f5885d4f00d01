import torch
from hypothesis import given
from hypothesis import strategies as st

from accel_models.precision import Precision
from dfs_hw.gates import EMBEDDING, RecurrentGate, straight_through


@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=6))
def test_forward_value_is_exactly_one_hot(logits: list[list[float]]) -> None:
    probabilities = torch.tensor(logits, requires_grad=True).softmax(-1)
    gate = straight_through(probabilities)
    assert set(gate.flatten().tolist()) <= {0.0, 1.0}
    assert (gate.sum(-1) == 1).all()
    assert (probabilities.gather(-1, gate.argmax(-1, True)) == probabilities.amax(-1, True)).all()


def test_ties_choose_one() -> None:
    gate = straight_through(torch.full((3, 4), 0.25))
    assert (gate.sum(-1) == 1).all()


def test_gradient_is_that_of_the_probabilities() -> None:
    logits = torch.tensor([[0.3, -0.2, 1.1]], dtype=torch.double, requires_grad=True)
    price = torch.tensor([3.0, 5.0, 11.0], dtype=torch.double)
    (straight_through(logits.softmax(-1)) * price).sum().backward()
    step = 1e-6
    for index in range(3):
        shift = torch.zeros_like(logits)
        shift[0, index] = step
        higher = ((logits + shift).softmax(-1) * price).sum()
        lower = ((logits - shift).softmax(-1) * price).sum()
        difference = (higher - lower) / (2 * step)
        assert logits.grad is not None
        assert abs(logits.grad[0, index] - difference) < 1e-8


def test_state_advances_like_the_lstm_of_pytorch() -> None:
    torch.manual_seed(0)
    gate = RecurrentGate((6, 6), 4, Precision(24, 24)).double()
    reference = torch.nn.LSTMCell(EMBEDDING, EMBEDDING).double()
    with torch.no_grad():
        reference.weight_ih.copy_(gate.cell.weight[:, :EMBEDDING])
        reference.weight_hh.copy_(gate.cell.weight[:, EMBEDDING:])
        reference.bias_ih.copy_(gate.cell.bias.normal_())
        reference.bias_hh.zero_()
    features = torch.rand(5, 6, 3, 3, dtype=torch.double)
    state = gate.initial_state(features)
    wanted = (state.hidden, state.cell)
    for unit in range(2):
        embedded = gate.embed[unit](features.mean((2, 3)))
        wanted = reference(embedded, wanted)
        _, state = gate(unit, features, state)
        assert torch.allclose(state.hidden, wanted[0], atol=1e-4)
        assert torch.allclose(state.cell, wanted[1], atol=1e-4)


def test_later_decisions_remember_earlier_features() -> None:
    torch.manual_seed(1)
    gate = RecurrentGate((3, 3), 4, Precision(8, 8))
    bright, dark = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    states = [gate(0, x, gate.initial_state(x))[1] for x in (bright, dark)]
    after = [gate(1, bright, state)[1].hidden for state in states]
    assert not torch.equal(*after)
