"""A recorded trace run through a machine: energy and latency of every input, and where they went.

Cycles and actions are counted as integers and priced at the end, so a static network written as a
trace costs exactly what `simulate` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.errors import InputError
from accel_models.leaving import units_run
from accel_models.replay.fusion import handed_over, look_ups
from accel_models.replay.matching import check_match
from accel_models.replay.plan import Plan, plan
from accel_models.replay.policy import Policy
from accel_models.replay.queueing import Poisson, Queued, Server
from accel_models.replay.rules import ACTION_COUNT, EXPOSED, SPARED, SWITCHING, WASTED, Sums
from accel_models.replay.totals import OfClass, Totals
from accel_models.trace import GateTrace


class Walked(NamedTuple):
    """The detail of each input, in the order of the trace, and the sums of all."""

    detail: np.ndarray
    sums: Sums


@dataclass(frozen=True)
class Replay:
    """Every input of a trace, run on the machine of a cost table under a policy.

    Args:
        trace: N inputs.
        plan: the cost table and the policy, with the guess it came to.
        cycles: int64 [input], from the start of the input's batch to its completion.
        busy_j: float64 [input], energy of the input, in batches its share of the batch's, without
            what leaks while the machine waits for inputs.
        order: int64 [input], the inputs as they were dealt to batches; None for the trace's order.
        queued: what the inputs saw, where they arrive by themselves.
    """

    trace: GateTrace
    plan: Plan
    cycles: np.ndarray
    busy_j: np.ndarray
    order: np.ndarray | None = None
    queued: Queued | None = None

    def __repr__(self) -> str:
        where = f"{self.table.workload.name} on {self.table.accelerator.name}"
        means = ""
        if len(self.trace):
            energy, latency = self.energy_j.mean() * 1e6, self.latency_s.mean() * 1e6
            means = f": {energy:.4g} µJ and {latency:.4g} µs on average"
        return f"<Replay of {len(self.trace)} inputs of {where}{means}>"

    @property
    def table(self) -> CostTable:
        return self.plan.table

    @property
    def policy(self) -> Policy:
        return self.plan.policy

    @cached_property
    def choices(self) -> np.ndarray:
        """What each input ran at, uint8 [input, unit]; the trace's, but for ``max`` batches."""
        return self._in_trace_order(self.plan.executed(self._dealt))

    @cached_property
    def together(self) -> np.ndarray:
        """How many inputs ran in the batch of each, int64 [input]."""
        inputs, batch = len(self.trace), self.policy.batch
        last = inputs - inputs // batch * batch
        sizes = np.full(inputs, batch)
        sizes[inputs - last :] = last
        return self._in_trace_order(sizes)

    @cached_property
    def leaking_cycles(self) -> np.ndarray:
        """Cycles over which an input is charged leakage: those of its batch, divided among its
        inputs, and those for which the machine waited before; [input]."""
        busy = self.cycles if self.policy.batch == 1 else self.cycles / self.together
        if self.queued is None or self.policy.idle_gating:
            return busy
        return busy + self.queued.idle * self.table.accelerator.frequency_hz

    @cached_property
    def energy_j(self) -> np.ndarray:
        """Energy of each input in J, float64 [input]."""
        if self.queued is None or self.policy.idle_gating:
            return self.busy_j
        return self.busy_j + self.queued.idle * self.plan.pricing.static_power_w

    @cached_property
    def latency_s(self) -> np.ndarray:
        """Latency of each input in s, from the start of its batch, float64 [input]."""
        return self.cycles / self.table.accelerator.frequency_hz

    @property
    def edp_js(self) -> float:
        """Mean of energy x latency over inputs, in J s, without what leaks while the machine waits
        for inputs."""
        return self.totals.edp_js / len(self.trace)

    @cached_property
    def counts(self) -> np.ndarray:
        """Actions of each input as in `problem.ACTIONS`: int64 [input, action]; in batches its
        shares, float64."""
        return self._exact(self._walked.detail[:, :ACTION_COUNT])

    @cached_property
    def energy_pj(self) -> np.ndarray:
        """Energy by component in pJ, float64 [input, component]."""
        return self.plan.pricing.energy_pj(self.counts, self.leaking_cycles)

    @cached_property
    def spared_cycles(self) -> np.ndarray:
        """Cycles that each input's batch took less, as first weights loaded early, int64 [input].
        What loads early within a unit is in the table already."""
        return self._walked.detail[:, SPARED].astype(np.int64)

    @cached_property
    def exposed_cycles(self) -> np.ndarray:
        """Cycles of gates, and of first weights that were waited for as a gate decided on their
        width, int64 [input]."""
        return self._walked.detail[:, EXPOSED].astype(np.int64)

    @cached_property
    def switching_cycles(self) -> np.ndarray:
        """Cycles for which the array waited as operands changed their width, int64 [input]."""
        return self._walked.detail[:, SWITCHING].astype(np.int64)

    @cached_property
    def wasted_bits(self) -> np.ndarray:
        """DRAM bits fetched in vain: int64 [input]; in batches its share, float64."""
        return self._exact(self._walked.detail[:, WASTED])

    @cached_property
    def bitops(self) -> np.ndarray:
        """BitOps of each input, int64 [input]."""
        table, stages = self.table, self.table.staged(self.table.bitops)
        begun = np.cumsum(stages.settled)
        total: np.ndarray = begun[units_run(self.choices, table.leaving)]
        for costs, chosen in zip(stages.units, self.choices.T, strict=True):
            total += costs[chosen]
        return total

    @cached_property
    def totals(self) -> Totals:
        """What all inputs took together."""
        return add_up(self)

    @property
    def choice_counts(self) -> np.ndarray:
        """How many of the inputs that came to a unit took each choice, int64 [unit, choice]."""
        return count_choices(self.choices, self.table)

    @property
    def layer_energy_pj(self) -> np.ndarray:
        """Mean energy of each layer by component in pJ, float64 [layer, component].

        Summed over layers it is the mean of `energy_pj`, without what leaks while the machine
        waits for inputs.
        """
        return self.totals.layer_energy_pj(self.plan)

    @property
    def layer_latency_s(self) -> np.ndarray:
        """Mean time that each layer takes of an input's, in s, float64 [layer]; in batches, of the
        batch's time divided among its inputs."""
        return self.totals.layer_latency_s(self.plan)

    @cached_property
    def _dealt(self) -> np.ndarray:
        choices = self.trace.choices
        return choices if self.order is None else choices[self.order]

    @cached_property
    def _walked(self) -> Walked:
        executed = self.plan.executed(self._dealt)
        _, _, detail, sums = self.plan.walked(executed, detailed=True)
        return Walked(self._in_trace_order(detail), sums)

    @cached_property
    def sums(self) -> Sums:
        """What ran how often, over all inputs."""
        if "_walked" in self.__dict__:
            return self._walked.sums
        return self.plan.walked(self.plan.executed(self._dealt))[3]

    def _in_trace_order(self, values: np.ndarray) -> np.ndarray:
        return values if self.order is None else _undealt(values, self.order)

    def _exact(self, values: np.ndarray) -> np.ndarray:
        return values.astype(np.int64) if self.policy.batch == 1 else values


def replay(
    trace: GateTrace, machine: Accelerator | CostTable, policy: Policy | None = None
) -> Replay:
    """Look up what every input of a trace costs.

    Args:
        trace: the choices of N inputs.
        machine: any; or its cost table of the same network and choice set, if there is one already:
            for batches, of groups as large as a batch.
        policy: what is charged beside the work itself; by default ``Policy()``.

    Raises:
        InputError: if the trace is of another network or choice set than the table, or the policy
            asks for what the machine or the trace does not have.
        InfeasibleError: if the machine cannot run a choice that occurs in the trace.
    """
    header, policy = trace.header, policy or Policy()
    if isinstance(machine, CostTable):
        table = machine
        check_match(header, table)
    else:
        groups = policy.batch
        table = cost_table(
            header.workload, machine, header.choices, always=header.always, max_group=groups
        )
    counts = None
    if table.infeasible or policy.prefetch == "modal":
        counts = count_choices(trace.choices, table)
    wanted = plan(table, policy, counts)
    wanted.require_feasible([] if counts is None else np.flatnonzero(counts.any(axis=0)).tolist())
    outcome = served(trace, wanted)
    if wanted.policy.arrivals == "none":
        return outcome
    if len(trace) == 0:
        raise InputError("no inputs are there to arrive")
    return with_arrivals(outcome)


def served(trace: GateTrace, wanted: Plan) -> Replay:
    """Inputs that are there when the machine asks for them, of a trace known to match."""
    order = wanted.order(trace.choices)
    if wanted.policy.batch == 1:
        return Replay(trace, wanted, *wanted.alone(trace.choices))
    dealt = trace.choices if order is None else trace.choices[order]
    cycles, joules, _, _ = wanted.walked(wanted.executed(dealt))
    if order is not None:
        cycles, joules = _undealt(cycles, order), _undealt(joules, order)
    return Replay(trace, wanted, cycles, joules, order)


def with_arrivals(outcome: Replay) -> Replay:
    """Replay of inputs that wait for the machine as they arrive by themselves.

    Raises:
        InputError: if recorded times of arrival are asked for and the trace has none.
    """
    policy, trace, service = outcome.policy, outcome.trace, outcome.latency_s
    if policy.arrivals == "recorded":
        if trace.arrival_s is None:
            raise InputError("the trace has no column arrival_s with times of arrival")
        arrivals = trace.arrival_s
    else:
        busy_s = int(outcome.cycles[:: policy.batch].sum()) / outcome.table.accelerator.frequency_hz
        arrivals = Poisson(policy.load * len(trace) / busy_s, policy.seed).take(len(trace))
    queued = Server(policy.batch).serve(arrivals, service)
    return Replay(trace, outcome.plan, outcome.cycles, outcome.busy_j, outcome.order, queued)


def count_choices(choices: np.ndarray, table: CostTable) -> np.ndarray:
    """How many of N inputs came to each unit and took each of a table's choices there, int64
    [unit, choice], of uint8 [N, unit]."""
    counts = np.zeros((choices.shape[1], len(table.choices)), dtype=np.int64)
    look_ups().count(handed_over(choices), table.leaving, counts)
    return counts


def _undealt(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values in the order of the trace, of such in the order in which inputs were dealt."""
    back = np.empty_like(values)
    back[order] = values
    return back


def add_up(outcome: Replay) -> Totals:
    """The totals of a replay."""
    trace, batch = outcome.trace, outcome.policy.batch
    dealt = outcome.cycles if outcome.order is None else outcome.cycles[outcome.order]
    labels, of_label = np.unique(trace.labels, return_inverse=True)
    correct = (trace.labels == trace.predictions).astype(np.float64)
    columns = [
        np.bincount(of_label, weights=values, minlength=len(labels)).tolist()
        for values in (np.ones(len(trace)), correct, outcome.busy_j, outcome.latency_s)
    ]
    return Totals(
        sums=outcome.sums,
        choice_counts=outcome.choice_counts,
        busy_cycles=int(dealt[::batch].sum()),
        idle_s=0.0 if outcome.queued is None else float(outcome.queued.idle.sum()),
        edp_js=float((outcome.busy_j * outcome.latency_s).sum()),
        classes={
            int(label): OfClass(int(inputs), int(right), energy, latency)
            for label, inputs, right, energy, latency in zip(labels, *columns, strict=True)
        },
    )
