"""A space of machines: a base, what of it may change, and what is wanted.

Dimensions are searched together. A field that one base machine has and another has not is varied
where it exists, and left out of the configurations of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.instead import expanded
from accel_models.errors import InputError
from accel_models.metrics import METRICS

Value = str | int | float | bool
Configuration = Mapping[str, Value]
"""A value for every dimension that applies, by the dimension's name."""

BASE = "base"
TRACE = "trace."
"""Dimensions whose names begin so choose between alternative traces of one workload."""
POLICY = "policy."
"""Dimensions whose names begin so are fields of `accel_models.replay.Policy`."""


@dataclass(frozen=True)
class Dimension:
    """One thing that is varied.

    Args:
        name: dotted path of a field, or of an option that sets several.
        values: the values to choose from, or none for a range.
        changes: the fields that each of `values` sets, by path.
        low, high: ends of a range, both included.
        integer: whether a range is one of whole numbers.
        log: whether a range is searched by orders of magnitude.
        step: what lies between one of `values` and the next, or 0 if they are a set.
    """

    name: str
    values: tuple[Value, ...] = ()
    changes: tuple[Mapping[str, Any], ...] = ()
    low: float = 0.0
    high: float = 0.0
    integer: bool = False
    log: bool = False
    step: float = 0.0

    @property
    def is_finite(self) -> bool:
        """Whether a sweep can try every value."""
        return bool(self.values) or self.integer

    @cached_property
    def points(self) -> Sequence[Value]:
        """Every value of a finite dimension, in order."""
        if self.values:
            return self.values
        return range(int(self.low), int(self.high) + 1)  # not spelled out: it may be long

    def nearest(self, value: Value) -> Value:
        """The point that a value stands for: a step taken in other arithmetic may miss it by the
        last digit."""
        if not self.step or value in self._by_value:
            return value
        return self.values[round((float(value) - float(self.values[0])) / self.step)]

    @cached_property
    def paths(self) -> frozenset[str]:
        """Fields that some value sets."""
        if self.values:
            return frozenset(path for change in self.changes for path in change)
        return frozenset(expanded(self.name, self.low))

    def setting(self, value: Value) -> Mapping[str, Any]:
        """Fields that a value sets, by dotted path.

        Raises:
            InputError: if it is none of the dimension's values.
        """
        if not self.values:
            if not self.low <= float(value) <= self.high:
                raise InputError(
                    f"{self.name} = {value!r} is outside {self.low:g} to {self.high:g}"
                )
            return expanded(self.name, value)
        try:
            return self._by_value[value]
        except KeyError as error:
            known = ", ".join(map(str, self.values))
            raise InputError(f"{self.name} = {value!r} is none of {known}") from error

    @cached_property
    def _by_value(self) -> dict[Value, Mapping[str, Any]]:
        return dict(zip(self.values, self.changes, strict=True))


class Bound(NamedTuple):
    """A constraint on a metric: the range its value has to be in."""

    metric: str
    low: float = -math.inf
    high: float = math.inf

    def excess(self, value: float) -> float:
        """Share of the bound by which a value misses it; 0 or less if it keeps to it."""
        over = value / self.high - 1 if self.high < math.inf else -1.0
        under = 1 - value / self.low if self.low > -math.inf else -1.0
        return max(over, under)

    def __str__(self) -> str:
        unit, sides = METRICS[self.metric].unit, []
        if self.high < math.inf:
            sides.append(f"at most {self.high:g}{' ' + unit if unit else ''}")
        if self.low > -math.inf:
            sides.append(f"at least {self.low:g}{' ' + unit if unit else ''}")
        return f"{self.metric} {' and '.join(sides)}"


@dataclass(frozen=True)
class Space:
    """What is searched, and for what.

    Args:
        name: what it is called in outputs.
        bases: machines that the configurations are changes of, by name.
        dimensions: what is varied, the base first if there are several.
        objectives: names of metrics to be minimised, of `metrics.explored`; none where machines are
            merely listed.
        bounds: constraints on metrics.
    """

    name: str
    bases: Mapping[str, Accelerator]
    dimensions: tuple[Dimension, ...]
    objectives: tuple[str, ...]
    bounds: tuple[Bound, ...] = ()

    @property
    def identity(self) -> list[Any]:
        """What tells it from others, whatever it is called, as JSON can hold it."""
        return [
            {name: base.key_fields for name, base in self.bases.items()},
            [repr(dimension) for dimension in self.dimensions],
            list(self.objectives),
            [str(bound) for bound in self.bounds],
        ]

    @cached_property
    def by_name(self) -> dict[str, Dimension]:
        return {dimension.name: dimension for dimension in self.dimensions}

    def base_of(self, configuration: Configuration) -> Accelerator:
        """The machine that a configuration is a change of."""
        if len(self.bases) == 1:
            return next(iter(self.bases.values()))
        return self.bases[str(configuration[BASE])]

    def applies(self, dimension: Dimension, base: Accelerator) -> bool:
        """Whether a dimension means something on a base machine."""
        return dimension.name == BASE or all(
            is_outside(path) or has_field(base, path) for path in dimension.paths
        )

    def relevant(self, configuration: Configuration) -> dict[str, Value]:
        """The configuration without what does not apply to its base, in the space's order."""
        base = self.base_of(configuration)
        return {
            dimension.name: configuration[dimension.name]
            for dimension in self.dimensions
            if dimension.name in configuration and self.applies(dimension, base)
        }

    def changes(self, configuration: Configuration) -> dict[str, Any]:
        """Machine fields that a configuration sets, by dotted path."""
        settings = self._settings(configuration)
        return {path: value for path, value in settings.items() if not is_outside(path)}

    def policy(self, configuration: Configuration) -> dict[str, Any]:
        """Fields of the replay policy that a configuration sets."""
        settings = self._settings(configuration) if self._varies_policy else {}
        return {
            path.removeprefix(POLICY): value
            for path, value in settings.items()
            if path.startswith(POLICY)
        }

    @cached_property
    def _varies_policy(self) -> bool:
        paths = (path for dimension in self.dimensions for path in dimension.paths)
        return any(path.startswith(POLICY) for path in paths)

    def _settings(self, configuration: Configuration) -> dict[str, Any]:
        """All fields that a configuration sets, of machine and policy, by dotted path."""
        settings: dict[str, Any] = {}
        for name, value in self.relevant(configuration).items():
            if name != BASE:
                settings |= self.by_name[name].setting(value)
        return settings

    def machine(self, configuration: Configuration) -> Accelerator:
        """The machine of a configuration.

        Raises:
            InputError: if its fields contradict each other.
        """
        changes = self.changes(configuration)
        fields = {path.replace(".", "__"): value for path, value in changes.items()}
        return self.base_of(configuration).configured(**fields)

    @cached_property
    def size(self) -> int | None:
        """How many configurations there are; None if there is no end of them."""
        if not all(dimension.is_finite for dimension in self.dimensions):
            return None
        return sum(
            math.prod(len(dimension.points) for dimension in dimensions)
            for _, dimensions in self._blocks
        )

    def configurations(self, start: int, stop: int) -> Iterator[dict[str, Value]]:
        """Number `start` to `stop` of all configurations; the last dimension changes fastest."""
        for number in range(start, stop):
            yield self.configuration(number)

    def configuration(self, number: int) -> dict[str, Value]:
        """One of the `size` configurations by its number."""
        for fixed, dimensions in self._blocks:
            here = math.prod(len(dimension.points) for dimension in dimensions)
            if number < here:
                chosen: dict[str, Value] = {}
                for dimension in reversed(dimensions):
                    number, index = divmod(number, len(dimension.points))
                    chosen[dimension.name] = dimension.points[index]
                return {**fixed, **{d.name: chosen[d.name] for d in dimensions}}
            number -= here
        raise IndexError(f"there are only {self.size} configurations")

    @cached_property
    def _blocks(self) -> list[tuple[dict[str, Value], list[Dimension]]]:
        """Pairs (what is fixed, the dimensions that apply), one for each base machine."""
        several = BASE in self.by_name
        return [
            (
                {BASE: name} if several else {},
                [d for d in self.dimensions if d.name != BASE and self.applies(d, base)],
            )
            for name, base in self.bases.items()
        ]


def is_outside(path: str) -> bool:
    """Whether a path is no field of a machine, but of the policy or the workloads."""
    return path.startswith((TRACE, POLICY))


def has_field(machine: Accelerator, path: str) -> bool:
    """Whether a field exists and means something: some arrays split their buffers themselves."""
    try:
        value = machine.field(path)
    except InputError:
        return False
    return value is not None or not path.startswith("buffers.")


def choice(name: str, values: Iterable[Any], step: float = 0.0) -> Dimension:
    """A dimension that sets one field to one of some values; lists are named by their parts."""
    raw = [tuple(value) if isinstance(value, list) else value for value in values]
    labels = tuple(
        ",".join(map(str, value)) if isinstance(value, tuple) else value for value in raw
    )
    return Dimension(name, labels, tuple(expanded(name, value) for value in raw), step=step)


__all__ = [
    "BASE",
    "POLICY",
    "TRACE",
    "Bound",
    "Configuration",
    "Dimension",
    "Space",
    "Value",
    "choice",
    "has_field",
    "is_outside",
]
