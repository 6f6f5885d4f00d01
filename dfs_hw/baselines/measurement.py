"""What a trained contender does with the test inputs, kept beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from accel_models import replay
from accel_models.costs.table_cache import source_digest
from accel_models.documents import CLOSED
from accel_models.errors import InputError
from dfs_hw.baselines.bench import Bench
from dfs_hw.baselines.contenders import Contender
from dfs_hw.baselines.kept import REMEDY, kept, left
from dfs_hw.baselines.per_input import read_columns, write_columns
from dfs_hw.baselines.preparation import Ready
from dfs_hw.baselines.records import Answers, Record, Run
from dfs_hw.baselines.study import Study
from dfs_hw.networks.checkpoint import digest
from dfs_hw.training.setup import TrainingSetup

FIGURES = "test.json"
"""File of the records of a contender and a seed."""
COSTS = "cost_table"
"""Name of what costs come from among what figures depend on: the table, and how it is replayed."""
_REPLAY = source_digest(Path(replay.__file__).parent)[:16]
"""Digest of the rules by which decisions are replayed: costs are worked out by them, too."""
TEST, VALIDATION = "inputs.parquet", "validation.parquet"
"""Files of one row an input; the latter is left by static networks alone."""


@dataclass(frozen=True)
class _Measured:
    """What is kept of a contender and a seed."""

    __pydantic_config__ = CLOSED
    records: list[Record]
    digests: dict[str, str]
    """Digests of the files of inputs, by name."""


def measure(ready: Ready, study: Study, budget: float) -> list[Run]:
    """Every way to run a contender; kept in ``test.json`` in its folder, with ``inputs.parquet``.

    An adaptive one leaves the trace of the test inputs beside it, ``test.parquet``; a static one
    what it says of the validation inputs, ``validation.parquet``.

    Args:
        budget: of the study, the cost allowed for one input in the metric's SI unit.

    Raises:
        InputError: if a file that an earlier call left is damaged.
    """
    path, setup = ready.folder / FIGURES, ready.setup
    made_from = asked(ready.contender, setup, study, budget) | {
        "network": digest(ready.trained.network),
        "start": setup.fingerprint,
        "seed": ready.seed,
    }

    def look() -> dict[str, Any]:
        runs = list(Bench(ready, study, budget).runs())
        return asdict(_Measured([run.record for run in runs], _write(ready.folder, runs)))

    return _runs(path, kept(path, made_from, look, _Measured))


def asked(
    contender: Contender, setup: TrainingSetup, study: Study, budget: float
) -> dict[str, Any]:
    """What the figures of a contender depend on, but for the seed and what was trained from it.

    Args:
        setup: of the contender, from any seed.
        budget: as `measure` has it.
    """
    turned = setup.knob
    return {
        COSTS: f"{setup.table.digest} {_REPLAY}",
        "budget": contender.config.budget,
        "cost allowed": budget,
        "shuffles": study.shuffles,
        "prices": study.prices if turned else (),
        "grid": study.grid if turned or not setup.start.gate.learned else (),
        "fields": [field.name for field in fields(Record)],
    }


def measured(path: Path, wanted: Mapping[str, Any]) -> list[Run] | None:
    """What an earlier call of `measure` left in a file; None if it is not there, or depends on
    something else.

    Args:
        wanted: what it is to depend on, as `asked` has it.

    Raises:
        InputError: if it is damaged.
    """
    found = left(path, wanted, _Measured)
    return None if found is None else _runs(path, found)


def _runs(path: Path, found: _Measured) -> list[Run]:
    if not found.records or TEST not in found.digests:
        raise InputError(f"{path}: it has no figures of test inputs: {REMEDY}")
    columns = {
        name: read_columns(path.parent / name, digest, path)
        for name, digest in found.digests.items()
    }
    return [_run(record, columns) for record in found.records]


def _write(folder: Path, runs: Sequence[Run]) -> dict[str, str]:
    """Leave the inputs of all runs of a contender and a seed; returns the digests by file."""
    first = runs[0]
    columns = {"source": first.source}
    if first.severity is not None:
        columns["severity"] = first.severity
    if first.answers is not None:
        columns["confidence"] = first.answers.confidence
    for run in runs:
        columns[f"correct: {run.record.way}"] = run.correct
        columns[f"cost: {run.record.way}"] = run.cost
    digests = {TEST: write_columns(folder / TEST, columns)}
    if first.validation is not None:
        answers = {
            "correct": first.validation.correct,
            "confidence": first.validation.confidence,
        }
        digests[VALIDATION] = write_columns(folder / VALIDATION, answers)
    return digests


def _run(record: Record, columns: Mapping[str, Mapping[str, np.ndarray]]) -> Run:
    """A record with its inputs, of the files that `_write` left."""
    test, validation = columns[TEST], columns.get(VALIDATION)
    correct = test[f"correct: {record.way}"]
    return Run(
        record,
        correct,
        test[f"cost: {record.way}"],
        test["source"],
        test.get("severity"),
        Answers(correct, test["confidence"]) if "confidence" in test else None,
        Answers(**validation) if validation else None,
    )
