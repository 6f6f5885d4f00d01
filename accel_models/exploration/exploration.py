"""The way from a space and its workloads to a chosen machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Never

import optuna
import pyarrow as pa
from tqdm import tqdm

from accel_models.accelerators.accelerator import UnknownFamilyError
from accel_models.accelerators.plugins import source_of
from accel_models.costs.pricing import Pricing
from accel_models.costs.table_cache import loaded_digest
from accel_models.errors import InputError
from accel_models.exploration.adaptive import check_sampler, records, search_adaptively
from accel_models.exploration.evaluate import Evaluator
from accel_models.exploration.executors import Executor, executor
from accel_models.exploration.finished_search import (
    SWEEP,
    FinishedSearch,
    Settings,
    checked_settings,
)
from accel_models.exploration.results import TrialTable, tabled
from accel_models.exploration.space import Dimension, Space
from accel_models.exploration.space_file import parse_space, read_space
from accel_models.exploration.storage import StudyStorage, database_errors
from accel_models.exploration.sweep import check_sweep, enter, sweep, swept
from accel_models.exploration.workloads import Demand, Networks, demands_of, demands_of_traces
from accel_models.metrics import METRICS, OfInputs, OfMachine
from accel_models.trace import GateTrace

Traces = Mapping[str, GateTrace] | Sequence[str | Path | GateTrace]


@dataclass(frozen=True)
class Exploration(FinishedSearch):
    """A finished search, whose folder people can be given."""

    def write(
        self, about: Mapping[str, Any] | None = None, *, analysed: bool = True
    ) -> dict[str, Any]:
        """Write all trials as Parquet, the chosen machine as TOML, a page, and a record of it all,
        into the exploration's folder.

        Args:
            about: facts about the run to be written beside those of this package, such as a commit.
            analysed: whether to work out what matters, for page and record.

        Returns:
            What ``study.json`` holds.
        """
        # Pages and pictures take a while to import, and few who search want them.
        from accel_models.exploration.report.outputs import write_outputs

        return write_outputs(self, about, analysed=analysed)


def explore(
    space: str | Path | Mapping[str, Any] | Space,
    traces: Traces = (),
    *,
    out: str | Path,
    networks: Networks | None = None,
    progress: bool = False,
    **settings: Any,
) -> Exploration:
    """Search a space of machines for the best ones under some workloads.

    Interrupted and called again, it goes on and loses no finished trial. For one seed and batch the
    trials are the same on any number of workers, wherever they are.

    Args:
        space: a space file's path, its tables, or a space.
        traces: gate traces to run, beside the workloads that a file names.
        out: folder for the study, and for a sweep's chunks.
        networks: builds networks by name, for workloads that name one.
        progress: show a bar with the time left.
        settings: fields of `Settings`.

    Raises:
        InputError: if anything cannot be used as given, before any work is done.
    """
    chosen, demands = _read(space, traces, networks)
    wanted = checked_settings(settings)
    size = _check(chosen, demands, wanted)
    evaluator = Evaluator(chosen, demands)
    function = evaluator.run if wanted.sampler == SWEEP else evaluator
    pool = executor(function, wanted.workers, wanted.dask)
    try:
        storage = StudyStorage(Path(out), wanted.storage, outline=wanted.sampler == SWEEP)
        study = None
        try:
            study = storage.study(
                chosen.name, len(chosen.objectives), _identity(chosen, demands, wanted)
            )
            bars = _bars(size, progress)
            with database_errors():
                table = _run(chosen, wanted, study, storage, pool, Path(out), bars)
        finally:
            storage.close(study)
    finally:
        pool.close()
    trials = TrialTable(chosen, table)
    return Exploration(chosen, demands, wanted, trials, partial(storage.whole, study), Path(out))


def _run(
    space: Space,
    settings: Settings,
    study: optuna.Study,
    storage: StudyStorage,
    pool: Executor,
    out: Path,
    bar: Callable[[str, str, int], tqdm[Never]],
) -> pa.Table:
    if settings.sampler == SWEEP:
        chunks = out / "chunks"
        with bar(space.name, "machine", swept(space, chunks)) as done:

            def advance(machines: int) -> None:
                storage.sign(study)  # which is not written to before all are there
                done.update(machines)

            table = sweep(space, chunks, pool, advance)
        with bar("into Optuna", "trial", storage.entered(study)) as done:
            enter(space, table, study, storage, done.update)
        return table
    with bar(space.name, "machine", len(records(space, study))) as done:
        search_adaptively(
            space,
            study,
            storage,
            pool,
            sampler=settings.sampler,
            trials=settings.trials,
            batch=settings.batch,
            seed=settings.seed,
            advance=done.update,
        )
    return tabled(space, records(space, study))


def _bars(size: int, shown: bool) -> Callable[[str, str, int], tqdm[Never]]:
    """Makes bars of so many things: by what is done, a thing's name and how many were done before,
    which say nothing of the time left."""
    return lambda label, unit, before: tqdm(
        total=size, disable=not shown, unit=unit, desc=label, initial=before
    )


def _read(
    space: str | Path | Mapping[str, Any] | Space, traces: Traces, networks: Networks | None
) -> tuple[Space, tuple[Demand, ...]]:
    """The space and its workloads; alternatives of a workload are a dimension like any other."""
    traced = demands_of_traces(traces)
    entries: Iterable[Any] = ()
    try:
        if isinstance(space, Space):
            chosen = space
        elif isinstance(space, Mapping):
            chosen, entries = parse_space(space)
        else:
            chosen, entries = read_space(space)
    except UnknownFamilyError as error:
        plugins = {run.trace.header.plugin for demand in traced for run in demand.runs} - {""}
        raise error.of_plugins(plugins) from None
    demands = (*demands_of(entries, networks), *traced)
    names = [demand.name for demand in demands]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two workloads are called '{twice}'")
    if not demands:
        raise InputError("nothing runs on the machines: give a trace, or workloads in the space")
    extra: list[Dimension] = [d for demand in demands if (d := demand.dimension) is not None]
    return replace(chosen, dimensions=(*chosen.dimensions, *extra)), demands


def _check(space: Space, demands: Sequence[Demand], settings: Settings) -> int:
    """Refuse what cannot be answered; return how many trials there will be."""
    if not space.objectives:
        raise InputError(
            f"{space.name}: objectives is missing: name what machines are judged by, such as energy"
        )
    wanted = {*space.objectives, *(bound.metric for bound in space.bounds)}
    for metric in sorted(wanted):
        follows = METRICS[metric].follows
        if isinstance(follows, OfInputs):
            for demand in demands:
                if any(follows.of(run) is None for run in demand.runs):
                    raise InputError(follows.unknown.format(workload=demand.name))
        if isinstance(follows, OfMachine):
            for name, base in space.bases.items():
                if follows.of(Pricing(base)) is None:
                    unknown = follows.unknown.format(machine=name)
                    raise InputError(f"{unknown}: leave {metric} out")
    if settings.sampler == SWEEP:
        return check_sweep(space)
    check_sampler(space, settings.sampler)
    return settings.trials


def _identity(space: Space, demands: Sequence[Demand], settings: Settings) -> dict[str, Any]:
    """What makes two runs parts of one study, as digests by what they are of."""
    sampler = [settings.sampler, settings.seed, settings.batch]
    parts = {
        "space": space.identity,
        "workloads": [
            [demand.name, demand.weight, [run.identity for run in demand.runs]]
            for demand in demands
        ],
        "sampler, seed or batch": sampler[:1] if settings.sampler == SWEEP else sampler,
        "version of the model": [
            loaded_digest(),
            *(source_of(type(base.array)) for base in space.bases.values()),
        ],
    }
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
        for name, part in parts.items()
    }


__all__ = ["Exploration", "Settings", "Traces", "explore"]
