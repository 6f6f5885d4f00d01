"""Replayed traces, and what each effect of deciding at run time comes to, on the terminal and as
plain dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from accel_models.costs.energy_split import energy_split
from accel_models.costs.pricing import COMPONENTS
from accel_models.metrics import additive
from accel_models.workloads.in_a_row import is_in_a_row
from dfs_hw.cli.show.tables import line, new_table, si, terminal

if TYPE_CHECKING:  # these load pyarrow
    from accel_models import CostTable
    from accel_models.reference_machine.check import Check
    from accel_models.replay import Policy, Summary
    from accel_models.replay.summary.ablation import PolicyEffect
    from accel_models.replay.summary.comparison import Cost, ReplayComparison


def replay_facts(
    found: Summary, beside: ReplayComparison, played: Check | None = None
) -> dict[str, Any]:
    """Means, percentiles and breakdowns of a replay."""
    plan, totals = found.plan, found.totals
    table, inputs = plan.table, totals.inputs
    layers = zip(table.workload.layers, totals.layer_energy_pj(plan), strict=True)
    mean_pj = totals.energy_pj(plan)
    split = energy_split(mean_pj)
    return {
        "accelerator": table.accelerator.name,
        "cost_table": table.digest,
        "policy": plan.policy.to_dict(),
        "bounds": list(plan.policy.bounds),
        "inputs": inputs,
        "damaged": [
            {"row_group": one.group, "rows": [one.rows.start, one.rows.stop - 1]}
            for one in found.damaged
        ],
        "accuracy": totals.accuracy,
        **found.spreads,
        "edp_js": totals.edp_js / inputs,
        "dynamic_j": split.dynamic_j,
        "static_j": split.static_j,
        "energy_by_component_j": dict(zip(COMPONENTS, (mean_pj * 1e-12).tolist(), strict=True)),
        "energy_by_layer_j": {layer.name: float(pj.sum() * 1e-12) for layer, pj in layers},
        "choices": {
            unit: {str(c): int(n) for c, n in zip(table.choices, counts, strict=True)}
            for unit, counts in zip(table.units, totals.choice_counts, strict=True)
        },
        "cycles": totals.cycles_by_cause(plan),
        "wasted_bits": int(totals.sums.wasted.sum()) / inputs,
        "utilisation": found.utilisation,
        "correct": found.correct,
        "wrong": found.wrong,
        "classes": {
            str(label): {
                "inputs": one.inputs,
                "accuracy": one.correct / one.inputs,
                "energy_j": one.energy_j / one.inputs,
                "latency_s": one.latency_s / one.inputs,
            }
            for label, one in sorted(totals.classes.items())
        },
        "comparison": asdict(beside),
        **({"timeline": asdict(played)} if played else {}),
    }


def replay_summary(found: Summary, beside: ReplayComparison, played: Check | None = None) -> None:
    """Print what a replay comes to, beside static networks and the timeline where there are any."""
    facts, table = replay_facts(found, beside), found.plan.table
    line(f"{facts['inputs']} inputs on {facts['accelerator']}, accuracy {facts['accuracy']:.1%}")
    if found.damaged:
        groups = ", ".join(str(one.group) for one in found.damaged)
        line(f"left out as damaged: {found.damaged_inputs} inputs, row groups {groups}")
    for bound in facts["bounds"]:
        line(f"a bound: {bound}")
    split = energy_split(found.totals.energy_pj(found.plan))
    line(f"mean energy of an input: {split.text()}")
    _spreads(found)
    _causes(facts)
    _beside(beside, "both networks, " if is_in_a_row(found.plan.table.workload) else "")
    if played:
        _timeline(played)
    components = new_table("component", "mean energy", "share")
    total = sum(facts["energy_by_component_j"].values())
    for name, joules in facts["energy_by_component_j"].items():
        components.add_row(name, si(joules, "J"), f"{joules / total:.1%}")
    terminal().print(components)
    units = new_table("unit", *(f"{c}" for c in table.choices))
    for unit, counts in facts["choices"].items():
        units.add_row(unit, *[f"{n / facts['inputs']:.0%}" for n in counts.values()])
    terminal().print(units)
    classes = new_table("class", "inputs", "accuracy", "mean energy", "latency")
    for label, one in facts["classes"].items():
        costs = (si(one["energy_j"], "J"), si(one["latency_s"], "s"))
        classes.add_row(label, str(one["inputs"]), f"{one['accuracy']:.1%}", *costs)
    terminal().print(classes)


def ablation_facts(
    effects: Sequence[PolicyEffect], table: CostTable, policy: Policy
) -> dict[str, Any]:
    """What each part of the machine's policy is worth, as plain data for JSON."""
    return {
        "accelerator": table.accelerator.name,
        "policy": policy.to_dict(),
        "effects": [asdict(effect) for effect in effects],
    }


def ablation(effects: Sequence[PolicyEffect], table: CostTable) -> None:
    """Each switch by itself, relative to the first line."""
    line(f"One option at a time, on {table.accelerator.name}:")
    first, *_ = effects
    rows = new_table(
        "",
        "mean energy",
        "",
        "p95",
        "mean latency",
        "",
        "p95",
        "machine time",
        "DRAM traffic",
        "weights in DRAM",
    )
    for effect in effects:
        star = " *" if effect.bounds else ""
        rows.add_row(
            effect.name + star,
            si(effect.energy_j["mean"], "J"),
            _change(effect.energy_j["mean"], first.energy_j["mean"]),
            si(effect.energy_j["p95"], "J"),
            si(effect.latency_s["mean"], "s"),
            _change(effect.latency_s["mean"], first.latency_s["mean"]),
            si(effect.latency_s["p95"], "s"),
            si(effect.busy_s, "s"),
            si(effect.traffic_bits, "b"),
            si(effect.weight_bits, "b"),
        )
    terminal().print(rows)
    for reason in dict.fromkeys(reason for effect in effects for reason in effect.bounds):
        line(f"* a bound: {reason}")
    line(
        "Latency of a batch is every input's; with random arrivals it runs from arrival to answer."
    )


def _change(value: float, base: float) -> str:
    return f"{value / base - 1:+.1%}" if value != base else ""


def _spreads(found: Summary) -> None:
    units = {"waiting_s": "s", "response_s": "s"}
    units |= {metric.column: _plain(metric.unit) for metric in additive()}
    table = new_table("per input", *found.spreads["energy_j"])
    named = [(name.rpartition("_")[0] or name, name, one) for name, one in found.spreads.items()]
    for which, split in (("correct", found.correct), ("wrong", found.wrong)):
        named += [
            (f"{name.split('_')[0]}, {which}", name, one) for name, one in split.items() if one
        ]
    for title, name, one in named:
        table.add_row(title, *[si(value, units[name]) for value in one.values()])
    terminal().print(table)


def _plain(unit: str) -> str:
    """The unit for a column whose heading says BitOps already."""
    return unit.replace("BitOps", "")


def _causes(facts: dict[str, Any]) -> None:
    cycles = facts["cycles"]
    text = (
        f"of the mean: {cycles['exposed']:,.0f} cycles for gates and for first weights that wait "
        f"for them, {cycles['switching']:,.0f} for changes of width; "
        f"{cycles['spared']:,.0f} spared by early loads"
    )
    if facts["wasted_bits"]:
        text += f"; {si(facts['wasted_bits'], 'b')} fetched in vain"
    if facts["utilisation"] is not None:
        text += f"; the machine is busy {facts['utilisation']:.0%} of the time"
    line(text)


def _timeline(played: Check) -> None:
    line(
        f"played event by event, the first {played.inputs} inputs ({played.played} different) take "
        f"{si(played.energy_j, 'J')} and {si(played.latency_s, 's')}; replayed, "
        f"{si(played.replayed_energy_j, 'J')} and {si(played.replayed_latency_s, 's')}: "
        f"off by {played.worst_cycles} cycles at most"
        + (f": {played.reason}" if played.reason else "")
    )


def _beside(beside: ReplayComparison, which: str) -> None:
    taken = additive()
    heads = [head for metric in taken for head in (metric.label, "replayed")]
    table = new_table("beside", *heads)
    others: dict[str, Cost | None] = {"as the training loss charges it": beside.expected}
    for bits, one in beside.uniform.items():
        top = " (highest)" if one == beside.highest else ""
        others[f"{which}{bits} bit everywhere, no gates{top}"] = one
    others["every unit at its most frequent choice"] = beside.frozen
    mine = beside.replayed
    for name, cost in others.items():
        if cost is None:
            continue
        cells = []
        for metric in taken:
            other, value = cost[metric.column], mine[metric.column]
            cells += [si(other, _plain(metric.unit)), f"{value / other - 1:+.1%}" if other else ""]
        table.add_row(name, *cells)
    terminal().print(table)
