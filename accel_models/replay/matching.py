"""Whether a trace is of what a cost table prices, and if not, what differs."""

from __future__ import annotations

from dataclasses import fields

from accel_models.costs.cost_table import CostTable
from accel_models.errors import InputError
from accel_models.trace import TraceHeader
from accel_models.workloads.workload import Layer, Workload


def check_match(header: TraceHeader, table: CostTable) -> None:
    """Refuse a trace of another network or choice set.

    Raises:
        InputError: naming what differs.
    """
    if header.workload.key != table.workload.key:
        difference = network_difference(header.workload, table.workload)
        raise InputError(
            f"the trace is of network '{header.network}' (workload {header.workload.key}), "
            f"the cost table of '{table.workload.name}' (workload {table.workload.key}): "
            f"{difference}"
        )
    for what, traced, tabled in (
        ("choices", header.choices, table.choices),
        ("precision outside its units", (header.always,), (table.always,)),
    ):
        if traced != tabled:
            raise InputError(
                f"the trace's {what} ({', '.join(map(str, traced))}) differ from the cost table's "
                f"({', '.join(map(str, tabled))})"
            )


def network_difference(traced: Workload, tabled: Workload) -> str:
    """The first difference between two networks, in words."""
    if traced.units != tabled.units:
        return (
            f"its decision units are {_listed(traced.units)}, the table's {_listed(tabled.units)}"
        )
    for number, (mine, its) in enumerate(zip(traced.layers, tabled.layers, strict=False)):
        if mine != its:
            return f"layer {number} is {_layer_difference(mine, its)}"
    if len(traced.layers) != len(tabled.layers):
        return f"it has {len(traced.layers)} layers, the table {len(tabled.layers)}"
    for edge, other in zip(traced.edges, tabled.edges, strict=False):
        if edge != other:
            return f"it has the edge {' -> '.join(edge)}, the table {' -> '.join(other)}"
    if len(traced.edges) != len(tabled.edges):
        return f"it has {len(traced.edges)} edges, the table {len(tabled.edges)}"
    return f"it is called '{traced.name}', the table's '{tabled.name}'"


def _layer_difference(mine: Layer, its: Layer) -> str:
    if mine.name != its.name:
        return f"'{mine.name}', the table's '{its.name}'"
    differing = [
        f"{field.name} = {getattr(mine, field.name)!r}, the table's {getattr(its, field.name)!r}"
        for field in fields(Layer)
        if getattr(mine, field.name) != getattr(its, field.name)
    ]
    return f"'{mine.name}' with {'; '.join(differing)}"


def _listed(names: tuple[str, ...], shown: int = 6) -> str:
    if len(names) <= shown:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"
