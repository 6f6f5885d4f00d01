"""The feed-forward gate: every unit decides by its own input alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from accel_models.precision import Precision
from dfs_hw.gates.gate import Gate, State, pooled
from dfs_hw.gates.projection import Projection
from dfs_hw.quantize.layers import QuantizedLinear


class FeedforwardGate(Gate):
    """Two layers with a ReLU between them for each unit, and no memory.

    After the feed-forward gates of SkipNet (Wang et al., "SkipNet: Learning Dynamic Routing in
    Convolutional Networks", ECCV 2018). Those convolve before they pool, which costs at least an
    eighth of the block they may save. Here features are pooled first, so a decision of h hidden
    features takes h (C + K) multiplications. DFS's LSTM takes 10 (C + K) + 800: with h = 16 the
    feed-forward gate takes fewer while C + K is below 134. What it needs more of is weights, as no
    unit shares them with another.

    Args:
        channels: of the input of each unit, C.
        choices: number of choices of a unit, K.
        precision: of the gate's arithmetic; ``FULL`` for floating point.
        signed: True if inputs of units can be negative, as they are not after a ReLU.
        knob: whether the price of cost is an input, see `Gate`; it enters before the ReLU.
        hidden: features between the two layers.
    """

    def __init__(
        self,
        channels: Sequence[int],
        choices: int,
        precision: Precision,
        *,
        signed: bool = False,
        knob: bool = False,
        hidden: int = 16,
    ) -> None:
        super().__init__(choices, knob)
        self.embed = nn.ModuleList(
            Projection(width, hidden, precision, signed=signed, knob=knob) for width in channels
        )
        self.head = nn.ModuleList(QuantizedLinear(hidden, choices, precision) for _ in channels)

    def forward(
        self, unit: int, features: Tensor, state: State, belief: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden = self.embed[unit](pooled(features), state.price).relu()
        return self.head[unit](hidden), state

    def layers(self, unit: int) -> list[tuple[str, QuantizedLinear]]:
        embed = cast(Projection, self.embed[unit]).linear
        return [("embed", embed), ("head", self.heads()[unit])]

    def heads(self) -> list[QuantizedLinear]:
        return cast(list[QuantizedLinear], list(self.head))
