"""What an exploration found, as tables on the terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from accel_models.accelerators.ground import ground_sentence, on_ground
from dfs_hw.cli.show.tables import line, new_table, terminal

if TYPE_CHECKING:  # Optuna, which `--help` need not wait for
    from accel_models.exploration import CrossTable, Exploration
    from dfs_hw.codesign import Codesign

SHOWN = 12


def exploration(found: Exploration, record: Mapping[str, Any]) -> None:
    """The front, what matters, and where the rest is."""
    from accel_models.exploration.report.study_page import amount_text
    from accel_models.metrics import METRICS

    space, trials = found.space, record["trials"]
    line(
        f"{trials['all']} machines tried: {trials['run']} run the workloads, "
        f"{trials['within_constraints']} keep to the constraints, {trials['front']} on the front."
    )
    if record["chosen"] is None:
        _nothing_chosen(found)
        return
    table = new_table("machine", *space.objectives, *(d.name for d in space.dimensions))
    for member in record["front"][:SHOWN]:
        metrics, configuration = member["metrics"], member["configuration"]
        chosen = member["trial"] == record["chosen"]["trial"]
        table.add_row(
            f"{member['trial']}{' *' if chosen else ''}",
            *(amount_text(name, metrics[METRICS[name].column]) for name in space.objectives),
            *(str(configuration.get(d.name, "")) for d in space.dimensions),
            style="bold" if chosen else "",
        )
    terminal().print(table)
    if len(record["front"]) > SHOWN:
        line(f"... and {len(record['front']) - SHOWN} more on the front.")
    line("* nearest to being best in every objective, in ratios")
    stands = {name: on_ground(base) for name, base in space.bases.items()}
    line(f"What varies aside, machines are {_of_ground(stands)}.")
    if record["analysis"] is not None:
        _analysis(record["analysis"])
    line(
        f"Next: open {found.folder / 'study.html'}; the chosen machine: {found.folder}/chosen.toml"
    )
    policy = space.policy(record["chosen"]["configuration"])
    if policy:  # is no part of a machine
        told = ", ".join(f"{name} = {value}" for name, value in policy.items())
        line(f"Its figures are for replay with {told}.")


def _nothing_chosen(found: Exploration) -> None:
    """Which constraints are too tight, or why nothing runs at all."""
    from accel_models.exploration.report.study_page import amount_text

    trials = found.trials
    reasons = Counter(trials.table["infeasible"].to_pylist())
    running = reasons.pop(None, 0)
    if not running:
        reason, times = reasons.most_common(1)[0]
        line(f"None can run the workloads; {times} for this reason: {reason}")
        return
    for bound in found.space.bounds:
        values = trials.metric(bound.metric)
        values = values[~np.isnan(values)]
        missed = sum(bound.excess(value) > 0 for value in values.tolist())
        least, most = (amount_text(bound.metric, float(end)) for end in (min(values), max(values)))
        line(f"{bound}: {missed} of {running} that run miss it; they have {least} to {most}.")


def _analysis(analysis: Mapping[str, Any]) -> None:
    for objective, importance in analysis["importances"].items():
        shares = sorted(importance["variance"].items(), key=lambda one: -one[1])[:3]
        if shares:
            told = ", ".join(f"{name} {share:.0%}" for name, share in shares)
            line(f"What moves {objective}: {told}")
    stable = analysis["stability"]
    if stable is not None:
        pairs = ", ".join(f"{name} {kept:.1f} %" for name, kept in stable["pairs_kept"].items())
        line(
            f"Over the ranges of {len(stable['constants'])} uncertain constants, "
            f"{stable['front_kept']:.1f} % of the front stays on it; pairs in order: {pairs}"
        )


def _of_ground(stands: Mapping[str, bool]) -> str:
    kinds = {"on common ground": True, "on ground of their own": False}
    named = {
        kind: [name for name, there in stands.items() if there is wanted]
        for kind, wanted in kinds.items()
    }
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in named.items() if names)


def crossed(table: CrossTable, metric: str) -> None:
    """How much more each policy costs on each machine than the machine's own."""
    shown = new_table("policy", "trained for", "accuracy", *table.machines)
    for row, policy in enumerate(table.policies):
        losses = table.loss(metric)[row].tolist()
        shown.add_row(
            policy,
            table.trained_for[row] or "-",
            f"{table.accuracies[row]:.1%}",
            *("cannot run" if math.isnan(loss) else f"{loss:+.1f} %" for loss in losses),
        )
    line(f"{metric}, beside the machine's own policy:")
    terminal().print(shown)
    line(ground_sentence(table.stands))
    if table.without_own:
        line(f"No policy is {' or '.join(table.without_own)}'s own: beside the cheapest there.")
    for (policy, machine), why in table.infeasible.items():
        line(f"{policy} on {machine}: {why}")


def codesigned(outcome: Codesign) -> None:
    """Start, each alone and both, on test inputs."""
    from accel_models.exploration.report.study_page import amount_text

    table = new_table(
        "", outcome.objective, "less than\nat the start", "accuracy", "price", "machine"
    )
    reports = (outcome.start, outcome.machine_alone, outcome.knob_alone, outcome.both)
    for report in reports:
        table.add_row(
            report.name,
            amount_text(outcome.objective, report.cost),
            f"{report.gain_percent:.1f} %",
            ", ".join(f"{accuracy:.1%}" for accuracy in report.accuracies.values()),
            ", ".join(f"{price:g}" for price in report.prices.values()),
            ", ".join(f"{name} {value}" for name, value in report.configuration.items())
            or report.machine,
        )
    terminal().print(table)
    missing = [report.name for report in reports if not report.kept]
    if missing:
        line(f"Misses a constraint of the space: {', '.join(missing)}")
    gain = outcome.gain_over_alone_percent
    line(
        f"Test inputs; every choice was made on validation inputs, at {outcome.floor:.1%} or more. "
        f"Both cost {abs(gain):.1f} % {'less' if gain >= 0 else 'more'} than the better of each "
        "alone."
    )
