"""What runs on the machines: gate traces, or networks at fixed precisions, each with a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from accel_models.errors import InputError
from accel_models.exploration.space import TRACE, Configuration, Dimension
from accel_models.exploration.space_file import WorkloadEntry, as_list
from accel_models.precision import Precision
from accel_models.trace import GateTrace, TraceHeader
from accel_models.workloads.layer_csv import read_layers
from accel_models.workloads.widths_file import read_widths
from accel_models.workloads.workload import Workload

Networks = Callable[[str], Workload]
"""Builds a network by name, without gates."""


@dataclass(frozen=True)
class NetworkRun:
    """What one network does for N inputs, equal decisions brought together.

    Args:
        label: names it among alternatives.
        workload: its layers.
        choices: what the numbers in `rows` mean.
        always: precision of what runs whatever is chosen.
        rows: uint8 [R, unit], the distinct decisions.
        times: int64 [R], how many inputs took each.
        error: share of inputs classified wrongly; None where it is not known.
        trace: all inputs; of a network at a fixed precision, one.
        recorded: whether it is one.
    """

    label: str
    workload: Workload
    choices: tuple[Precision, ...]
    always: Precision
    rows: np.ndarray
    times: np.ndarray
    error: float | None
    trace: GateTrace
    recorded: bool = True

    @cached_property
    def inputs(self) -> int:
        return int(self.times.sum())

    @cached_property
    def used(self) -> tuple[int, ...]:
        """Choices that occur; the first stands for all where nothing is decided."""
        return tuple(np.unique(self.rows).tolist()) or (0,)

    @cached_property
    def network(self) -> Workload:
        """Layers of the network without what decides: equal for policies of one network."""
        return self.workload.without_gates()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What its costs depend on, as JSON can hold it."""
        digest = sha256(self.rows.tobytes() + self.times.tobytes()).hexdigest()[:16]
        choices = [str(choice) for choice in self.choices]
        return {
            "label": self.label,
            "workload": self.workload.key,
            "choices": choices,
            "always": str(self.always),
            "decisions": digest,
            "error": self.error,
        }

    @classmethod
    def of_trace(cls, trace: GateTrace, label: str = "") -> NetworkRun:
        """The run that a trace recorded."""
        header = trace.header
        rows, times = np.unique(trace.choices, axis=0, return_counts=True)
        return cls(
            label or header.network,
            header.workload,
            header.choices,
            header.always,
            rows,
            times.astype(np.int64),
            1 - trace.accuracy,
            trace,
        )

    @classmethod
    def fixed(
        cls, workload: Workload, precision: str | int | Precision, accuracy: float | None = None
    ) -> NetworkRun:
        """One input of a network whose precision is the same everywhere; its gates are left out.

        Raises:
            InputError: if nothing runs at that precision.
        """
        one = Precision.parse(precision)
        if not one.runs:
            raise InputError(f"'{workload.name}' cannot run at a fixed precision of {one}")
        bare = workload.without_gates()
        rows = np.zeros((1, len(bare.units)), dtype=np.uint8)
        error = None if accuracy is None else 1 - accuracy
        header = TraceHeader(bare.name, "none", bare, (one,), one, "", 0, "")
        nothing, once = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
        trace = GateTrace(header, nothing, nothing, nothing, rows)
        label = f"{workload.name}@{one}"
        return cls(label, bare, (one,), one, rows, once, error, trace, recorded=False)


@dataclass(frozen=True)
class Demand:
    """One workload of several: alternatives of which a configuration takes one, and its weight."""

    name: str
    weight: float
    runs: tuple[NetworkRun, ...]

    @property
    def dimension(self) -> Dimension | None:
        """What chooses among the alternatives, if there are several."""
        if len(self.runs) == 1:
            return None
        labels = tuple(run.label for run in self.runs)
        return Dimension(f"{TRACE}{self.name}", labels, tuple({} for _ in labels))

    def chosen(self, configuration: Configuration) -> NetworkRun:
        """The alternative that a configuration takes."""
        if len(self.runs) == 1:
            return self.runs[0]
        label = configuration[f"{TRACE}{self.name}"]
        return next(run for run in self.runs if run.label == label)


def demands_of(
    entries: Iterable[WorkloadEntry], networks: Networks | None = None
) -> tuple[Demand, ...]:
    """Load the workloads that a space file names.

    Raises:
        InputError: if one names nothing or two things, or cannot be read.
    """
    listing = list(entries)
    given = [entry.name for entry in listing if entry.name]
    if len(set(given)) < len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise InputError(f"two workloads are called '{twice}'")
    return _named_apart(
        _demand(entry, f"workload '{entry.name or number}'", networks)
        for number, entry in enumerate(listing, start=1)
    )


def demands_of_traces(
    traces: Mapping[str, GateTrace] | Sequence[str | Path | GateTrace],
) -> tuple[Demand, ...]:
    """Workloads of equal weight, one for each trace.

    Raises:
        InputError: if a file is no trace.
    """
    if isinstance(traces, Mapping):
        named = dict(traces)
        return tuple(
            Demand(name, 1.0, (NetworkRun.of_trace(t, name),)) for name, t in named.items()
        )
    return _named_apart(_traced(trace) for trace in traces)


def _traced(trace: str | Path | GateTrace) -> Demand:
    if isinstance(trace, GateTrace):
        return Demand(trace.header.network, 1.0, (NetworkRun.of_trace(trace),))
    name = Path(trace).stem
    return Demand(name, 1.0, (NetworkRun.of_trace(GateTrace.read(trace), name),))


def _demand(entry: WorkloadEntry, called: str, networks: Networks | None) -> Demand:
    kinds = [kind for kind in ("trace", "layers", "network") if getattr(entry, kind)]
    if kinds[:1] == ["trace"] and "layers" not in kinds:
        return _traces(entry, called)
    if len(kinds) != 1:
        raise InputError(
            f"{called} names {' and '.join(kinds) or 'nothing'}: "
            "give it a trace, layers or a network"
        )
    if entry.layers:
        workload = read_layers(entry.layers)
    elif networks is not None:
        workload = networks(entry.network)
    else:
        raise InputError(f"nobody here can build network '{entry.network}' by name: give layers")
    if entry.widths:
        workload = workload.with_widths(read_widths(entry.widths))
    precisions = as_list(entry.precision)
    if not precisions:
        raise InputError(f"{called} needs a precision")
    known = as_list(entry.accuracy)
    if known and len(known) != len(precisions):
        raise InputError(
            f"{called} has {len(precisions)} precisions and {len(known)} accuracies: "
            "give one for each, or none"
        )
    accuracies = known or [None] * len(precisions)
    runs = tuple(map(partial(NetworkRun.fixed, workload), precisions, accuracies))
    if len({run.label for run in runs}) < len(runs):
        raise InputError(f"{called} names a precision twice")
    return Demand(entry.name or workload.name, entry.weight, runs)


def _traces(entry: WorkloadEntry, called: str) -> Demand:
    if as_list(entry.precision):
        raise InputError(f"{called}: its trace says at what precision it ran")
    if entry.widths:
        raise InputError(f"{called}: its trace says at what widths it ran")
    if as_list(entry.accuracy):
        raise InputError(f"{called}: its trace says how accurate it is")
    paths = as_list(entry.trace)
    runs = tuple(NetworkRun.of_trace(GateTrace.read(path), Path(path).stem) for path in paths)
    if len({run.label for run in runs}) < len(runs):
        raise InputError(f"{called} names two traces of one file name")
    _check_network(entry, paths, runs)
    return Demand(entry.name or runs[0].label, entry.weight, runs)


def _check_network(entry: WorkloadEntry, paths: Sequence[str], runs: Sequence[NetworkRun]) -> None:
    """Refuse traces that are not all of one network, or not of the one that is named."""
    first = runs[0].network
    for path, run in zip(paths, runs, strict=True):
        if entry.network and run.network.name != entry.network:
            raise InputError(f"{path} is of network '{run.network.name}', not '{entry.network}'")
        if run.network.key != first.key:
            raise InputError(
                f"{path} is of another network ('{run.network.name}') than {paths[0]} "
                f"('{first.name}'): alternatives are of one"
            )


def _named_apart(demands: Iterable[Demand]) -> tuple[Demand, ...]:
    """Demands renamed where needed, so that none is named like another."""
    named: dict[str, Demand] = {}
    for demand in demands:
        name, number = demand.name, 2
        while name in named:
            name, number = f"{demand.name}-{number}", number + 1
        named[name] = Demand(name, demand.weight, demand.runs)
    return tuple(named.values())
