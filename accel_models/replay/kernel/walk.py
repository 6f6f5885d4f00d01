"""Compiled: inputs walked through the chain of a network."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from accel_models.replay.rules import (
    ACTION_COUNT,
    DRAM_READ,
    EXPOSED,
    GONE,
    MODAL,
    NONE,
    NOTHING_RAN,
    ORACLE,
    SPARED,
    STALL,
    SWITCHING,
    WASTED,
    WEIGHT_WRITE,
    Chain,
    Rules,
    Sums,
)


@njit(cache=True, forceinline=True)
def arrived(rules: Rules, cycles: int, block: int) -> int:
    """Bits of a block that come within some cycles, in whole bursts."""
    bits = math.floor(cycles * rules.bits_per_cycle)
    if rules.burst_bits > 0:
        bits = -(-bits // rules.burst_bits) * rules.burst_bits
    return min(bits, block)


@njit(cache=True, forceinline=True)
def speculate(
    rules: Rules,
    guess: int,
    runs: np.ndarray,
    head: np.ndarray,
    bits: np.ndarray,
    choice: int,
    size: int,
    batch: int,
    free: int,
) -> tuple[int, int, bool]:
    """Cycles spared, bits wasted and whether anything was fetched while a gate decided.

    Of the arrays of a chain, those of the link are given. `choice` is the first that runs, by
    `size` inputs of a `batch`; -1 if nothing does. DRAM was `free` for some cycles when the
    decision was there.
    """
    if rules.prefetch == NONE:
        return 0, 0, False
    # What came early spares no more than the layer would have waited for, nor than DRAM was free.
    right = min(free, head[choice, size - 1]) if choice >= 0 else 0
    if rules.prefetch == ORACLE:
        return right, 0, False
    if rules.prefetch == MODAL:
        # One choice is fetched for the whole batch. A right guess spares cycles, a wrong one costs
        # what came before the decision, and only if that unit would have read weights at all.
        if guess == choice:
            return right, 0, False
        if not runs[guess]:
            return 0, 0, False
        fetched = arrived(rules, free, bits[guess, batch - 1])
        return 0, fetched, fetched > 0
    # Planes come from the highest bit on, so those that came serve any width, as far as it needs
    # them; the rest is wasted.
    fetched = arrived(rules, free, bits[rules.widest, batch - 1])
    if choice < 0 or choice == rules.skip:
        return 0, fetched, fetched > 0
    needed = bits[choice, size - 1]
    useful = min(fetched, needed)
    return min(right, math.ceil(useful / rules.bits_per_cycle)), fetched - useful, False


@njit(cache=True)
def transitions(
    chain: Chain,
    rules: Rules,
    guesses: np.ndarray,
    link: int,
    free: np.ndarray,
    widths: np.ndarray,
    most: int,
    cycles: np.ndarray,
    pj: np.ndarray,
    free_after: np.ndarray,
    widths_after: np.ndarray,
) -> None:
    """Fill in what a link takes one input that arrives in each state: [state, choice].

    A state is what is passed on between links: the cycles for which DRAM has been free, `GONE` if
    the input has left, and the last operand widths. More than `most` free cycles are of no use to
    anything that follows.
    """
    # Inputs alone, batches of one: a state holds all that a link passes on, so a link's costs can
    # be tabled and links fused.
    known, guess = chain.known[link], guesses[link]
    runs, head, bits = chain.runs[link], chain.head[link], chain.bits[link]
    for state in range(len(free)):
        for choice in range(cycles.shape[1]):
            # Nothing runs of an input that has left, and nothing is passed on.
            free_after[state, choice], widths_after[state, choice] = GONE, NOTHING_RAN
            cycles[state, choice] = pj[state, choice] = 0
            if free[state] == GONE:
                continue
            idle = int(free[state] + chain.gate_cycles[link, 0])
            # Choices that need no decision load as early as the cycles before allow. Others wait
            # for their gate, unless something is fetched on suspicion.
            waits = wasted = 0
            fetched = False
            if not known:
                taken = choice if runs[choice] else -1
                spared, wasted, fetched = speculate(
                    rules, guess, runs, head, bits, taken, 1, 1, idle
                )
                waits -= spared
            elif runs[choice]:
                waits -= min(idle, int(head[choice, 0]))
            # Only a link that runs changes what the next one meets; a skipped one passes it on, but
            # for DRAM that was busy with weights nobody wanted, or had to wait whether the input
            # would leave.
            stays = choice != rules.leaving or not chain.exits[link]
            widths_after[state, choice] = widths[state] if stays else NOTHING_RAN
            if runs[choice]:
                turns = chain.turns[link, choice] + enters_anew(
                    widths[state], chain.first[link, choice]
                )
                waits += turns * rules.reconfiguration
                idle = int(chain.tail[link, choice, 0])
                widths_after[state, choice] = left_at(widths[state], chain.last[link, choice])
            elif fetched or holds_back(chain.exits[link], rules):
                idle = 0
            # Capped, so that there are few states: more free cycles than any later head make no
            # difference.
            free_after[state, choice] = min(idle, most) if stays else GONE
            cycles[state, choice] = (
                chain.gate_cycles[link, 0] + chain.cycles[link, choice, 0] + waits
            )
            pj[state, choice] = chain.gate_pj[link, 0] + chain.pj[link, choice, 0]
            pj[state, choice] += waits * rules.stall_pj + wasted * rules.waste_pj


@njit(cache=True, forceinline=True)
def holds_back(exits: bool, rules: Rules) -> bool:
    """Whether nothing that follows a unit that is skipped could load before it was known that the
    input stays."""
    return exits and rules.prefetch != ORACLE


@njit(cache=True, forceinline=True)
def has_left(choices: np.ndarray, i: int, unit: int, rules: Rules) -> bool:
    """Whether an input left at a unit or before it; at none if `unit` is -1."""
    return unit >= 0 and np.int64(choices[i, unit]) == rules.leaving


@njit(cache=True, forceinline=True)
def enters_anew(before: int, after: int) -> int:
    """Number of times the array changes widths, 0 or 1."""
    return int(before != NOTHING_RAN and after != NOTHING_RAN and before != after)


@njit(cache=True, forceinline=True)
def left_at(before: int, last: int) -> int:
    """The array's operand widths after a link: those of before if only the vector unit ran."""
    return before if last == NOTHING_RAN else last


@njit(cache=True)
def walk(
    chain: Chain,
    rules: Rules,
    guesses: np.ndarray,
    choices: np.ndarray,
    batch: int,
    cycles: np.ndarray,
    joules: np.ndarray,
    detail: np.ndarray,
    sums: Sums,
) -> None:
    """Walk batches of inputs, the groups of each unit one after another.

    Fills in what each input takes: `cycles` of its batch, its share of the energy, and of `detail`
    [input, part], if it has rows, its share of all actions. Adds to `sums` what ran how often. A
    batch becomes smaller as inputs leave, and ends early if all have left.
    """
    # One function: a batch's state lives in a dozen numbers that every phase reads and changes, and
    # the arrays below would have to be handed to each.
    # Arrays are taken out of their tuples here: in the loops, that would count references.
    units, known, options = chain.unit, chain.known, chain.choices
    gate_cycles, gate_pj, gate_counts = chain.gate_cycles, chain.gate_pj, chain.gate_counts
    runs, first, last, turns = chain.runs, chain.first, chain.last, chain.turns
    takes, run_pj, counts = chain.cycles, chain.pj, chain.counts
    heads, bits, tails = chain.head, chain.bits, chain.tail
    batches, ran, spared_by, switched = sums.batches, sums.runs, sums.spared, sums.switching
    wasted_by, exposed_by, exits = sums.wasted, sums.exposed, chain.exits
    size = np.zeros(runs.shape[1], dtype=np.int64)
    share = np.zeros(runs.shape[1])
    detailed, speculates = len(detail) > 0, rules.prefetch != NONE
    for start in range(0, len(choices), batch):
        stop = min(start + batch, len(choices))
        together = stop - start
        # Batches begin on an idle machine: nothing is passed on between them, so that what an input
        # takes does not depend on the trace around it.
        free, widths = 0, NOTHING_RAN
        total = exposed = spared = switching = 0
        every_pj = 0.0
        # Inputs that have not left, and the unit whose choices say which have.
        present, left_by = together, -1
        for link in range(len(units)):
            unit = units[link]
            # The gate decides for all inputs of the batch together, while DRAM is free.
            late = gate_cycles[link, present - 1]
            total += late
            free += late
            every_pj += gate_pj[link, present - 1] / present
            batches[link, present - 1] += 1
            # How many chose what: inputs that agree run as one group. A link without a unit is one
            # group of all; a single input needs no counting.
            lowest, end = 0, options[link]
            if unit < 0:
                size[0] = present
            elif together == 1:
                lowest = int(np.int64(choices[start, unit]))
                end = lowest + 1
                size[lowest] = 1
            else:
                for choice in range(end):
                    size[choice] = 0
                for i in range(start, stop):
                    size[choices[i, unit]] += 1
            # Groups follow each other in the order of choices, so that results do not depend on
            # that of the inputs.
            wasted, begins = 0, True
            for choice in range(lowest, end):
                group = size[choice]
                share[choice] = 0.0
                if group == 0 or not runs[link, choice]:
                    continue
                head = heads[link, choice, group - 1]
                # Weights known in advance come while DRAM is free. Where a gate decides, only the
                # first group can profit from a guess; the groups after it are known by then, and
                # load early like any other.
                gained = min(free, head)
                if begins and not known[link]:
                    gained = 0
                    if speculates:
                        here = (guesses[link], runs[link], heads[link], bits[link])
                        gained, wasted, _ = speculate(rules, *here, choice, group, present, free)
                    late += head - gained
                begins = False
                # Array and energy: waits are stalls and are paid for as such, cycles gained are
                # stalls spared. The energy of a group falls on its inputs alone.
                entering = enters_anew(widths, first[link, choice]) * rules.reconfiguration
                waits = entering + turns[link, choice] * rules.reconfiguration
                switching += waits
                waits -= gained
                spared += gained
                total += takes[link, choice, group - 1] + waits
                share[choice] = (run_pj[link, choice, group - 1] + waits * rules.stall_pj) / group
                ran[link, choice, group - 1] += 1
                spared_by[link, choice] += gained
                switched[link, choice] += entering
                free = tails[link, choice, group - 1]
                widths = left_at(widths, last[link, choice])
                if detailed:
                    for i in range(start, stop):
                        taking = unit < 0 and not has_left(choices, i, left_by, rules)
                        if taking or (unit >= 0 and choices[i, unit] == choice):
                            add_share(detail, i, counts[link, choice, group - 1], group)
                            detail[i, STALL] += waits / group
            # No group ran, so nothing above has asked what the guess has cost: all that came is
            # wasted.
            if speculates and begins and not known[link]:
                here = (guesses[link], runs[link], heads[link], bits[link])
                _, wasted, fetched = speculate(rules, *here, -1, 1, present, free)
                if fetched:
                    free = 0
            if begins and holds_back(exits[link], rules):
                free = 0
            # What the gate did, and what was fetched in vain, was done for the whole batch: all
            # inputs share.
            exposed += late
            exposed_by[link] += late
            wasted_by[link] += wasted
            every_pj += wasted * rules.waste_pj / present
            if unit < 0:
                every_pj += share[0]
            else:
                for i in range(start, stop):
                    joules[i] += share[choices[i, unit]]
            if detailed:
                for i in range(start, stop):
                    if has_left(choices, i, left_by, rules):
                        continue
                    add_share(detail, i, gate_counts[link, present - 1], present)
                    detail[i, DRAM_READ] += wasted / present
                    detail[i, WEIGHT_WRITE] += wasted / present
                    detail[i, WASTED] += wasted / present
            # Those that leave here have paid their share of everything so far.
            if exits[link]:
                for i in range(start, stop):
                    leaves = has_left(choices, i, unit, rules)
                    if leaves and not has_left(choices, i, left_by, rules):
                        joules[i] += every_pj
                        present -= 1
                left_by = unit
            if present == 0:
                break
        # All inputs of a batch are answered at its end; they share what leaked until then.
        leaked_j = total * rules.leakage_j / together
        every_j = every_pj * rules.joules_per_pj + leaked_j
        for i in range(start, stop):
            cycles[i] = total
            rest_j = leaked_j if has_left(choices, i, left_by, rules) else every_j
            joules[i] = joules[i] * rules.joules_per_pj + rest_j
            if detailed:
                detail[i, SPARED], detail[i, EXPOSED] = spared, exposed
                detail[i, SWITCHING] = switching


@njit(cache=True, forceinline=True)
def add_share(detail: np.ndarray, i: int, counts: np.ndarray, inputs: int) -> None:
    """Add to an input its share of the actions of several."""
    # Shares are fractions and add up only to rounding; `Sums` holds the same in integers, exactly.
    share = 1.0 / inputs
    for action in range(ACTION_COUNT):
        detail[i, action] += counts[action] * share
