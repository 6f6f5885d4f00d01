"""The recurrent gate of DFS, against its released code and the sizes published for it."""

from __future__ import annotations

import pytest
import torch
from gating import CHANNELS, features_of, logits_of
from torch import Tensor, nn

from accel_models.precision import FULL
from dfs_hw.gates import Gate, RecurrentGate, make_gate
from dfs_hw.gates.recurrent import lstm_step
from dfs_hw.quantize.layers import QuantizedLinear

RESNET38 = (*(16,) * 6, *(32,) * 6, *(64,) * 5)
"""Channels of what the 17 gated blocks read: the outputs of all blocks but the last."""
RELEASED_CHOICES = 7


def released_modules() -> tuple[nn.ModuleList, nn.LSTM, nn.Linear]:
    """What the released code of DFS makes its gates of, for ResNet-38."""
    embed = nn.ModuleList(nn.Conv2d(width, 10, 1) for width in (*RESNET38, 64))
    return embed, nn.LSTM(10, 10), nn.Linear(10, RELEASED_CHOICES)


def parameters(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@torch.no_grad()
def test_in_floating_point_the_recurrent_gate_computes_what_the_released_one_does() -> None:
    torch.manual_seed(0)
    embed, lstm, head = (module.double() for module in released_modules())
    gate = RecurrentGate(RESNET38, RELEASED_CHOICES, FULL).double()
    for ours, theirs in zip(gate.embed, embed, strict=False):  # theirs has one more
        copy_into(ours.linear, theirs.weight.flatten(1), theirs.bias)
    copy_into(
        gate.cell,
        torch.cat([lstm.weight_ih_l0, lstm.weight_hh_l0], 1),
        lstm.bias_ih_l0 + lstm.bias_hh_l0,
    )
    copy_into(gate.head, head.weight, head.bias)

    features = [torch.rand(5, width, 8, 8, dtype=torch.double) * 3 for width in RESNET38]
    embedded = [conv(nn.AvgPool2d(8)(x)) for conv, x in zip(embed, features, strict=False)]
    hidden, _ = lstm(torch.stack(embedded).flatten(2))
    wanted = head(hidden).transpose(0, 1)
    assert (wanted.std(0).amax(-1) > 1e-3).all()  # the inputs matter, in every decision
    assert torch.allclose(logits_of(gate, features), wanted, rtol=0, atol=1e-13)


def copy_into(layer: QuantizedLinear, weight: Tensor, bias: Tensor) -> None:
    assert layer.bias is not None
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def test_parameters_are_those_counted_in_the_release_but_for_what_does_nothing() -> None:
    """Counted by running the release: 957 for LSTM and head, 7,857 for all gates of ResNet-38."""
    embed, lstm, head = released_modules()
    assert (parameters(lstm), parameters(head)) == (880, 77)
    assert parameters(embed, lstm, head) == 7857
    of_the_last_block, second_bias = 64 * 10 + 10, 4 * 10
    gate = RecurrentGate(RESNET38, RELEASED_CHOICES, FULL)
    assert parameters(gate) == 7857 - of_the_last_block - second_bias


def macs(gate: Gate, unit: int) -> int:
    return sum(layer.weight.numel() for _, layer in gate.layers(unit))


def test_a_recurrent_decision_takes_the_multiplications_published_for_dfs() -> None:
    gate = make_gate("lstm", RESNET38, RELEASED_CHOICES, FULL)
    assert {macs(gate, unit) for unit in range(17)} == {1030, 1190, 1510}


def test_a_feedforward_decision_takes_fewer_multiplications_but_the_gate_more_weights() -> None:
    recurrent, feedforward = (
        make_gate(name, (16, 126, 127), 7, FULL) for name in ("lstm", "feedforward")
    )
    assert macs(feedforward, 0) == 16 * (16 + 7)
    assert macs(feedforward, 1) < macs(recurrent, 1)
    assert macs(feedforward, 2) > macs(recurrent, 2)  # C + K = 134
    weights = [parameters(make_gate(name, RESNET38, 7, FULL)) for name in ("lstm", "feedforward")]
    assert weights[0] < weights[1]


def test_sizes_of_the_recurrent_gate_can_be_set() -> None:
    gate = RecurrentGate(CHANNELS, 4, FULL, embedding=6, hidden=5)
    assert [tuple(layer.weight.shape) for _, layer in gate.layers(2)] == [(6, 5), (20, 11), (4, 5)]
    assert logits_of(gate, features_of(2)).shape == (2, 3, 4)


@pytest.mark.parametrize("hidden", [1, 10, 20, 32])
def test_one_step_of_the_lstm_does_not_depend_on_the_batch(hidden: int) -> None:
    """Not even by the rounding of its functions, whose vector code differs from the scalar one."""
    sums, cell = torch.randn(33, 4 * hidden), torch.randn(33, hidden)
    whole = lstm_step(sums, cell)
    for size in (1, 7):
        parts = zip(sums.split(size), cell.split(size), strict=True)
        hidden_parts, cell_parts = zip(*(lstm_step(*part) for part in parts), strict=True)
        assert torch.equal(torch.cat(hidden_parts), whole[0])
        assert torch.equal(torch.cat(cell_parts), whole[1])
