"""What became of a trial, as the trial itself keeps it: with a digest, so that nothing that was
damaged is taken for a result."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from accel_models.documents import typed
from accel_models.errors import InputError
from accel_models.exploration.evaluate import TrialOutcome
from accel_models.exploration.space import Configuration
from accel_models.metrics import columns

OUTCOME = "outcome"
"""Name of the attribute of a trial that has its outcome."""


class _Kept(NamedTuple):
    """Metrics by column, why the machine cannot run, and the digest of both with the configuration;
    trials of version 0.1 have none."""

    metrics: dict[str, float | None]
    infeasible: str
    digest: str = ""


def kept_outcome(configuration: Configuration, outcome: TrialOutcome) -> list[Any]:
    """The attribute of a trial, as JSON can hold it."""
    return [dict(outcome.metrics), outcome.infeasible, _digest(configuration, outcome)]


def outcome_in(
    attributes: dict[str, Any], configuration: Configuration, trial: str
) -> TrialOutcome:
    """The outcome that a trial keeps.

    Args:
        attributes: of the trial.
        configuration: that it tries.
        trial: what errors call it.

    Raises:
        InputError: if it is damaged, or not of this configuration.
    """
    held = typed(_Kept, attributes.get(OUTCOME), f"{trial}: its outcome")
    outcome = TrialOutcome(held.metrics, held.infeasible)
    right = held.digest in ("", _digest(configuration, outcome))
    if not right or held.metrics.keys() != set(columns()):
        raise InputError(
            f"{trial} is damaged: its outcome is not what was found for its configuration: put "
            "back a whole study, or choose another folder"
        )
    return outcome


def _digest(configuration: Configuration, outcome: TrialOutcome) -> str:
    tried = {
        name: value if isinstance(value, str) else float(value)
        for name, value in configuration.items()
    }
    text = json.dumps([tried, dict(outcome.metrics), outcome.infeasible], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
