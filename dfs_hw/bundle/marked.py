"""One pass of a network in which every unit runs every choice, with marks where it can be cut."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from accel_models.errors import InputError
from dfs_hw.gates import TableGate
from dfs_hw.gates.gate import State
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.exits import ExitHead
from dfs_hw.networks.passes import shifted
from dfs_hw.onnx_export import mark
from dfs_hw.quantize.layers import QuantizedConv2d, QuantizedLinear
from dfs_hw.quantize.minmax import MinMaxActivations
from dfs_hw.quantize.operands import WeightQuantizer

CUT = "Cut"
"""Name of the marks' nodes."""
START = "x"
"""Name of the network's input."""
END = "end"
"""Mark behind the network's logits."""


def before(unit: int) -> str:
    """Mark at what a unit reads."""
    return f"{unit}/before"


def belief(unit: int) -> str:
    """Mark behind the exit before a unit."""
    return f"{unit}/belief"


def scores(unit: int) -> str:
    """Mark behind what the gate makes of each choice of a unit."""
    return f"{unit}/scores"


def memory(unit: int, part: int) -> str:
    """Mark behind a tensor that the gate remembers after a unit."""
    return f"{unit}/memory{part}"


def branch(unit: int, choice: int) -> str:
    """Mark behind a unit that has run a choice."""
    return f"{unit}/branch{choice}"


class MarkedNetwork(nn.Module):
    """A copy of a network whose pass runs all that inputs may choose.

    It is called with one input, and by name with what its gate asks for. Weights are the whole
    numbers that they are rounded to.

    Args:
        network: any; it stays as it is.

    Raises:
        InputError: if it rounds with noise, so that nobody could compute the same.
    """

    def __init__(self, network: DynamicNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval()
        for part in list(self.network.modules()):
            if isinstance(part, MinMaxActivations) and part.stochastic:
                raise InputError(
                    f"{network.name} adds noise as it rounds, in evaluation, too (fault "
                    "stochastic-activations): nothing outside could compute the same"
                )
            if isinstance(part, QuantizedConv2d | QuantizedLinear):
                part.weights = _Rounded(part)
            if isinstance(part, ExitHead):
                part.greatest = _Greatest(part.grid)
        for unit in self.network.blocks:
            unit.fused = None  # as layers compute, one after the other
        if isinstance(self.network.gate, TableGate):
            self.network.gate.point.zero_()

    def asks(self) -> dict[str, Tensor]:
        """What the gate asks for, by name: the price of cost [1], or the thresholds [K] of the unit
        at hand, which are charges where it goes by estimated error."""
        gate = self.network.gate
        if isinstance(gate, TableGate):
            return {"thresholds": torch.zeros(len(self.network.choices))}
        return {"price": torch.zeros(1)} if gate.knob else {}

    def forward(
        self, x: Tensor, *, price: Tensor | None = None, thresholds: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Logits, and all that else ends in the pass: one input -> tensors with marks."""
        deciding = _Deciding(self.network, price, thresholds)
        self.network.conductor.run = deciding
        try:
            made = self.network.model(x)
        finally:
            self.network.conductor.run = None
        logits = made if isinstance(made, Tensor) else made.logits
        return (_cut(logits, END), *deciding.ends)


class _Deciding:
    """Runs the units of a pass, and their exits and gates, each on what has a mark before it."""

    def __init__(
        self, network: DynamicNetwork, price: Tensor | None, thresholds: Tensor | None
    ) -> None:
        self.network, self.price = network, price
        self.table: dict[str, Tensor] = {}
        """What stands for the table of a gate that keeps one."""
        if thresholds is not None:
            self.table["table"] = thresholds.expand(1, len(network.units), -1)
        self.ends: list[Tensor] = []
        self._numbers = iter(range(len(network.units)))
        self._state = State()

    def __call__(self, unit: GatedUnit, x: Tensor) -> Tensor:
        number = next(self._numbers)
        x = _cut(x, before(number))
        self._decide(number, unit.features(x))
        made = dict(self._branches(number, unit, x))
        self.ends += made.values()
        return made[unit.index_of.index(unit.highest)]

    def _decide(self, unit: int, features: Tensor) -> None:
        network, price = self.network, self.price
        believed = network.belief(unit, features)
        if believed is not None:
            believed = _cut(believed, belief(unit))
            self.ends.append(believed)
        if unit == 0:
            self._state = network.gate.begin(features, price)
        given = (unit, features, self._state, believed)
        logits, state = functional_call(network.gate, self.table, given)
        logits = shifted(network, unit, logits, price)
        self.ends.append(_cut(logits.masked_fill(~network.offered[unit], -torch.inf), scores(unit)))
        known = tuple(_cut(one, memory(unit, part)) for part, one in enumerate(state.known))
        self._state = State(known, state.price)
        self.ends += known

    def _branches(self, number: int, unit: GatedUnit, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        for choice, offered in enumerate(unit.offered):
            if offered:
                yield choice, _cut(unit.run(x, choice), branch(number, choice))


class _Greatest(nn.Module):
    """Maximum of each part of a map, as `torch.nn.AdaptiveMaxPool2d` has it, which PyTorch does not
    export where parts overlap."""

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (
            [slice(at * size // parts, -(-(at + 1) * size // parts)) for at in range(parts)]
            for size, parts in zip(x.shape[2:], self.grid, strict=True)
        )
        found = [x[:, :, row, column].amax((2, 3)) for row in rows for column in columns]
        return torch.stack(found, -1)


class _Rounded(WeightQuantizer):
    """The weights of a layer as evaluation rounds them, at each of its precisions."""

    def __init__(self, layer: QuantizedConv2d | QuantizedLinear) -> None:
        super().__init__()
        self.scaled = layer.weights.scaled
        for index, precision in enumerate(layer.precisions):
            if not precision.full:
                values, scale = layer.weights(layer.weight, index)
                self.register_buffer(f"values{index}", values.detach())
                self.register_buffer(f"scale{index}", scale.detach())

    def forward(self, weight: Tensor, index: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"values{index}"), self.get_buffer(f"scale{index}")


def _cut(x: Tensor, place: str) -> Tensor:
    return mark(CUT, x, place=place)


__all__ = ["CUT", "END", "START", "MarkedNetwork", "before", "belief", "branch", "memory", "scores"]
