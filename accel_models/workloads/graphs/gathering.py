"""Tensors brought together where their reader needs one, and they lie in several places.

Most layers read several tensors side by side where they are. A product of two activations has one
address for what it multiplies by, and a sum one for each operand: where an operand is put together
of parts of tensors, someone has to move them.
"""

from __future__ import annotations

from collections.abc import Sequence

from accel_models.workloads.graphs.folding import Folded
from accel_models.workloads.graphs.values import Read, Step
from accel_models.workloads.layer import Layer
from accel_models.workloads.operators import MATMUL, TAKES_OTHERS
from accel_models.workloads.workload import Part


def gather(folded: Folded) -> Folded:
    """Note a copy before each step that cannot find an operand in one piece; gives what it was
    given. Readers of the same parts share a copy, the first of them in whose unit it is."""
    copies: dict[tuple[int, tuple[int, ...], str], int] = {}
    new = max(folded.steps, default=0) + 1
    for number in folded.order():
        layer = folded.steps[number].layer
        for part in _scattered(folded, number) if layer else ():
            assert layer is not None
            copied = _copy(layer, part)
            makers = folded.makers(number, part)
            key = (copied.outputs, makers, layer.unit)
            if key not in copies:
                copies[key], new = new, new + 1
                reads = [Read("input", maker, False) for maker in makers]
                step = Step(folded.steps[number].path, "copy", copied, reads)
                folded.steps[copies[key]] = step
                folded.before[copies[key]] = number
            _read_instead(folded.steps[number], part, copies[key])
    return folded


def _scattered(folded: Folded, number: int) -> list[Part]:
    """Operands of a step that lie in several places and are needed in one."""
    layer = folded.steps[number].layer
    assert layer is not None
    found: list[Part] = []
    if layer.operator == MATMUL and len(folded.makers(number, "other")) > 1:
        found.append("other")
    if layer.operator in TAKES_OTHERS:
        if not _side_by_side(folded, folded.makers(number, "input"), layer.outputs):
            found.append("input")
        others = folded.makers(number, "other")
        if layer.others == layer.outputs and not _side_by_side(folded, others, layer.others):
            found.append("other")
    return found


def _side_by_side(folded: Folded, makers: Sequence[int], elements: int) -> bool:
    """Whether one layer, or several that make just these elements, make an operand."""
    layers = [folded.steps[maker].layer for maker in makers]
    return len(makers) < 2 or sum(layer.outputs for layer in layers if layer) == elements


def _copy(layer: Layer, part: Part) -> Layer:
    """The copy of an operand, in the shape in which its reader works through it."""
    channels, size = layer.out_channels, layer.out_size
    if layer.operator == MATMUL and part == "other":
        channels, size = layer.in_channels, (layer.out_channels // layer.groups, 1)
    ones = (1,) * len(size)
    return Layer(
        "copy",
        channels,
        channels,
        in_size=size,
        out_size=size,
        kernel=ones,
        operator="copy",
        unit=layer.unit,
        role=layer.role,
    )


def _read_instead(step: Step, part: Part, copied: int) -> None:
    kept = [one for one in step.reads if one.part != part]
    step.reads = [*kept, Read(part, copied, True)]


__all__ = ["gather"]
