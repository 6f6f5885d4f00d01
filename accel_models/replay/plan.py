"""A cost table under a policy, ready to be asked for one trace after another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.pricing import Pricing
from accel_models.errors import InputError
from accel_models.precision import highest
from accel_models.replay.chain import Link, chain_of, layer_widths, links, turns_within
from accel_models.replay.fusion import Fused, fuse, handed_over, kernel, look_ups
from accel_models.replay.policy import Policy
from accel_models.replay.rules import (
    DRAM_READ,
    PARTS,
    PREFETCHES,
    STALL,
    WEIGHT_WRITE,
    Chain,
    Rules,
    Sums,
    nothing_ran,
)


@dataclass(frozen=True)
class Plan:
    """What every input of a trace is asked against. `policy` has its guess, if it needs one."""

    table: CostTable
    policy: Policy

    def __post_init__(self) -> None:
        policy, table = self.policy, self.table
        machine, groups = table.accelerator, table.cycles.shape[2]
        if policy.batch > groups:
            raise InputError(
                f"a batch of {policy.batch} needs a cost table for groups of as many inputs: "
                f"this one has max_group = {groups}"
            )
        if policy.prefetch != "none" and not machine.fidelity.prefetch:
            raise InputError(
                f"prefetch = {policy.prefetch}: {machine.name} loads no weights early "
                "(fidelity.prefetch is false)"
            )
        if policy.prefetch == "planes" and machine.storage.weights != "planes":
            raise InputError(
                f"prefetch = planes: {machine.name} stores weights as '{machine.storage.weights}', "
                "not as nested planes"
            )
        if policy.prefetch == "modal" and (
            policy.guess is None or len(policy.guess) != len(table.units)
        ):
            raise InputError(f"prefetch = modal needs a guess for each of {len(table.units)} units")
        options = range(len(table.choices))
        stray = [guess for guess in policy.guess or () if guess not in options]
        if stray:
            raise InputError(f"a guess is the index of one of {len(options)} choices: {stray[0]}")

    @cached_property
    def links(self) -> tuple[Link, ...]:
        return links(self.table)

    @cached_property
    def chain(self) -> Chain:
        return chain_of(self.table)

    @cached_property
    def rules(self) -> Rules:
        return rules_of(self.table, self.policy)

    @cached_property
    def guesses(self) -> np.ndarray:
        return guesses_of(self.chain, self.policy)

    @cached_property
    def pricing(self) -> Pricing:
        return Pricing(self.table.accelerator)

    @cached_property
    def _fused(self) -> Fused:
        return fuse(self.chain, self.rules, self.guesses)

    @cached_property
    def turns(self) -> np.ndarray:
        """Whether a layer changes widths within its link, bool [layer, choice]."""
        return turns_within(self.links, layer_widths(self.table))

    def require_feasible(self, used: Iterable[int]) -> None:
        """Raise `InfeasibleError` if the machine cannot run a choice that is used, or fetched."""
        wanted = set(used) | set(self.policy.guess or ())
        if self.policy.prefetch == "planes":
            wanted.add(self.rules.widest)
        self.table.require_feasible(wanted)

    def alone(self, choices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cycles int64 and J float64 of N inputs, each by itself.

        Args:
            choices: uint8 [N, unit].
        """
        fused = self._fused
        if len(fused.units) == 0:
            choices = np.zeros((len(choices), 1), dtype=np.uint8)
        elif not np.array_equal(fused.units, np.arange(choices.shape[1])):
            choices = choices[:, fused.units]
        cycles, joules = np.empty(len(choices), dtype=np.int64), np.empty(len(choices))
        tables = (fused.weights, fused.fused, fused.single, fused.costs, fused.following)
        look_ups().tally(handed_over(choices), *tables, cycles, joules)
        return cycles, joules

    def walked(
        self, choices: np.ndarray, *, detailed: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sums]:
        """Cycles and J of N inputs in batches, their detail if asked for, and the sums.

        The detail is float64 [N, `PARTS`]: exact where inputs run alone.
        """
        cycles, joules = np.empty(len(choices), dtype=np.int64), np.zeros(len(choices))
        detail = np.zeros((len(choices) if detailed else 0, PARTS))
        sums = nothing_ran(self.chain)
        kernel().walk(
            self.chain,
            self.rules,
            self.guesses,
            handed_over(choices),
            self.policy.batch,
            cycles,
            joules,
            detail,
            sums,
        )
        return cycles, joules, detail, sums

    def executed(self, choices: np.ndarray) -> np.ndarray:
        """What runs of N inputs' choices, uint8 [N, unit]: with ``max``, the batch's highest."""
        if self.policy.batching != "max" or len(choices) == 0:
            return choices
        options = self.table.choices
        by_rank = sorted(
            range(len(options)),
            key=lambda k: (not options[k].exits, options[k].bitops_per_mac, options[k]),
        )
        rank = np.argsort(by_rank).astype(np.uint8)
        starts = np.arange(0, len(choices), self.policy.batch)
        top = np.maximum.reduceat(rank[choices], starts, axis=0)
        taken = np.asarray(by_rank, dtype=np.uint8)[top]
        return np.repeat(taken, self.policy.batch, axis=0)[: len(choices)]

    def order(self, choices: np.ndarray) -> np.ndarray | None:
        """The inputs in the order in which they are dealt to batches; None for the trace's."""
        if self.policy.batching != "sorted":
            return None
        single = replace(self.policy, batching="single", batch=1)
        return np.argsort(Plan(self.table, single).alone(choices)[0], kind="stable")


def plan(table: CostTable, policy: Policy, choice_counts: np.ndarray | None = None) -> Plan:
    """A plan; its guess, if the policy needs one and has none, is each unit's most frequent choice.

    Args:
        choice_counts: how many inputs took each choice, int64 [unit, choice].
    """
    if policy.prefetch == "modal" and policy.guess is None and choice_counts is not None:
        policy = replace(policy, guess=tuple(choice_counts.argmax(axis=1).tolist()))
    return Plan(table, policy)


def rules_of(table: CostTable, policy: Policy) -> Rules:
    """The numbers of a policy on a table's machine."""
    machine, pricing = table.accelerator, Pricing(table.accelerator)
    prices = pricing.action_pj
    skips = [number for number, choice in enumerate(table.choices) if choice.is_skip]
    return Rules(
        prefetch=PREFETCHES.index(policy.prefetch),
        widest=table.choices.index(highest(table.choices)),
        skip=skips[0] if skips else -1,
        leaving=table.leaving,
        reconfiguration=machine.array.reconfiguration_cycles if policy.switches else 0,
        bits_per_cycle=float(machine.dram_bits_per_cycle),
        burst_bits=8 * machine.dram.burst_bytes,
        stall_pj=float(prices[STALL]),
        waste_pj=float(prices[DRAM_READ] + prices[WEIGHT_WRITE]),
        joules_per_pj=(1 + machine.energy.other_share) * 1e-12,
        leakage_j=pricing.static_pj_per_cycle * 1e-12,
    )


def guesses_of(chain: Chain, policy: Policy) -> np.ndarray:
    """The choice whose weights are fetched as each link decides, int64 [link]."""
    guesses = np.zeros(len(chain.unit), dtype=np.int64)
    if policy.guess is not None:
        inside = chain.unit >= 0
        guesses[inside] = np.asarray(policy.guess)[chain.unit[inside]]
    return guesses
