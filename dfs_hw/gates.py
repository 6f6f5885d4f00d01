"""The recurrent gate that looks at a block's output and decides how the next block runs.

After DFS (Shen et al., "Fractional Skipping: Towards Finer-Grained Dynamic CNN Inference", AAAI
2020): each block's pooled output goes through a projection of its own into one LSTM cell shared
by all blocks, whose state carries from block to block and starts at zero for every input. Its
matrices compute on integers like every other layer, at the precision that always-run layers are
charged at; so a decision does not depend on which inputs share the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from accel_models.precision import Precision
from dfs_hw.quantize import QuantizedLinear

EMBEDDING = 10
"""Features of the pooled output, and of the LSTM's state (DFS)."""


class GateState(NamedTuple):
    """What the gate remembers of the blocks so far: two tensors [N, EMBEDDING]."""

    hidden: Tensor
    cell: Tensor


def straight_through(probabilities: Tensor) -> Tensor:
    """One-hot of the most probable choice whose gradient is that of the probabilities.

    The forward value is exactly 0 or 1, and exactly one choice is 1 even when two tie.

    Args:
        probabilities: [..., K].
    """
    chosen = probabilities.detach().argmax(-1, keepdim=True)
    hard = torch.zeros_like(probabilities).scatter_(-1, chosen, 1.0)
    return hard + (probabilities - probabilities.detach())


class RecurrentGate(nn.Module):
    """Decides one unit after another from the pooled output of the block before each.

    Args:
        channels: of the tensor that decision i is taken from, for each unit.
        choices: number of choices of a unit.
        precision: of the gate's own arithmetic.
    """

    def __init__(self, channels: tuple[int, ...], choices: int, precision: Precision) -> None:
        super().__init__()
        self.embed = nn.ModuleList(
            QuantizedLinear(width, EMBEDDING, precision) for width in channels
        )
        self.cell = QuantizedLinear(2 * EMBEDDING, 4 * EMBEDDING, precision, signed=True)
        self.head = QuantizedLinear(EMBEDDING, choices, precision, signed=True)

    def initial_state(self, x: Tensor) -> GateState:
        """Zeros for each input of the batch `x` [N, ...]."""
        zeros = x.new_zeros(x.shape[0], EMBEDDING)
        return GateState(zeros, zeros)

    def forward(self, unit: int, features: Tensor, state: GateState) -> tuple[Tensor, GateState]:
        """Decide unit number `unit`.

        Args:
            unit: which of the units.
            features: output of the block before it, [N, C, H, W].
            state: as left by the decision before.

        Returns:
            Straight-through one-hot choices [N, K], and the state for the next decision.
        """
        pooled = features.mean((2, 3))
        inputs = torch.cat([self.embed[unit](pooled), state.hidden], 1)
        state = _lstm(self.cell(inputs), state.cell)
        return straight_through(self.head(state.hidden).softmax(-1)), state


def _lstm(sums: Tensor, cell: Tensor) -> GateState:
    """State after one step of an LSTM (Hochreiter & Schmidhuber 1997, with forget gate), from the
    weighted sums [N, 4 * EMBEDDING] of its input, forget, candidate and output gates."""
    enter, keep, candidate, leave = sums.chunk(4, 1)
    cell = keep.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return GateState(leave.sigmoid() * cell.tanh(), cell)
