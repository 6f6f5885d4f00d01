"""Policies trained for some machines, run on others: what it costs not to have one's own.

In the manner of HAQ (Wang et al., CVPR 2019), which shows that a policy for one accelerator is not
the best for another, but with policies that choose for each input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.ground import on_ground
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.errors import InputError
from accel_models.exploration.evaluate import Evaluator
from accel_models.exploration.space import BASE, Space
from accel_models.exploration.workloads import Demand, NetworkRun
from accel_models.metrics import METRICS, named, replayed
from accel_models.trace import GateTrace


@dataclass(frozen=True)
class CrossTable:
    """What P policies cost on M machines.

    Args:
        network: what all of them are policies of.
        policies: their names.
        trained_for: the machine of each, "" if it is none of these.
        machines: their names.
        accuracies: of each policy, on the inputs of its trace.
        costs: by metric, of `metrics.replayed`, float64 [policy, machine]; NaN where the
            machine cannot run what the policy chose.
        infeasible: why, by (policy, machine) by name.
        stands: whether a machine stands on common ground, by name.
    """

    network: str
    policies: tuple[str, ...]
    trained_for: tuple[str, ...]
    machines: tuple[str, ...]
    accuracies: tuple[float, ...]
    costs: Mapping[str, np.ndarray]
    infeasible: Mapping[tuple[str, str], str]
    stands: Mapping[str, bool]

    def loss(self, metric: str = "energy") -> np.ndarray:
        """How much more a policy costs than the machine's own, in percent; float64 [policy,
        machine]. Less than 0: it costs less, if perhaps at another accuracy. On a machine in
        `without_own`, the least is the reference.

        Raises:
            InputError: if the metric is none of `costs`.
        """
        costs = self.costs[named(metric, (METRICS[name] for name in self.costs)).name]
        own = np.array([self._reference(costs[:, m], name) for m, name in enumerate(self.machines)])
        return 100 * (costs / own - 1)

    @property
    def without_own(self) -> tuple[str, ...]:
        """Machines that no policy was trained for, or that cannot run the one that was."""
        return tuple(name for name in self.machines if self._own(name) is None)

    def _own(self, machine: str) -> int | None:
        """Position of the policy that was trained for a machine, and runs on it."""
        for row, (policy, home) in enumerate(zip(self.policies, self.trained_for, strict=True)):
            if home == machine and (policy, machine) not in self.infeasible:
                return row
        return None

    def _reference(self, column: np.ndarray, machine: str) -> float:
        own = self._own(machine)
        if own is not None:
            return float(column[own])
        known = column[~np.isnan(column)]
        return float(known.min()) if len(known) else math.nan

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return {
            "network": self.network,
            "policies": [
                {"name": name, "trained_for": machine, "accuracy": accuracy}
                for name, machine, accuracy in zip(
                    self.policies, self.trained_for, self.accuracies, strict=True
                )
            ],
            "machines": list(self.machines),
            "on_common_ground": dict(self.stands),
            "costs": {name: _listed(costs) for name, costs in self.costs.items()},
            "loss_percent": {name: _listed(self.loss(name)) for name in self.costs},
            "infeasible": [[*place, why] for place, why in self.infeasible.items()],
        }


def cross_table(
    traces: Mapping[str, GateTrace] | Sequence[str | Path],
    machines: Mapping[str, str | Path | Accelerator] | None = None,
    trained_for: Mapping[str, str] | None = None,
) -> CrossTable:
    """Run every policy on every machine.

    Args:
        traces: of policies of one network, by name or as files.
        machines: by name; by default those that the traces say they were trained for.
        trained_for: name of the machine of each policy, where its trace does not say it.

    Raises:
        InputError: if the traces are of different networks, two were trained for one machine, or a
            machine cannot be loaded.
    """
    policies = _policies(traces)
    homes = {
        name: (trained_for or {}).get(name, policy.header.accelerator)
        for name, policy in policies.items()
    }
    chosen: dict[str, Accelerator] = {}
    for name, machine in (machines or {}).items():
        loaded = machine if isinstance(machine, Accelerator) else load_accelerator(machine)
        chosen[name] = loaded
    for name, home in homes.items():
        if not machines and home and home not in chosen:
            chosen[home] = _home(name, home, policies[name].header.plugin)
    _check(policies, homes, chosen)
    runs = tuple(NetworkRun.of_trace(trace, name) for name, trace in policies.items())
    demand = Demand("policy", 1.0, runs)
    dimension = demand.dimension
    shape = (len(policies), len(chosen))
    costs = {metric.name: np.full(shape, math.nan) for metric in replayed()}
    infeasible: dict[tuple[str, str], str] = {}
    for column, (name, machine) in enumerate(chosen.items()):
        space = Space(name, {name: machine}, (dimension,) if dimension else (), ("energy",))
        label = dimension.name if dimension else BASE
        outcomes = Evaluator(space, (demand,))([{label: policy} for policy in policies])
        for row, (policy, outcome) in enumerate(zip(policies, outcomes, strict=True)):
            if not outcome.is_feasible:
                infeasible[policy, name] = outcome.infeasible
            for metric in replayed():
                value = outcome.metrics[metric.column]
                costs[metric.name][row, column] = math.nan if value is None else value
    return CrossTable(
        runs[0].network.name,
        tuple(policies),
        tuple(home if home in chosen else "" for home in homes.values()),
        tuple(chosen),
        tuple(trace.accuracy for trace in policies.values()),
        costs,
        infeasible,
        {name: on_ground(machine) for name, machine in chosen.items()},
    )


def _policies(traces: Mapping[str, GateTrace] | Sequence[str | Path]) -> dict[str, GateTrace]:
    if isinstance(traces, Mapping):
        policies = dict(traces)
    else:
        policies = {Path(path).stem: GateTrace.read(path) for path in traces}
        if len(policies) < len(traces):
            raise InputError("two of the traces have the same file name")
    if not policies:
        raise InputError("a cross table needs traces")
    return policies


def _home(policy: str, machine: str, plugin: str) -> Accelerator:
    """The machine that a policy says it was trained for."""
    try:
        return load_accelerator(machine, plugin=plugin)
    except InputError as error:
        raise InputError(
            f"'{policy}' was trained for '{machine}', which cannot be loaded: say on which "
            f"machines to run it ({error})"
        ) from error


def _check(
    policies: Mapping[str, GateTrace], homes: Mapping[str, str], machines: Mapping[str, Any]
) -> None:
    if not machines:
        raise InputError("the traces name no machine: say on which to run them")
    networks = {name: trace.header.workload.without_gates() for name, trace in policies.items()}
    (first, network), *others = networks.items()
    for name, other in others:
        if other.key != network.key:
            raise InputError(
                f"'{name}' is of another network ('{other.name}') than '{first}' "
                f"('{network.name}'): policies of one network are compared"
            )
    for machine in machines:
        own = [name for name, home in homes.items() if home == machine]
        if len(own) > 1:
            raise InputError(f"{' and '.join(own)} were both trained for {machine}: leave one out")


def _listed(values: np.ndarray) -> list[list[float | None]]:
    return [[None if math.isnan(value) else value for value in row] for row in values.tolist()]


__all__ = ["CrossTable", "cross_table"]
