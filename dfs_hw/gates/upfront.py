"""The up-front gate: all units are decided before the first one runs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from accel_models.precision import Precision
from dfs_hw.gates.gate import Gate, State, pooled
from dfs_hw.gates.projection import Projection
from dfs_hw.quantize.layers import QuantizedLinear


class UpfrontGate(Gate):
    """One controller that reads the input of the first unit and decides all units at once.

    After DQNet (Liu et al., "Instance-Aware Dynamic Neural Network Quantization", CVPR 2022). Its
    released code has the same two layers with 64 features between them, but no ReLU, and pools to
    8 x 8 numbers per channel rather than to one. What later features could tell is lost to the
    decisions; in return the hardware knows every width before the first unit, so that weights of
    the right width can be fetched ahead.

    Args:
        channels: of the input of each unit; only the first is read.
        choices: number of choices of a unit, K.
        precision: of the gate's arithmetic; ``FULL`` for floating point.
        signed: True if inputs of units can be negative, as they are not after a ReLU.
        knob: whether the price of cost is an input, see `Gate`; it enters before the ReLU.
        hidden: features between the two layers; 64 in DQNet.
    """

    def __init__(
        self,
        channels: Sequence[int],
        choices: int,
        precision: Precision,
        *,
        signed: bool = False,
        knob: bool = False,
        hidden: int = 64,
    ) -> None:
        super().__init__(choices, knob)
        self.units = len(channels)
        self.embed = Projection(channels[0], hidden, precision, signed=signed, knob=knob)
        self.head = QuantizedLinear(hidden, self.units * choices, precision)

    def forward(
        self, unit: int, features: Tensor, state: State, belief: Tensor | None = None
    ) -> tuple[Tensor, State]:
        (logits,) = state.known
        return logits[:, unit], state

    def layers(self, unit: int) -> list[tuple[str, QuantizedLinear]]:
        return [] if unit else [("embed", self.embed.linear), ("head", self.head)]

    def heads(self) -> list[QuantizedLinear]:
        return [self.head]

    def _know(self, features: Tensor, price: Tensor | None) -> tuple[Tensor, ...]:
        """Logits of all units, [N, units, K]."""
        hidden = self.embed(pooled(features), price).relu()
        logits: Tensor = self.head(hidden)
        return (logits.unflatten(1, (self.units, self.choices)),)
