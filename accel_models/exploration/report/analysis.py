"""All that a finished search is asked about what matters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from accel_models.exploration.finished_search import FinishedSearch
from accel_models.exploration.report.sensitivity import (
    Importance,
    Stability,
    Swing,
    importances,
    stability,
    tornado,
)


@dataclass(frozen=True)
class Analysis:
    """What matters, around the chosen machine and over all; see `sensitivity`."""

    importances: dict[str, Importance]
    tornado: tuple[Swing, ...]
    stability: Stability | None

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)


def analyse(found: FinishedSearch) -> Analysis:
    """Work out what matters; a second or two."""
    trials, seed = found.trials, found.settings.seed
    if trials.chosen is None:
        return Analysis(importances(trials, seed), (), None)
    swings = tornado(found.evaluator, trials.configuration(trials.chosen))
    return Analysis(importances(trials, seed), tuple(swings), stability(found, seed=seed))


__all__ = ["Analysis", "analyse"]
