"""Compiled: choices of inputs counted, and looked up in tables for several units at once."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def count(choices: np.ndarray, leaving: int, counts: np.ndarray) -> None:
    """Add to `counts` [unit, choice] how many of N inputs took each, of those that had not left
    before."""
    for i in range(len(choices)):
        for unit in range(choices.shape[1]):
            counts[unit, choices[i, unit]] += 1
            if np.int64(choices[i, unit]) == leaving:
                break


@njit(cache=True, forceinline=True)
def code(choices: np.ndarray, i: int, unit: int, weights: tuple[int, ...]) -> int:
    """Place in a fused table of what an input chose from a unit on."""
    place = 0
    for ahead in range(len(weights)):
        place += int(weights[ahead] * np.int64(choices[i, unit + ahead]))
    return place


@njit(cache=True)
def tally(
    choices: np.ndarray,
    weights: tuple[int, ...],
    fused: int,
    single: int,
    costs: np.ndarray,
    following: np.ndarray,
    cycles: np.ndarray,
    joules: np.ndarray,
) -> None:
    """Add up what N inputs take by tables for several units at once.

    `fused` tables for ``len(weights)`` units each come before `single` ones. An entry holds cycles
    and J, and where the next table begins for the state it leaves behind. Four inputs take turns,
    so that none waits for its own look-ups.
    """
    # A look-up waits for the one before, whose result says where the table begins. Four inputs,
    # which do not depend on each other, fill that wait.
    inputs, span = len(choices), len(weights)
    done = inputs - inputs % 4
    for i in range(0, done, 4):
        at0 = at1 = at2 = at3 = 0
        t0 = t1 = t2 = t3 = 0.0
        e0 = e1 = e2 = e3 = 0.0
        unit = 0
        for _ in range(fused):
            k0 = at0 + code(choices, i, unit, weights)
            k1 = at1 + code(choices, i + 1, unit, weights)
            k2 = at2 + code(choices, i + 2, unit, weights)
            k3 = at3 + code(choices, i + 3, unit, weights)
            unit += span
            t0 += costs[k0, 0]
            e0 += costs[k0, 1]
            t1 += costs[k1, 0]
            e1 += costs[k1, 1]
            t2 += costs[k2, 0]
            e2 += costs[k2, 1]
            t3 += costs[k3, 0]
            e3 += costs[k3, 1]
            at0, at1, at2, at3 = following[k0], following[k1], following[k2], following[k3]
        cycles[i], cycles[i + 1], cycles[i + 2], cycles[i + 3] = t0, t1, t2, t3
        joules[i], joules[i + 1], joules[i + 2], joules[i + 3] = e0, e1, e2, e3
        # Units left over when all are fused in equal numbers are looked up singly.
        if single > 0:
            for here, at in ((i, at0), (i + 1, at1), (i + 2, at2), (i + 3, at3)):
                rest(choices, here, unit, at, single, costs, following, cycles, joules)
    # Up to three inputs are left over.
    for i in range(done, inputs):
        at, unit = 0, 0
        total = energy = 0.0
        for _ in range(fused):
            at += code(choices, i, unit, weights)
            unit += span
            total += costs[at, 0]
            energy += costs[at, 1]
            at = following[at]
        cycles[i], joules[i] = total, energy
        rest(choices, i, unit, at, single, costs, following, cycles, joules)


@njit(cache=True, forceinline=True)
def rest(
    choices: np.ndarray,
    i: int,
    unit: int,
    at: int,
    single: int,
    costs: np.ndarray,
    following: np.ndarray,
    cycles: np.ndarray,
    joules: np.ndarray,
) -> None:
    """Add what an input takes in the last units, looked up one by one."""
    for ahead in range(single):
        at = int(at + np.int64(choices[i, unit + ahead]))
        cycles[i] += np.int64(costs[at, 0])
        joules[i] += costs[at, 1]
        at = following[at]
