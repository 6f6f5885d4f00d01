"""Everything a report states, gathered from a run's folder and computed anew from its trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import Simulation
from accel_models.errors import InputError, listed
from accel_models.precision import Precision, highest
from accel_models.replay import Replay, replay
from accel_models.source import Source
from accel_models.trace import GateTrace
from dfs_hw.data import Dataset, load_dataset
from dfs_hw.experiment import BudgetVerdict, Variant, static_cost
from dfs_hw.report.run_file import COSTS, RunFile, read_run

DEAREST = 100
"""Cost of a way to run a network, in those of the highest precision everywhere, at most: all do the
same layers or fewer, and gates are small."""


@dataclass(frozen=True)
class Facts:
    """A finished run: its figures as recorded, its trace replayed, and the images behind it."""

    run: RunFile
    replay: Replay
    images: Dataset

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Ways to run the network, as recorded."""
        return self.run.variants

    @property
    def verdict(self) -> BudgetVerdict:
        """Whether the budget was kept to, as recorded."""
        return self.run.budget

    @property
    def table(self) -> CostTable:
        return self.replay.table

    @cached_property
    def adaptive(self) -> Variant:
        return next(variant for variant in self.variants if variant.kind == "adaptive")

    @cached_property
    def top(self) -> Variant:
        """The network at the highest precision everywhere."""
        precision = str(highest(self.table.choices))
        return next(variant for variant in self.variants if variant.precision == precision)

    @cached_property
    def best_static_width(self) -> Variant:
        return next(variant for variant in self.variants if variant.name == self.run.best_static)

    def static(self, variant: Variant) -> Simulation:
        """A static variant simulated again."""
        return static_cost(self.table, Precision.parse(variant.precision))

    @property
    def bitops_saving(self) -> float:
        """Share of the highest precision's BitOps that the adaptive network does without."""
        return 1 - self.adaptive.bitops / self.top.bitops

    @property
    def energy_saving(self) -> float:
        return 1 - self.adaptive.energy_j / self.top.energy_j

    @property
    def latency_saving(self) -> float:
        return 1 - self.adaptive.latency_s / self.top.latency_s

    @cached_property
    def distinct_decisions(self) -> int:
        """How many different decision vectors occur."""
        return len(np.unique(self.replay.trace.choices, axis=0))

    @cached_property
    def difficulty_correlation(self) -> float | None:
        """Spearman's rank correlation of energy with severity, None where it is not defined."""
        from scipy.stats import spearmanr

        severity = self.images.severity
        if severity is None or np.ptp(self.replay.energy_j) == 0:
            return None
        return float(spearmanr(self.replay.energy_j, severity.numpy()).statistic)

    @property
    def trains_unquantised(self) -> bool:
        """Whether some choice runs in floating point, and is charged as fixed point."""
        return any(choice.full for choice in self.table.choices)

    def extremes(self, count: int) -> tuple[list[int], list[int]]:
        """Rows of the cheapest and of the dearest inputs, cheapest first and dearest first."""
        order = np.argsort(self.replay.energy_j, kind="stable")
        return order[:count].tolist(), order[::-1][:count].tolist()

    def constants(self) -> Iterator[tuple[str, str, Source]]:
        """Name, value with unit, and source of every constant that entered the energies."""
        machine = self.table.accelerator
        for path, value, source in machine.constants():
            bounds = "" if source.low is None else f" ({source.low:g} to {source.high:g})"
            yield path, f"{value:,.10g}{bounds}", source
        for name, value, unit, source in Pricing(machine).constants():
            yield name, f"{value:.5g} {unit}", source


def gather(run_dir: Path | str) -> Facts:
    """Read a run's folder.

    Raises:
        InputError: if it is no such folder, or a file is not what a run leaves: says which.
    """
    run_dir = Path(run_dir)
    if not (run_dir / "run.json").is_file():
        raise InputError(
            f"{run_dir}: a report is made from a folder that `dfs-hw demo` wrote, with run.json in "
            "it; a trace is looked at with `dfs-hw replay` and `dfs-hw timeline`"
        )
    run = read_run(run_dir / "run.json")
    trace = GateTrace.read(run_dir / "trace.parquet")
    header, config = trace.header, run.settings
    machine = load_accelerator(header.accelerator, plugin=header.plugin)
    table = cost_table(header.workload, machine, header.choices, always=header.always)
    if table.key != run.cost_table:
        raise InputError(
            f"{run_dir}: run.json was made with another cost table ({run.cost_table}) than "
            f"trace.parquet gives now ({table.key}): the trace, the machine or the version differs"
        )
    images = load_dataset(config.data, config.seed).test
    if len(images) != len(trace):
        raise InputError(
            f"{run_dir}/trace.parquet has {len(trace)} inputs, "
            f"the test set of {config.data} has {len(images)}"
        )
    _check_covered(run, trace, table, run_dir)
    facts = Facts(run, replay(trace, table), images)
    recorded = (facts.adaptive.energy_j, facts.adaptive.accuracy)
    if recorded != (facts.replay.energy_j.mean(), trace.accuracy):
        raise InputError(f"{run_dir}: run.json and trace.parquet are of different runs")
    _check_costs(facts, run_dir)
    return facts


def _check_costs(facts: Facts, run_dir: Path) -> None:
    """Refuse costs that no network of the run has, and no picture has room for."""
    for number, variant in enumerate(facts.variants):
        for name in COSTS:
            most = DEAREST * getattr(facts.top, name)
            if getattr(variant, name) > most:
                raise InputError(
                    f"{run_dir}/run.json: variants.{number}.{name} must be at most {most:.3g}, "
                    f"{DEAREST} times that of the highest precision, got {getattr(variant, name)}"
                )


def _check_covered(run: RunFile, trace: GateTrace, table: CostTable, run_dir: Path) -> None:
    """Refuse a record that says nothing of a class or a choice of the trace."""
    numbers = np.concatenate([trace.labels, trace.predictions])
    if numbers.min() < 0 or numbers.max() >= len(run.classes):
        raise InputError(
            f"{run_dir}: run.json names {len(run.classes)} classes, and trace.parquet has "
            f"numbers of classes from {numbers.min()} to {numbers.max()}"
        )
    recorded = {Precision.parse(v.precision) for v in run.variants if v.kind == "static"}
    executed = {choice for choice in table.choices if choice.runs}
    if recorded != executed:
        raise InputError(
            f"{run_dir}/run.json: variants must hold each of {listed(sorted(executed))} bits as a "
            f"static one, and no other, got {listed(sorted(recorded))}"
        )
