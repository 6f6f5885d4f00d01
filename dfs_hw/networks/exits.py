"""Exits: small heads before units, at which an input may leave with what they predict."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError, listed, quoted
from accel_models.precision import Precision
from dfs_hw.quantize.layers import PrecisionNorm, QuantizedLinear

HIDDEN = 32
"""Features between the two layers of a head: at 64 channels it has under a quarter of the weights
of a block of two 3 x 3 convolutions, and on a map of 8 x 8 one in 280 of its multiplications."""
GRID = 2
"""Parts that a map is pooled in, up and down and across. On the degraded digits, what a head of two
layers makes of the first block's output goes from 70 % with the whole map in one part to 87 %."""


class ExitHead(nn.Module):
    """Predicts the class from the input of a unit: two linear layers with a ReLU between them.

    It reads the mean and the maximum of every channel in each quarter of the map, normalised (which
    hardware does as it rounds them), and cut off from their gradient: a head that pulls at the
    network while it learns costs the network accuracy, which later units have to pay for.

    Args:
        channels: of the unit's input.
        size: height and width of it, at least 1 each.
        classes: of the network.
        precision: of the head's arithmetic; ``FULL`` for floating point.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], classes: int, precision: Precision
    ) -> None:
        super().__init__()
        self.grid = (min(size[0], GRID), min(size[1], GRID))
        self.greatest: nn.Module = nn.AdaptiveMaxPool2d(self.grid)
        features = 2 * channels * self.grid[0] * self.grid[1]
        self.norm = PrecisionNorm(nn.BatchNorm2d(features), 1)
        self.hidden = QuantizedLinear(features, HIDDEN, precision, signed=True)
        self.classes = QuantizedLinear(HIDDEN, classes, precision)

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, C, H, W] -> logits [N, classes]."""
        features = features.detach().float()
        pooled = torch.cat(
            [
                functional.adaptive_avg_pool2d(features, self.grid).flatten(1),
                self.greatest(features).flatten(1),
            ],
            1,
        )
        seen = self.norm(pooled[:, :, None, None]).flatten(1)
        logits: Tensor = self.classes(self.hidden(seen).relu())
        return logits

    def layers(self) -> list[tuple[str, QuantizedLinear]]:
        """The layers that run for a prediction, by name, in order of execution."""
        return [("hidden", self.hidden), ("classes", self.classes)]


def exit_places(network: str, units: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Indices of the units at which inputs may leave.

    Args:
        network: name of the network.
        units: names of its units, in execution order.
        wanted: names of units, or patterns of `fnmatch`.

    Raises:
        InputError: if one matches no unit.
    """
    for pattern in wanted:
        if not any(fnmatchcase(unit, pattern) for unit in units):
            raise InputError(
                f"exits: {quoted(pattern)} is none of the units of {network}, which are "
                f"{listed(units)}"
            )
    return [
        number
        for number, unit in enumerate(units)
        if any(fnmatchcase(unit, pattern) for pattern in wanted)
    ]


class EverybodyLeft(Exception):
    """Ends a forward pass behind the last input that has left."""


class Leavers:
    """The inputs of one forward pass that have left, and with what.

    Args:
        inputs: how many begin.
        units: how many units they may come to.
        leaving: index of the choice to leave.
        device: that they are on.
    """

    def __init__(self, inputs: int, units: int, leaving: int, device: torch.device) -> None:
        self.leaving = leaving
        self.here = torch.arange(inputs, device=device)
        """Rows of the inputs that are still there."""
        self.choices = torch.full((inputs, units), leaving, device=device)
        self._left: list[tuple[Tensor, Tensor]] = []

    def at(self, unit: int, chosen: Tensor, belief: Tensor | None) -> Tensor | None:
        """Which of the inputs that are here stay, as their indices; None if all do.

        Args:
            unit: its number.
            chosen: index of its choice for each of them [n].
            belief: logits of the exit before it [n, classes]; None where there is none.

        Raises:
            EverybodyLeft: if none stays.
        """
        self.choices[self.here, unit] = chosen
        leaves = chosen == self.leaving
        if belief is None or not leaves.any():
            return None
        self._left.append((self.here[leaves], belief[leaves]))
        stays = (~leaves).nonzero()[:, 0]
        self.here = self.here[stays]
        if not len(stays):
            raise EverybodyLeft
        return stays

    def logits(self, at_the_end: Tensor | None) -> Tensor:
        """What every input left with [N, classes].

        Args:
            at_the_end: logits of those that came to the end, if any did.
        """
        parts = [*self._left, *(() if at_the_end is None else ((self.here, at_the_end),))]
        rows, values = (torch.cat(column) for column in zip(*parts, strict=True))
        return values[rows.argsort()]


__all__ = ["GRID", "HIDDEN", "EverybodyLeft", "ExitHead", "Leavers", "exit_places"]
