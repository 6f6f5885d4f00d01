"""Traces that a comparison left of one of its contenders, a seed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accel_models.replay import Replay, replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.bench import TRACE
from dfs_hw.report.sources.of_trace import table_of


@dataclass(frozen=True)
class SeedOutcome:
    """A trace of the test inputs, replayed."""

    seed: int
    path: Path
    replay: Replay


def replayed_seeds(folder: Path, contender: str, seeds: Sequence[int]) -> list[SeedOutcome]:
    """Replays of the seeds whose trace is there, on the machine that each trace names.

    Args:
        folder: of the comparison.
        contender: its name.

    Raises:
        InputError: if a trace is damaged, or names no machine.
    """
    found = []
    for seed in seeds:
        for path in _places(folder, contender, seed):
            if path.is_file():
                trace = GateTrace.read(path)
                found.append(SeedOutcome(seed, path, replay(trace, table_of(trace, path))))
                break
    return found


def _places(folder: Path, contender: str, seed: int) -> tuple[Path, Path]:
    """Where a comparison keeps a trace, and where a study does, whose comparisons have a folder
    for every machine beside those of the seeds."""
    at = Path(f"seed{seed}") / contender
    return folder / at / TRACE, folder.parent / at / folder.resolve().name / TRACE
