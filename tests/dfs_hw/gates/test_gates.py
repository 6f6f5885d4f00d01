"""Gates of every family: what they look at, their knob, and where they start."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from gating import CHANNELS, LEARNED, features_of, generator, logits_of
from torch import Tensor, nn

from accel_models.errors import InputError
from accel_models.precision import FULL, Precision
from dfs_hw.gates import GATES, Gate, decide, make_gate
from dfs_hw.gates.gate import State
from dfs_hw.gates.projection import Projection
from dfs_hw.quantize.layers import QuantizedLinear
from dfs_hw.quantize.observer import Observer


@pytest.fixture(params=LEARNED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fresh(name: str, precision: Precision = FULL, *, knob: bool = False, seed: int = 0) -> Gate:
    torch.manual_seed(seed)
    return make_gate(name, CHANNELS, 4, precision, knob=knob)


def settled(gate: Gate, price: Tensor | None = None) -> Gate:
    """A gate whose ranges have seen data, with gradients and so with statistics."""
    gate.train()
    logits_of(gate, features_of(16, seed=9), price)
    for module in gate.modules():
        if isinstance(module, Observer):
            module.absorb(module.pending, module.pending[:, 0].clamp_max(1))
    return gate.eval()


def split(gate: Gate, features: list[Tensor], size: int, price: Tensor | None = None) -> Tensor:
    """`logits_of`, in batches of `size` inputs."""
    batches = zip(*(x.split(size) for x in features), strict=True)
    prices = [None] * len(features[0]) if price is None else price.split(size)
    parts = (logits_of(gate, list(b), p) for b, p in zip(batches, prices, strict=False))
    return torch.cat(list(parts))


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("knob", [False, True])
@torch.no_grad()
def test_logits_of_an_input_do_not_depend_on_the_batch(name: str, bits: int, knob: bool) -> None:
    drawn = generator(3)
    price = torch.rand(16, generator=drawn) if knob else None
    with torch.enable_grad():
        gate = settled(fresh(name, Precision(bits, bits), knob=knob), price)
    for parameter_name, parameter in gate.named_parameters():
        if parameter_name.endswith("price"):
            parameter.copy_(torch.randn(parameter.shape, generator=drawn))
    features = features_of(16)
    whole = logits_of(gate, features, price)
    assert whole.isfinite().all()
    assert len(whole.flatten(1).unique(dim=0)) > 1
    for size in (1, 5):
        assert torch.equal(split(gate, features, size, price), whole)


def test_the_layers_that_run_for_a_decision_are_those_listed_in_that_order(name: str) -> None:
    gate, features = fresh(name), features_of(2)
    ran: list[nn.Module] = []
    for module in gate.modules():
        if isinstance(module, QuantizedLinear):
            module.register_forward_hook(lambda layer, *_: ran.append(layer))
    state = gate.begin(features[0])
    for unit, x in enumerate(features):
        _, state = gate(unit, x, state)
        listed = [layer for _, layer in gate.layers(unit)]
        assert len(ran) == len(listed)
        assert all(first is second for first, second in zip(ran, listed, strict=True))
        ran.clear()


def test_the_upfront_gate_computes_everything_for_the_first_unit() -> None:
    gate = fresh("upfront")
    assert [part for part, _ in gate.layers(0)] == ["embed", "head"]
    assert gate.layers(1) == gate.layers(2) == []


@torch.no_grad()
def test_families_differ_in_what_a_decision_looks_at(name: str) -> None:
    """Which features the decision about the third unit depends on."""
    gate, features = fresh(name), features_of(1)
    plain, looks_at = logits_of(gate, features)[:, 2], set()
    for unit in range(3):
        changed = [x * 2 if number == unit else x for number, x in enumerate(features)]
        if not torch.equal(logits_of(gate, changed)[:, 2], plain):
            looks_at.add(unit)
    assert looks_at == {"lstm": {0, 1, 2}, "feedforward": {2}, "upfront": {0}}[name]
    assert (gate.memory is not None) == (name == "lstm")
    assert all(gate.memory in (None, *dict(gate.layers(unit))) for unit in range(3))


@torch.no_grad()
def test_gates_look_at_the_mean_over_the_image_alone(name: str) -> None:
    gate, features = fresh(name).double(), [x.double() for x in features_of(2)]
    means = [x.mean((2, 3), keepdim=True) for x in features]
    assert torch.allclose(logits_of(gate, features), logits_of(gate, means), atol=1e-12)


@pytest.mark.parametrize(("signed", "same"), [(False, True), (True, False)])
@torch.no_grad()
def test_signed_gates_tell_negative_features_from_none(name: str, signed: bool, same: bool) -> None:
    with torch.enable_grad():
        gate = settled(make_gate(name, CHANNELS, 4, Precision(8, 8), signed=signed))
    features = features_of(2)
    none = logits_of(gate, [torch.zeros_like(x) for x in features])
    assert torch.equal(logits_of(gate, [-x for x in features]), none) == same


@torch.no_grad()
def test_feedforward_and_upfront_gates_are_two_layers_around_a_relu() -> None:
    features = features_of(3)
    each, upfront = fresh("feedforward"), fresh("upfront")
    wanted = [two_layers(each, unit, x) for unit, x in enumerate(features)]
    assert torch.allclose(logits_of(each, features), torch.stack(wanted, 1), atol=1e-5)
    at_once = two_layers(upfront, 0, features[0]).view(3, len(CHANNELS), 4)
    assert torch.allclose(logits_of(upfront, features), at_once, atol=1e-5)


def two_layers(gate: Gate, unit: int, features: Tensor) -> Tensor:
    first, second = (layer for _, layer in gate.layers(unit))
    hidden = features.mean((2, 3)) @ first.weight.T + first.bias
    return hidden.clamp_min(0) @ second.weight.T + second.bias


# --- The knob


def projections(gate: Gate) -> list[Projection]:
    return [module for module in gate.modules() if isinstance(module, Projection)]


@torch.no_grad()
def test_a_gate_with_a_knob_starts_as_the_same_gate_without(name: str) -> None:
    plain, knob = fresh(name), fresh(name, knob=True)
    features = features_of(4)
    for price in (0.0, 0.3, 1.0):
        with_price = logits_of(knob, features, torch.full((4,), price))
        assert torch.equal(with_price, logits_of(plain, features))


@torch.no_grad()
def test_a_price_acts_as_a_bias_of_its_first_two_powers(name: str) -> None:
    knob, plain = fresh(name, knob=True).double(), fresh(name).double()
    plain.load_state_dict(
        {key: value for key, value in knob.state_dict().items() if not key.endswith("price")}
    )
    features, price = [x.double() for x in features_of(4)], 0.4
    for priced, fixed in zip(projections(knob), projections(plain), strict=True):
        assert priced.price is not None
        assert fixed.linear.bias is not None
        priced.price.normal_()
        fixed.linear.bias += priced.price[0] * price + priced.price[1] * price**2
    made = logits_of(knob, features, torch.full((4,), price, dtype=torch.double))
    assert torch.allclose(made, logits_of(plain, features), atol=1e-12)


@torch.no_grad()
def test_inputs_of_one_batch_can_have_different_prices(name: str) -> None:
    gate, features = fresh(name, knob=True), features_of(2)
    for projection in projections(gate):
        assert projection.price is not None
        projection.price.fill_(1.0)
    both = logits_of(gate, features, torch.tensor([0.2, 0.9]))
    for index, price in enumerate((0.2, 0.9)):
        alone = logits_of(gate, [x[index : index + 1] for x in features], torch.tensor([price]))
        assert torch.allclose(both[index], alone[0], atol=1e-6)


def test_every_projection_learns_from_the_price_from_the_start(name: str) -> None:
    gate = fresh(name, Precision(8, 8), knob=True)
    price = torch.linspace(0.1, 1, 16)
    gate = settled(gate, price).train()
    logits = logits_of(gate, features_of(16), price)
    (logits * torch.randn(logits.shape, generator=generator())).sum().backward()
    for projection in projections(gate):
        assert projection.price is not None
        assert projection.price.grad is not None
        assert (projection.price.grad.abs().sum(1) > 0).all()


def test_a_price_is_given_exactly_to_gates_with_a_knob(name: str) -> None:
    x = torch.zeros(4, 3, 2, 2)
    with pytest.raises(InputError, match="has no knob"):
        fresh(name).begin(x, torch.zeros(4))
    with pytest.raises(InputError, match="give the price"):
        fresh(name, knob=True).begin(x)
    with pytest.raises(InputError, match=r"each of 4 inputs, not a tensor \[\]"):
        fresh(name, knob=True).begin(x, torch.tensor(0.5))


# --- Starting points, names


@pytest.mark.parametrize("choice", [0, 3])
def test_a_preferred_choice_is_ahead_by_the_margin_where_features_say_nothing(
    name: str, choice: int
) -> None:
    gate = fresh(name)
    gate.prefer(1, 2.0)  # and then think again
    gate.prefer(choice, 3.0)
    for head in gate.heads():
        nn.init.zeros_(head.weight)
    logits = logits_of(gate, features_of(5))
    probabilities = logits.softmax(-1)
    assert (logits.argmax(-1) == choice).all()
    assert torch.allclose(probabilities[..., choice], torch.tensor(math.exp(3) / (math.exp(3) + 3)))
    assert round(probabilities[0, 0, choice].item(), 2) == 0.87


@torch.no_grad()
def test_a_wide_margin_decides_alone_but_never_for_what_is_not_offered(name: str) -> None:
    gate = fresh(name)
    gate.prefer(2, 1e3)
    logits = logits_of(gate, features_of(5))
    assert (logits.argmax(-1) == 2).all()
    offered = torch.tensor([True, True, False, True])
    assert (decide(logits, offered).argmax(-1) != 2).all()


def test_preferences_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="4 choices, counted from 0, has no choice 4"):
        fresh(name).prefer(4, 1.0)
    with pytest.raises(InputError, match="above 0, got -1"):
        fresh(name).prefer(0, -1.0)


def test_gates_are_made_by_name(name: str) -> None:
    assert type(fresh(name)) is GATES[name]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_gate("rnn", CHANNELS, 4, FULL), "'rnn'.*lstm, feedforward, upfront"),
        (lambda: make_gate("lstm", (), 4, FULL), "there are none"),
        (lambda: make_gate("lstm", CHANNELS, 0, FULL), "at least one choice, got 0"),
    ],
)
def test_gates_that_cannot_be_made_are_refused(make: Callable[[], Gate], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_every_tensor_of_a_state_has_its_inputs_first(name: str) -> None:
    """So that a caller can go on with some of the inputs alone."""
    gate, features = fresh(name, knob=True), features_of(6)
    price, chosen = torch.rand(6), torch.tensor([4, 1])
    _, state = gate(0, features[0], gate.begin(features[0], price))
    assert state.price is not None
    some = State(tuple(tensor[chosen] for tensor in state.known), state.price[chosen])
    for_all, _ = gate(1, features[1], state)
    for_some, _ = gate(1, features[1][chosen], some)
    assert torch.allclose(for_some, for_all[chosen], atol=1e-6)
