"""Recurrent layers of ONNX taken apart step by step, as PyTorch takes apart its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Value
from accel_models.workloads.onnx_file.node import OnnxNode
from accel_models.workloads.operators import CONVOLUTION

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
"""Functions that a layer has where it says nothing."""
MOST_STEPS = 4096
"""Longest sequence that is taken apart."""


class RecurrentState(NamedTuple):
    """What a step leaves to the next; None where it is zero at the start."""

    hidden: Value | None
    cell: Value | None = None


class _Cell:
    """The work of one direction of a layer, for a batch of sequences."""

    def __init__(self, read: Steps, node: OnnxNode, batch: int, hidden: int) -> None:
        self.read, self.node, self.batch, self.hidden = read, node, batch, hidden

    def multiplied(self, called: str, value: Value, outputs: int, rows: tuple[int, int]) -> Value:
        """Rows of a value times weights."""
        ends = (value.elements // (rows[0] * rows[1]), outputs)
        number = self.read.step(self.node, CONVOLUTION, called, ends, rows, {"input": value})
        return self.read.made(number, (*rows, outputs), -1)

    def part(self, value: Value, gates: int = 1) -> Value:
        """Some gates of what several are computed of."""
        return Value((self.batch, gates * self.hidden), "data", value.makers, False, 1)

    def function(self, word: str, value: Value) -> Value:
        """A function of each element."""
        return self.read.elementwise(self.node, word, word, value)

    def together(self, operator: str, one: Value, other: Value | None) -> Value:
        """A sum or product; what is zero, or one, adds nothing."""
        if other is None:
            return one
        return self.read.elementwise(
            self.node, operator, operator, one, other=other, others=other.elements
        )


def _lstm(cell: _Cell, given: Value, state: RecurrentState) -> RecurrentState:
    summed = cell.part(given, 4)
    if state.hidden is not None:
        recurrent = cell.multiplied("recurrent", state.hidden, 4 * cell.hidden, (cell.batch, 1))
        summed = cell.together("sum", cell.part(recurrent, 4), summed)
    enters, leaves, forgets = (cell.function("sigmoid", cell.part(summed)) for _ in range(3))
    new = cell.together("product", enters, cell.function("tanh", cell.part(summed)))
    kept = None
    if state.cell is not None:
        kept = cell.together("product", forgets, state.cell)
    now = cell.together("sum", new, kept)
    return RecurrentState(cell.together("product", leaves, cell.function("tanh", now)), now)


def _gru(cell: _Cell, given: Value, state: RecurrentState) -> RecurrentState:
    after = bool(cell.node.attributes.get("linear_before_reset"))
    hidden, rows = state.hidden, (cell.batch, 1)
    summed, candidate = cell.part(given, 2), cell.part(given)
    recurrent = None
    if hidden is not None:
        recurrent = cell.multiplied("recurrent", hidden, (2 + after) * cell.hidden, rows)
        summed = cell.together("sum", cell.part(recurrent, 2), summed)
    update, reset = (cell.function("sigmoid", cell.part(summed)) for _ in range(2))
    if hidden is not None and recurrent is not None:
        if after:
            seen = cell.together("product", cell.part(recurrent), reset)
        else:
            read = cell.together("product", hidden, reset)
            seen = cell.part(cell.multiplied("candidate", read, cell.hidden, rows))
        candidate = cell.together("sum", seen, candidate)
    new = cell.function("tanh", candidate)
    if hidden is None:
        return RecurrentState(cell.together("product", update, new))
    apart = cell.together("sum", hidden, new)
    return RecurrentState(cell.together("sum", cell.together("product", apart, update), new))


def _rnn(cell: _Cell, given: Value, state: RecurrentState) -> RecurrentState:
    summed = cell.part(given)
    if state.hidden is not None:
        recurrent = cell.multiplied("recurrent", state.hidden, cell.hidden, (cell.batch, 1))
        summed = cell.together("sum", cell.part(recurrent), summed)
    return RecurrentState(cell.function("tanh", summed))


STEP: dict[str, Callable[[_Cell, Value, RecurrentState], RecurrentState]] = {
    "LSTM": _lstm,
    "GRU": _gru,
    "RNN": _rnn,
}


def recurrent(read: Steps, node: OnnxNode) -> Any:
    """A recurrent layer: its inputs times weights at once, then each step's states.

    All sequences are taken to be as long as the longest. None for functions other than the usual
    ones, peepholes, and sequences too long to take apart.
    """
    value, weight = node.value(0), node.value(2)
    by_batch = bool(node.attributes.get("layout"))
    first, second, _ = value.shape
    length, batch = (second, first) if by_batch else (first, second)
    usual = USUAL[node.name]
    functions = node.attributes.get("activations")
    stated = [one.decode() if isinstance(one, bytes) else one for one in functions or usual]
    other = stated not in (usual, usual * 2) or node.given(7) is not None
    if other or weight.kind != "constant" or not 1 <= length <= MOST_STEPS:
        return None
    directions, hidden = weight.shape[0], weight.shape[2]
    cell = _Cell(read, node, batch, hidden)
    states: list[RecurrentState] = []
    outputs: list[Value] = []
    for _ in range(directions):
        given = cell.multiplied("input", value, GATES[node.name] * hidden, (length, batch))
        state = RecurrentState(_start(cell, node, 5), _start(cell, node, 6))
        for _ in range(length):
            state = STEP[node.name](cell, given, state)
            assert state.hidden is not None
            outputs.append(state.hidden)
        states.append(state)
    last = [[one.hidden for one in states], [one.cell for one in states]]
    found: list[list[Any]] = [outputs, *last]
    return [_side_by_side(shape, one) for shape, one in zip(node.shapes, found, strict=False)]


def _start(cell: _Cell, node: OnnxNode, at: int) -> Value | None:
    """A state to start from, if it is computed."""
    given = node.given(at)
    if given is None or given.value.kind != "data":
        return None
    return cell.part(given.value)


def _side_by_side(shape: tuple[int, ...], parts: list[Any]) -> Value:
    makers = dict.fromkeys(maker for one in parts if one is not None for maker in one.makers)
    return Value(shape, "data", tuple(makers), False, len(shape) - 1)


RECURRENT_RULES: dict[str, Callable[[Steps, OnnxNode], Any]] = dict.fromkeys(GATES, recurrent)

__all__ = ["RECURRENT_RULES"]
