"""The recurrent gate of SkipNet and DFS: every decision remembers what was seen before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from accel_models.precision import Precision
from dfs_hw.gates.gate import Gate, State, pooled
from dfs_hw.gates.projection import Projection
from dfs_hw.quantize.layers import QuantizedLinear


class RecurrentGate(Gate):
    """One LSTM cell shared by all units, whose state starts at zero for every input.

    After DFS (Shen et al., "Fractional Skipping: Towards Finer-Grained Dynamic CNN Inference", AAAI
    2020), whose gate is the recurrent one of SkipNet (Wang et al., ECCV 2018) with more outputs:
    the pooled input of a unit goes through a projection of its own into the cell, and a head shared
    by all units reads the cell. At ``FULL`` it computes what the released code does, with fewer
    parameters: the release adds two biases in the LSTM where one does, and projects the output of
    the last block for a decision that nobody reads. It starts from other random weights.

    Args:
        channels: of the input of each unit.
        choices: number of choices of a unit, K.
        precision: of the gate's arithmetic; ``FULL`` for floating point.
        signed: True if inputs of units can be negative, as they are not after a ReLU.
        knob: whether the price of cost is an input, see `Gate`; it enters by every projection.
        embedding: outputs of a projection; 10 in DFS.
        hidden: size of the LSTM's state; 10 in DFS.
    """

    memory: ClassVar[str | None] = "lstm"

    def __init__(
        self,
        channels: Sequence[int],
        choices: int,
        precision: Precision,
        *,
        signed: bool = False,
        knob: bool = False,
        embedding: int = 10,
        hidden: int = 10,
    ) -> None:
        super().__init__(choices, knob)
        self.hidden = hidden
        self.embed = nn.ModuleList(
            Projection(width, embedding, precision, signed=signed, knob=knob) for width in channels
        )
        self.cell = QuantizedLinear(embedding + hidden, 4 * hidden, precision, signed=True)
        self.head = QuantizedLinear(hidden, choices, precision, signed=True)

    def forward(
        self, unit: int, features: Tensor, state: State, belief: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden, cell = state.known
        embedded = self.embed[unit](pooled(features), state.price)
        hidden, cell = lstm_step(self.cell(torch.cat([embedded, hidden], 1)), cell)
        return self.head(hidden), State((hidden, cell), state.price)

    def layers(self, unit: int) -> list[tuple[str, QuantizedLinear]]:
        embed = cast(Projection, self.embed[unit]).linear
        return [("embed", embed), ("lstm", self.cell), ("head", self.head)]

    def heads(self) -> list[QuantizedLinear]:
        return [self.head]

    def _know(self, features: Tensor, price: Tensor | None) -> tuple[Tensor, ...]:
        zeros = features.new_zeros(len(features), self.hidden)
        return zeros, zeros


def lstm_step(sums: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000).

    Args:
        sums: weighted inputs of its input gate, forget gate, candidate and output gate, in the
            order of PyTorch, [N, 4 H].
        cell: its cell state, [N, H].

    Returns:
        Hidden and cell state, [N, H] each.
    """
    # Views, row by row: over one contiguous tensor, PyTorch's CPU rounds sigmoids in the last few
    # elements differently, and which inputs those belong to depends on the size of the batch.
    enter, keep, candidate, leave = sums.chunk(4, 1)
    cell = keep.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell
