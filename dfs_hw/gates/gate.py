"""What every gate can do, whatever it looks at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from accel_models.errors import InputError
from dfs_hw.quantize.layers import QuantizedLinear


class State(NamedTuple):
    """What a gate carries from decision to decision; the first axis of every tensor is inputs."""

    known: tuple[Tensor, ...] = ()
    """What the family remembers, or has already worked out."""
    price: Tensor | None = None
    """Price of cost [N, 1], for a gate with a knob."""

    def of(self, rows: Tensor) -> State:
        """State of some of the inputs, by their indices."""
        price = None if self.price is None else self.price[rows]
        return State(tuple(one[rows] for one in self.known), price)


class Gate(nn.Module, ABC):
    """Decides the units of a network one after another.

    A gate computes on integers like every other layer, unless its precision is ``FULL``: so its
    logits for an input do not depend on which other inputs share the batch.

    Args:
        choices: number of choices of a unit, K.
        knob: whether the price of cost is an input of the gate. The price is the weight of cost in
            the objective, relative to the largest weight the gate was trained with: at 0 accuracy
            is all, at 1 cost matters most. A gate trained over a range of prices can be set to a
            cost at run time.
    """

    memory: ClassVar[str | None] = None
    """Name of the layer that reads what it made of the unit before, if there is one."""
    learned: ClassVar[bool] = True
    """Whether gradients teach it; otherwise it keeps a table, settled on held-out inputs."""

    sampled: ClassVar[int] = 0
    """Rows, and columns, of its unit's input that a decision squares and adds up, at most; 0 where
    it reads nothing of the input but means."""

    def __init__(self, choices: int, knob: bool) -> None:
        super().__init__()
        self.choices, self.knob = choices, knob

    def begin(self, features: Tensor, price: Tensor | None = None) -> State:
        """State before the first decision about a batch.

        Args:
            features: the input of the first unit, [N, C, H, W].
            price: of cost, [N], 0 to 1; given if, and only if, the gate has a knob.

        Raises:
            InputError: if a price is missing, not expected, or not one number per input.
        """
        column = self._column(len(features), price)
        return State(self._know(features, column), column)

    @abstractmethod
    def forward(
        self, unit: int, features: Tensor, state: State, belief: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Logits [N, K] of unit number `unit`, and the state for the next.

        Args:
            unit: which of the units; every one once, in order.
            features: the input of that unit, [N, C, H, W].
            state: as left by the decision before, or by `begin`; some of its inputs may have left.
            belief: logits of the exit before the unit [N, classes], where there is one.
        """

    @abstractmethod
    def layers(self, unit: int) -> list[tuple[str, QuantizedLinear]]:
        """The layers that run for the decision about `unit`, by name, in order of execution."""

    @abstractmethod
    def heads(self) -> list[QuantizedLinear]:
        """The layers that put out logits, those of one or several units after another."""

    @torch.no_grad()
    def prefer(self, choice: int, margin: float) -> None:
        """Start with one choice ahead of the others, in every decision.

        DFS trains its gates towards full precision before anything else, so that they do not close
        units at random; the biases of the logits can say the same without training. A choice ahead
        by m has probability e^m / (e^m + K - 1) where the features say nothing, 87 % for m = 3 and
        K = 4. The nearer that comes to 1, the less gradient is left to change the gate's mind.

        Args:
            choice: index of the choice; decisions that do not offer it take another.
            margin: of its bias over every other. Replaces the biases there are.

        Raises:
            InputError: if there is no such choice, or the margin is not positive.
        """
        if not 0 <= choice < self.choices:
            raise InputError(
                f"a gate with {self.choices} choices, counted from 0, has no choice {choice}"
            )
        if not margin > 0:
            raise InputError(f"the margin of a preferred choice must be above 0, got {margin}")
        for head in self.heads():
            assert head.bias is not None
            head.bias.zero_()
            head.bias.view(-1, self.choices)[:, choice] = margin

    def _know(self, features: Tensor, price: Tensor | None) -> tuple[Tensor, ...]:
        """What the family knows before the first decision; price [N, 1]."""
        return ()

    def _column(self, inputs: int, price: Tensor | None) -> Tensor | None:
        if price is None:
            if self.knob:
                raise InputError("this gate has a knob: give the price of cost for every input")
            return None
        if not self.knob:
            raise InputError("this gate has no knob: it cannot follow a price of cost")
        if price.shape != (inputs,):
            raise InputError(
                f"the price of cost is one number for each of {inputs} inputs, "
                f"not a tensor {list(price.shape)}"
            )
        return price[:, None]


def pooled(features: Tensor) -> Tensor:
    """Mean over the image, [N, C, H, W] -> [N, C]."""
    # Not `mean`, whose gradient is written out for every pixel.
    wide = torch.promote_types(features.dtype, torch.float32)
    total = features.sum((2, 3), dtype=wide)
    return (total / (features.shape[2] * features.shape[3])).to(features.dtype)
