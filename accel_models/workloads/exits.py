"""Where inputs may leave a network, and which of its layers an input reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.layer import Layer


def left_at(layers: Sequence[Layer], units: Sequence[str], exits: Set[str]) -> tuple[int, ...]:
    """Last unit at which an input may have left before each layer, as its index in `units`; -1 for
    layers that every input reaches.

    An input leaves where the own layers of a unit of `exits` would begin: the unit's gate and its
    exit have run by then.
    """
    found, last = [], -1
    for layer in layers:
        if layer.unit in exits and not layer.decides:
            last = max(last, units.index(layer.unit))
        found.append(last)
    return tuple(found)


def first_left(
    network: str, units: Sequence[str], exits: Set[str], choices: Mapping[str, Precision]
) -> int | None:
    """Index of the unit at which an input leaves whose units take these choices, by name; None if
    it does not. What later units would choose does not matter any more.

    Raises:
        InputError: if that unit has no exit: names those that have.
    """
    for number, unit in enumerate(units):
        if unit not in choices or not choices[unit].exits:
            continue
        if unit in exits:
            return number
        places = ", ".join(one for one in units if one in exits)
        raise InputError(
            f"'{network}' has no exit at unit '{unit}': "
            + (f"inputs may leave at {places}" if places else "none of its units has one")
        )
    return None


def fault_of_exits(layers: Sequence[Layer], units: Sequence[str], exits: Set[str]) -> str:
    """Why inputs cannot leave where exits stand; nothing if they can, or there are none."""
    begun: list[str] = []
    for layer in layers if exits else ():
        if layer.decides and layer.unit in begun:
            return (
                f"'{layer.name}' stands behind layers of '{layer.unit}': where inputs may leave, "
                "what decides about a unit comes before it"
            )
        if not layer.unit or layer.decides:
            continue
        if layer.unit in begun[:-1]:
            return (
                f"layer '{layer.name}' of '{layer.unit}' stands behind those of '{begun[-1]}': "
                "where inputs may leave, units run one after the other"
            )
        if layer.unit not in begun:
            begun.append(layer.unit)
    if exits and begun != [*units]:
        return (
            "where inputs may leave, every unit has layers of its own, and they run in the order "
            f"of what decides: {', '.join(units)}, not {', '.join(begun)}"
        )
    return ""


__all__ = ["fault_of_exits", "first_left", "left_at"]
