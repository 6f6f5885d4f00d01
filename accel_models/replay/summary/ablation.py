"""Each effect of deciding at run time by itself: one option switched at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.mapping.problem import ACTIONS
from accel_models.replay.policy import Policy
from accel_models.replay.replay import replay
from accel_models.replay.summary.summary import Summary, summarise
from accel_models.trace import GateTrace

BATCH, LOAD = 16, 0.7
WIDEST_STREAM = 32
"""Bits of `storage.stream_bits` at most."""
READ, WRITE = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")


@dataclass(frozen=True)
class Switch:
    """One option set otherwise than by default.

    Args:
        policy: fields of `Policy` that change.
        machine: fields of the machine that change, by dotted path.
    """

    name: str
    policy: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PolicyEffect:
    """What a switch comes to.

    Args:
        latency: spread of latency in s; where inputs arrive by themselves, of the time from arrival
            to completion.
        busy_s: mean time that the machine needs for an input; in batches, of its share.
        traffic_bits: mean DRAM bits of an input, read and written.
        weight_bits: what the weights take in DRAM.
        bounds: why the figures are bounds; empty if they are not.
    """

    name: str
    energy_j: dict[str, float]
    latency_s: dict[str, float]
    busy_s: float
    traffic_bits: float
    weight_bits: int
    bounds: tuple[str, ...]


def switches(table: CostTable, policy: Policy, batch: int = BATCH) -> Iterator[Switch]:
    """One switch for each effect that the machine can show; the first changes nothing."""
    machine = table.accelerator
    yield Switch("as asked")
    if policy.switches and machine.array.reconfiguration_cycles:
        yield Switch("switching is free", {"switches": False})
    if machine.fidelity.prefetch:
        yield from _prefetching(machine, policy)
    yield from _storing(table, policy)
    if policy.batching == "single":
        batched = {"batch": batch}
        yield Switch(f"batches of {batch}, grouped", {"batching": "grouped", **batched})
        yield Switch(f"batches of {batch}, highest choice", {"batching": "max", **batched})
        if policy.arrivals == "none":
            yield Switch(f"batches of {batch}, sorted", {"batching": "sorted", **batched})
    if policy.arrivals == "none" and policy.batching != "sorted":
        arriving = {"arrivals": "poisson", "load": LOAD}
        yield Switch(f"random arrivals, load {LOAD:g}", arriving)
        if machine.fidelity.static_power:
            gated = {**arriving, "idle_gating": True}
            yield Switch(f"random arrivals, load {LOAD:g}, idle leakage off", gated)


def ablate(
    trace: GateTrace, table: CostTable, policy: Policy | None = None, batch: int = BATCH
) -> list[PolicyEffect]:
    """Replay a trace once for each of `switches`; the first is the policy as it is.

    Raises:
        InputError, InfeasibleError: as `replay` of the policy as it is.
    """
    chosen = policy or Policy()
    tables: dict[tuple[Any, ...], CostTable] = {(): table}
    return [
        _effect(trace, table, chosen, switch, tables) for switch in switches(table, chosen, batch)
    ]


def weight_bits(table: CostTable) -> int:
    """What all weights take in DRAM, in bits: one full copy, nested planes as many as the widest
    choice needs, or a copy for each width. Gates' weights are among them."""
    storage, total = table.accelerator.storage, 0
    for layer in table.workload.layers:
        widths = {
            precision.weight_bits
            for choice in table.choices
            if (precision := layer.precision(choice, table.always)) is not None
        }
        if storage.weights == "full":
            total += layer.weights * storage.full_bits
        elif storage.weights == "planes":
            total += layer.weights * max(widths)
        else:
            total += layer.weights * sum(widths)
    return total


def _prefetching(machine: Accelerator, policy: Policy) -> Iterator[Switch]:
    kinds = {
        "none": "first weights wait for the decision",
        "modal": "first weights of the likeliest choice fetched",
        "planes": "planes of the first weights fetched from the top",
        "oracle": "all widths known early",
    }
    for kind, name in kinds.items():
        possible = kind != "planes" or machine.storage.weights == "planes"
        if kind != policy.prefetch and possible:
            yield Switch(name, {"prefetch": kind, "guess": None})
    if policy.prefetch == "none":
        yield Switch("nothing loads early", machine={"fidelity__prefetch": False})


def _storing(table: CostTable, policy: Policy) -> Iterator[Switch]:
    machine = table.accelerator
    storage = machine.storage
    widest = max(p.weight_bits for p in (table.always, *table.choices))
    names = {
        "full": ("weights: one full copy", {"storage__full_bits": max(storage.full_bits, widest)}),
        "planes": ("weights: nested planes", {}),
        "copies": ("weights: a copy for each width", {}),
    }
    for kind, (name, more) in names.items():
        if kind != storage.weights and policy.prefetch != "planes":
            yield Switch(name, machine={"storage__weights": kind, **more})
    sums = min(machine.accumulator_bits, WIDEST_STREAM)
    if machine.fidelity.outputs == "stored" and storage.stream_bits < sums:
        held = {"storage__stream_bits": sums}
        yield Switch("accumulators held until the decision", machine=held)
    kept = "leave the chip" if storage.resident else "stay on chip if they fit"
    yield Switch(f"tensors {kept}", machine={"storage__resident": not storage.resident})


def _effect(
    trace: GateTrace,
    base: CostTable,
    policy: Policy,
    switch: Switch,
    tables: dict[tuple[Any, ...], CostTable],
) -> PolicyEffect:
    wanted = replace(policy, **switch.policy)
    key: tuple[Any, ...] = tuple(switch.machine.items())
    if wanted.batch > base.cycles.shape[2]:
        key = (*key, wanted.batch)
    if key not in tables:
        machine = base.accelerator.configured(**switch.machine)
        groups = max(wanted.batch, 1)
        tables[key] = cost_table(
            base.workload, machine, base.choices, always=base.always, max_group=groups
        )
    found = summarise(replay(trace, tables[key], wanted))
    return _of_summary(switch.name, found)


def _of_summary(name: str, found: Summary) -> PolicyEffect:
    plan, inputs = found.plan, found.totals.inputs
    counts = found.totals.counts(plan)
    latency = found.spreads.get("response_s", found.spreads["latency_s"])
    return PolicyEffect(
        name=name,
        energy_j=found.spreads["energy_j"],
        latency_s=latency,
        busy_s=found.totals.busy_cycles / plan.table.accelerator.frequency_hz / inputs,
        traffic_bits=float(counts[READ] + counts[WRITE]) / inputs,
        weight_bits=weight_bits(plan.table),
        bounds=plan.policy.bounds,
    )
