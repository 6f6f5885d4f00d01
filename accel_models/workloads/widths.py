"""Widths of layers by name: patterns that settle them, of which the last match wins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from accel_models.errors import InputError
from accel_models.precision import Precision, highest
from accel_models.workloads.layer import Layer
from accel_models.workloads.operators import MATMUL

WILDCARDS = "*?[]!"
MOST_NAMED = 5
"""Layers that an error names, of many."""


class WidthRules(ABC):
    """Widths that follow from what a network's layers are, as other tools state them."""

    @abstractmethod
    def by_name(self, layers: Sequence[Layer], network: str) -> dict[str, Precision]:
        """Widths by layer name; layers that the rules say nothing of have none.

        Raises:
            InputError: if the rules do not fit the network.
        """


WidthPolicy = Mapping[str, Any] | WidthRules
"""Precisions by name or pattern, of which the last match wins, or rules that give them."""


class Given(NamedTuple):
    """The precision that a layer gets, and the name or pattern that gives it."""

    by: str
    precision: Precision


class Asked(NamedTuple):
    """Layers at the widths that patterns settle, what their units choose, and the precision of
    what always runs."""

    layers: tuple[Layer, ...]
    units: dict[str, Precision]
    always: Precision


def given_to(layers: Sequence[Layer], network: str, policy: WidthPolicy) -> dict[str, Given]:
    """What names and patterns give to layers, by layer name; nothing to those that none matches.

    A name of a decision unit stands for the unit's layers, a name of a layer for it alone, and
    anything else is a pattern of `fnmatch` (``*``, ``?``, ``[1-3]``), case and all. Where several
    match, **the last one wins**.

    Raises:
        InputError: if a precision is malformed, or a pattern matches no layer that it could settle:
            names the nearest one; or as `WidthRules.by_name`.
    """
    if isinstance(policy, WidthRules):
        named = policy.by_name(layers, network)
        return {name: Given(name, precision) for name, precision in named.items()}
    in_unit = _by_unit(layers)
    names = [layer.name for layer in layers if not layer.decides]
    found: dict[str, Given] = {}
    for key, value in policy.items():
        precision = Precision.parse(value)
        if key in in_unit:
            matching = [layer.name for layer in in_unit[key]]
        elif key in names:
            matching = [key]
        else:
            matching = [name for name in names if fnmatchcase(name, str(key))]
        if not matching:
            raise InputError(unmatched(str(key), layers, network))
        found |= dict.fromkeys(matching, Given(key, precision))
    return found


def with_widths(layers: tuple[Layer, ...], network: str, policy: WidthPolicy) -> tuple[Layer, ...]:
    """The layers of a network at the widths that a policy gives them.

    Raises:
        InputError: as `given_to`, or if a layer is given to skip.
    """
    found = given_to(layers, network, policy)
    for name, given in found.items():
        if not given.precision.runs:
            raise InputError(
                f"'{given.by}' = {given.precision} is no width that layer '{name}' of '{network}' "
                "could have: units are skipped, or left at, where precisions are asked for, as "
                "`simulate` takes them"
            )
    return _settled(layers, {name: given.precision for name, given in found.items()})


def asked_of(
    layers: tuple[Layer, ...], network: str, policy: WidthPolicy, always: Precision | None
) -> Asked:
    """What `simulate` is asked for by names and patterns: of units, their choices; of layers, the
    widths that they are settled at.

    Args:
        layers: of the network, in execution order.
        network: what it is called.
        policy: precisions by name or pattern, as `given_to` has them.
        always: precision of gates, and of layers outside units that nothing matches; without it,
            the highest given, and nothing but units alone may leave such layers out.

    Raises:
        InputError: as `given_to`; or if a layer gets nothing, or is skipped without its unit, or
            layers of a unit that a gate decides get different widths.
    """
    found = given_to(layers, network, policy)
    by_unit = _by_unit(layers)
    left: list[str] = []
    units_alone = isinstance(policy, Mapping) and bool(policy) and policy.keys() <= by_unit.keys()
    open_ends = always is not None or units_alone
    for layer in layers:
        if layer.name not in found and not layer.decides and (layer.unit or not open_ends):
            left.append(layer.name)
        elif layer.name in found and not found[layer.name].precision.runs and not layer.unit:
            by, precision = found[layer.name]
            raise InputError(
                f"'{by}' = {precision}: layer '{layer.name}' of '{network}' is in no decision "
                "unit, so it always runs"
            )
    if left:
        raise InputError(
            f"no precision is given to {_listed(left)} of '{network}': one for all others "
            "may stand first, such as '*' = 8, since the last match wins"
        )
    units = {unit: _choice(network, unit, inside, found) for unit, inside in by_unit.items()}
    patterns = {
        layer.name: found[layer.name].precision
        for layer in layers
        if layer.name in found
        and found[layer.name].by != layer.unit
        and found[layer.name].precision.runs
    }
    rest = always or highest(given.precision for given in found.values())
    return Asked(_settled(layers, patterns), units, rest)


def _choice(
    network: str, unit: str, layers: Sequence[Layer], found: Mapping[str, Given]
) -> Precision:
    """What a unit chooses where its layers get what was found for them."""
    decided = [layer.name for layer in layers if not layer.decides]
    # A unit of a gate alone has nothing that patterns could match.
    given = [found[name] for name in decided or [layer.name for layer in layers] if name in found]
    if not given:
        raise InputError(f"no precision is given to unit '{unit}' of '{network}'")
    several = {one.precision for one in given}
    if len(several) > 1:
        listed = ", ".join(f"{name} = {found[name].precision}" for name in decided)
        if not all(precision.runs for precision in several):
            raise InputError(
                f"unit '{unit}' of '{network}' runs as a whole or not at all, not {listed}"
            )
        if len(decided) < len(layers):
            raise InputError(
                f"a gate decides unit '{unit}' of '{network}', all of its layers at once: "
                f"they cannot run at {listed}, unless in the network `without_gates`"
            )
    return next((one.precision for one in given if one.by == unit), highest(several))


def _settled(layers: tuple[Layer, ...], precisions: Mapping[str, Precision]) -> tuple[Layer, ...]:
    """The layers at these precisions. What decides is left out: it runs as what always runs."""
    if not precisions:
        return layers
    return tuple(
        replace(layer, widths=_widths(layer, precisions[layer.name]))
        if layer.name in precisions and not layer.decides
        else layer
        for layer in layers
    )


def _widths(layer: Layer, precision: Precision) -> Precision:
    """The widths of a layer at a precision: both operands of a ``matmul`` are activations."""
    if layer.operator != MATMUL or precision.full:
        return precision
    return Precision(precision.activation_bits, precision.activation_bits)


def widths_of(layers: Iterable[Layer]) -> dict[str, Precision]:
    """The widths of all layers that have some of their own, by name, in the order given."""
    return {layer.name: layer.widths for layer in layers if layer.widths is not None}


def _by_unit(layers: Iterable[Layer]) -> dict[str, list[Layer]]:
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        if layer.unit:
            found.setdefault(layer.unit, []).append(layer)
    return found


def unmatched(key: str, layers: Sequence[Layer], network: str) -> str:
    """What an error says of a name or pattern that matches no layer: the nearest name."""
    gates = [layer.name for layer in layers if layer.decides]
    names = [layer.name for layer in layers if not layer.decides]
    if any(key == name or fnmatchcase(name, key) for name in gates):
        return (
            f"'{key}' matches nothing but gates of '{network}': their precision is that of "
            "all that always runs"
        )
    bare = "".join(letter for letter in key if letter not in WILDCARDS)
    near = get_close_matches(bare, [*_by_unit(layers), *names], n=1, cutoff=0)
    return f"'{key}' matches no layer of '{network}': the nearest is '{near[0]}'"


def _listed(names: list[str]) -> str:
    """Names, the first few of many."""
    more = f" and {len(names) - MOST_NAMED} more layers" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
