"""Two networks in a row as one, whose inputs may leave between them: a cascade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from accel_models.errors import InputError
from accel_models.workloads.layer import Layer
from accel_models.workloads.workload import Workload

FIRST, THEN = "first", "then"
DECISION = f"{FIRST}.exit"
"""Name of the layer between the two, which says what leaves."""


def in_a_row(first: Workload, then: Workload) -> Workload:
    """The layers of two networks that read the same image, the second only of inputs that stay.

    Layers and units are called ``first.`` or ``then.`` and what they are called there. Between the
    two is an exit. As an input leaves where a unit begins, layers of the second network before its
    first unit are one, ``then``; without any, inputs leave at its first unit itself, and those that
    do have run its gate, if it has one. What deciding takes is charged as a sum over the first
    network's outputs (their exponentials, of which a softmax has the sum).

    Raises:
        InputError: if inputs may leave the first network inside, which is for good, or units are in
            no order in which inputs can leave.
    """
    if first.exits:
        raise InputError(
            f"inputs that leave '{first.name}' inside have left for good and would never come to "
            f"'{then.name}': put a network without exits first"
        )
    led = tuple(_led(then))
    behind = next(layer.unit for layer in led if layer.unit)
    answer = first.layers[-1]
    decision = Layer(DECISION, answer.out_channels, 1, role="exit", unit=behind)
    return Workload(
        f"{first.name} then {then.name}",
        (*(_inside(FIRST, layer) for layer in first.layers), decision, *led),
        (
            *_edges(FIRST, first),
            (f"{FIRST}.{answer.name}", decision.name),
            *_edges(THEN, then),
        ),
        tuple(dict.fromkeys((*first.assumed, *then.assumed))),
    )


def _led(then: Workload) -> Iterator[Layer]:
    """Layers of the second network, those before its first unit in one of their own."""
    begun = False
    for layer in then.layers:
        begun = begun or bool(layer.unit)
        inside = _inside(THEN, layer)
        yield inside if begun else replace(inside, role="body", unit=THEN)


def _inside(network: str, layer: Layer) -> Layer:
    unit = f"{network}.{layer.unit}" if layer.unit else ""
    return replace(layer, name=f"{network}.{layer.name}", unit=unit)


def _edges(network: str, workload: Workload) -> Iterator[tuple[str, ...]]:
    for producer, consumer, *part in workload.edges:
        yield f"{network}.{producer}", f"{network}.{consumer}", *part


def is_in_a_row(workload: Workload) -> bool:
    """Whether a workload is two networks, as `in_a_row` makes one of them."""
    return any(layer.name == DECISION and layer.role == "exit" for layer in workload.layers)


__all__ = ["FIRST", "THEN", "in_a_row", "is_in_a_row"]
