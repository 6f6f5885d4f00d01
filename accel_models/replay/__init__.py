"""A recorded trace run through a machine: energy and latency of every input, and where they went.

>>> from accel_models.replay import Policy, replay                     # doctest: +SKIP
>>> outcome = replay(trace, machine, Policy(prefetch="modal"))         # doctest: +SKIP
>>> outcome.energy_j.mean(), outcome.latency_s.max()                   # doctest: +SKIP
"""

from accel_models.replay.on_disk.replay_file import replay_file
from accel_models.replay.on_disk.rows import write_rows
from accel_models.replay.policy import Policy
from accel_models.replay.replay import Replay, replay
from accel_models.replay.summary.percentiles import spread
from accel_models.replay.summary.summary import Summary, summarise

__all__ = [
    "Policy",
    "Replay",
    "Summary",
    "replay",
    "replay_file",
    "spread",
    "summarise",
    "write_rows",
]
