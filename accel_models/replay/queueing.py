"""Inputs that arrive by themselves: how long they wait for one machine that serves them in order.

Waiting follows Lindley's recursion: a batch starts when its last input is there and the machine is
free (Lindley, "The theory of queues with a single server", 1952).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from accel_models.errors import InputError


@dataclass(frozen=True)
class Queued:
    """What N inputs saw, float64 [N] in s.

    Args:
        waiting: from arrival to start.
        response: from arrival to completion.
        idle: for which the machine waited before the input's batch, divided among its inputs.
    """

    waiting: np.ndarray
    response: np.ndarray
    idle: np.ndarray


@dataclass
class Server:
    """One machine that serves batches in order, chunk by chunk.

    Args:
        batch: inputs that run together.
        free_at: when it is done with what came so far, as a time and s after it; None before the
            first batch. In two numbers, as times since 1970 have no digits left for microseconds.
    """

    batch: int = 1
    free_at: tuple[float, float] | None = None
    last_arrival: float = field(default=-np.inf)

    def serve(self, arrivals: np.ndarray, service: np.ndarray) -> Queued:
        """Serve N inputs more; a batch ends with the chunk.

        Args:
            arrivals: float64 [N] in s, in order.
            service: float64 [N] in s, equal within a batch.

        Raises:
            InputError: if the inputs are not in order of arrival.
        """
        inputs = len(arrivals)
        if inputs == 0:
            return Queued(*(np.zeros(0) for _ in range(3)))
        if not np.isfinite(arrivals).all():
            raise InputError("arrival times must be finite numbers of seconds")
        if arrivals[0] < self.last_arrival or (np.diff(arrivals) < 0).any():
            raise InputError("inputs are not in the order of their arrival times")
        starts = np.arange(0, inputs, self.batch)
        ends = np.append(starts[1:], inputs) - 1
        ready, takes = arrivals[ends], service[starts]
        # All times from here on are relative to this one, so that long streams lose no digits.
        base = float(ready[0])
        since, after = self.free_at or (base, 0.0)
        free, ready, came = since - base + after, ready - base, arrivals - base
        worked = np.cumsum(takes)
        earliest = np.maximum(ready, free) - (worked - takes)
        done = worked + np.maximum.accumulate(earliest)
        begun = done - takes
        idle = np.maximum(begun - np.append(free, done[:-1]), 0.0)
        self.free_at, self.last_arrival = (base, float(done[-1])), float(arrivals[-1])
        each = np.arange(inputs) // self.batch
        waiting = np.maximum(begun[each] - came, 0.0)
        return Queued(
            waiting=waiting,
            response=waiting + takes[each],
            idle=(idle / np.diff(np.append(starts, inputs)))[each],
        )


class Poisson:
    """Arrival times of a Poisson stream.

    Args:
        rate: inputs a second.
        seed: of the random gaps between them.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self.last = rate, 0.0
        self._random = np.random.default_rng(seed)

    def take(self, inputs: int) -> np.ndarray:
        """Times of the next inputs in s, float64 [N]; the same in whatever portions."""
        gaps = self._random.exponential(1 / self.rate, inputs)
        if inputs:
            gaps[0] += self.last
        times = np.cumsum(gaps)
        self.last = float(times[-1]) if inputs else self.last
        return times
