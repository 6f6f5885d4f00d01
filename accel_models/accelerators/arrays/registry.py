"""Families of arrays by the name that machine files give as ``array.family``.

The package's own are registered as their files are imported; others by a plugin
(`accel_models.accelerators.plugins`), by whoever calls `register_family`, or by an installed
package that names them as entry points of the group `GROUP`, which are loaded when a machine asks
for them::

    [project.entry-points."dfs_hw.families"]
    ant = "my_package.ant:Ant"
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeVar, get_args, get_origin

from accel_models.accelerators.arrays.array import LANE_RULES, Array
from accel_models.errors import InputError, listed, quoted

GROUP = "dfs_hw.families"
OWN_PACKAGE = "accel_models"
FAMILIES: dict[str, type[Array]] = {}
"""Families that are registered so far."""

Family = TypeVar("Family", bound=type[Array])


def register_family(kind: Family) -> Family:
    """Make a family known to machine files, under the name that its field `family` has; to be put
    above a class as a decorator.

    A class registered again from the same place, as a notebook's cell or a module loaded anew does,
    replaces the one before.

    Raises:
        InputError: if it is no `Array`, is not complete, its lanes follow no rule that there is, or
            its name is missing or taken.
    """
    if not (isinstance(kind, type) and issubclass(kind, Array)):
        raise InputError(f"{_name(kind)} is no family of arrays: it must derive from Array")
    if inspect.isabstract(kind):
        left = listed(sorted(kind.__abstractmethods__))
        raise InputError(f"{_name(kind)} is no family of arrays yet: it must define {left}")
    if not kind.lane_rules or not set(kind.lane_rules) <= set(LANE_RULES):
        raise InputError(
            f"{_name(kind)} has lane_rules = {quoted(kind.lane_rules)}: it must name some of "
            f"{listed(LANE_RULES)}"
        )
    name = family_name(kind)
    taken = FAMILIES.get(name)
    if taken is not None and _place(taken) != _place(kind):
        raise InputError(
            f"{_name(kind)} cannot have family = '{name}': {_name(taken)} of {taken.__module__} "
            "has that name, choose another"
        )
    FAMILIES[name] = kind
    return kind


def family_name(kind: type[Array]) -> str:
    """The name of a family, which its class states as ``family: Literal["name"]``.

    Raises:
        InputError: if it does not.
    """
    annotation = kind.model_fields["family"].annotation
    names = get_args(annotation) if get_origin(annotation) is Literal else ()
    if len(names) != 1 or not isinstance(names[0], str):
        raise InputError(
            f'{_name(kind)} does not say its family: it must have a field family: Literal["name"]'
        )
    return names[0]


def family_called(name: str) -> type[Array] | None:
    """The family of that name, registered or of an installed package; None if there is none.

    Raises:
        InputError: if an installed package names it but cannot be loaded.
    """
    if name not in FAMILIES and name in declared():
        _load(declared()[name])
    return FAMILIES.get(name)


def known_families() -> list[str]:
    """Names of all families, those of installed packages included."""
    return sorted({*FAMILIES, *declared()})


def is_own(kind: type[Array]) -> bool:
    """Whether a family comes with this package."""
    return kind.__module__.startswith(f"{OWN_PACKAGE}.")


@cache
def declared() -> dict[str, EntryPoint]:
    """Families that installed packages name as entry points, by name.

    Raises:
        InputError: if two packages name one, or one has the name of a family of this package.
    """
    points = list(entry_points(group=GROUP))
    often = Counter(point.name for point in points)
    for point in points:
        taken = point.name in FAMILIES and is_own(FAMILIES[point.name])
        if taken or often[point.name] > 1:
            owner = OWN_PACKAGE if taken else "another package"
            raise InputError(
                f"the entry point {point.name} = '{point.value}' of group {GROUP} takes a name "
                f"that {owner} has: it must be renamed"
            )
    return {point.name: point for point in points}


def _load(point: EntryPoint) -> None:
    said = f"the entry point {point.name} = '{point.value}' of group {GROUP}"
    try:
        kind = point.load()
    except Exception as error:  # whatever a foreign module makes its import raise
        raise InputError(f"{said} does not load: {type(error).__name__}: {error}") from error
    register_family(kind)
    if family_name(kind) != point.name:
        raise InputError(f"{said} must be called after its family, '{family_name(kind)}'")


def _name(kind: object) -> str:
    return getattr(kind, "__qualname__", repr(kind))


def _place(kind: type[Array]) -> tuple[str, str]:
    """Where a class was defined: the file of its module, and its name there."""
    module = sys.modules.get(kind.__module__)
    return getattr(module, "__file__", None) or kind.__module__, kind.__qualname__
