"""The whole chain: train under a budget, record the gates, replay them, compare with baselines."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from accel_models.accelerators.plugins import plugin_of
from accel_models.costs.cost_table import CostTable
from accel_models.costs.simulator import Simulation, simulate
from accel_models.documents import CLOSED, sealed
from accel_models.errors import InputError
from accel_models.metrics import METRICS
from accel_models.precision import Precision, highest
from accel_models.replay import Replay, replay
from accel_models.trace import GateTrace, TraceHeader
from accel_models.workloads.workload import Workload
from dfs_hw.budgets.budget import Budget, statistic_of
from dfs_hw.budgets.hardware_cost import RelativeCost
from dfs_hw.data import load_dataset
from dfs_hw.distributed import world
from dfs_hw.logs import Log
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.branches import executed
from dfs_hw.networks.checkpoint import Checkpoint, load_checkpoint
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.provenance import provenance, write_json
from dfs_hw.recording import evaluate, modal_assignment, record, shuffled
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.folder import training_folder
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import train_fixed
from dfs_hw.training.stages.joint import train_joint
from dfs_hw.training.stages.results import Trained

SPLITS = ("train", "validation", "test")
BUDGET_TOLERANCE = 0.05
"""Share of the budget by which the replayed test cost may miss it and still count as met."""


@dataclass(frozen=True)
class Variant:
    """One way to run the network on the test set; costs are means over inputs."""

    __pydantic_config__ = CLOSED
    name: str
    kind: str
    """Kind: static, adaptive, frozen or shuffled."""
    precision: str
    """Precision of a static network; "" otherwise."""
    accuracy: float
    validation_accuracy: float
    bitops: float
    energy_j: float
    latency_s: float


@dataclass(frozen=True)
class BudgetVerdict:
    """Whether the test inputs, replayed, kept to the budget, or to the accuracy asked for in its
    place. Amounts in the metric's SI unit."""

    __pydantic_config__ = CLOSED
    metric: str
    text: str
    target: float
    reached: float
    floor: float = 0.0
    """Accuracy that was asked for in place of the budget, 0 to 1; 0 if none was."""
    accuracy: float = 0.0
    """Accuracy of the test inputs, where one was asked for."""

    @property
    def miss(self) -> float:
        """Signed share of the budget by which it was missed."""
        return self.reached / self.target - 1

    @property
    def met(self) -> bool:
        """Whether it was kept: a budget within `BUDGET_TOLERANCE`, an accuracy at least."""
        if self.floor:
            return self.accuracy >= self.floor
        return abs(self.miss) <= BUDGET_TOLERANCE

    def __str__(self) -> str:
        if self.floor:
            return (
                f"An accuracy of {self.floor:.1%} was asked for, at the least {self.metric}: on "
                f"the test inputs it is {self.accuracy:.1%}."
            )
        if self.met:
            return f"The {self.metric} budget of {self.text} was met: {self.miss:+.1%}."
        if self.miss < 0:
            return (
                f"The {self.metric} budget of {self.text} was kept, and not used up: "
                f"the replayed test cost is {self.miss:+.1%} off."
            )
        return (
            f"The {self.metric} budget of {self.text} was NOT met: "
            f"the replayed test cost is {self.miss:+.1%} off."
        )


def run_experiment(
    config: TrainConfig,
    out_dir: Path | str,
    network: DynamicNetwork | None = None,
    *,
    device: str = "cpu",
    progress: bool = True,
    log: Log | None = None,
    overwrite: bool = False,
) -> Path:
    """Train, record, replay and compare; everything lands in `out_dir`.

    Writes ``network.safetensors``, the baselines' checkpoints, ``trace.parquet`` of the test
    inputs, and ``run.json`` with configuration, provenance, budget verdict and all variants.
    Arguments and errors are those of `dfs_hw.train`; one run at a time has the folder.

    Returns:
        The path of ``run.json``.
    """
    started = time.monotonic()
    setup = TrainingSetup.of(config, network, device=device, progress=progress, log=log)
    with training_folder(setup, out_dir, overwrite) as folder:
        return _carried_out(setup, folder, started)


def _carried_out(setup: TrainingSetup, out_dir: Path, started: float) -> Path:
    """Everything, on all processes; returns the path of ``run.json``."""
    trained = train_joint(setup, out_dir)
    widths = executed(trained.network.choices)
    statics = {precision: train_fixed(setup, precision, out_dir) for precision in widths}
    if world()[0] > 0:  # the first process does what is left
        return out_dir / "run.json"
    table = setup.table
    trace_path = record(
        trained.network,
        setup.splits.test,
        out_dir / "trace.parquet",
        header_of(setup, "test"),
        price=trained.outcome.price,
    )
    outcome = replay(GateTrace.read(trace_path), table)
    variants = [
        *(_static(setup, precision, run) for precision, run in statics.items()),
        *_gated(setup, trained, outcome),
    ]
    run = {
        "config": dict(setup.settings),
        **provenance(),
        "seconds": round(time.monotonic() - started, 1),
        "classes": list(setup.splits.classes),
        "cost_table": table.digest,
        "policy": outcome.policy.to_dict(),
        "budget": asdict(verdict(setup.budget, setup.cost, outcome, setup.floor)),
        "validation": asdict(trained.outcome),
        "best_static": best_static_width(variants, len(setup.splits.validation)).name,
        "variants": [asdict(variant) for variant in variants],
    }
    return write_json(out_dir / "run.json", sealed(run))


def record_checkpoint(
    checkpoint: Path, out: Path, split: str, network: DynamicNetwork | None = None
) -> GateTrace:
    """Record the gates of a trained network on one split of the data it was trained for.

    Args:
        network: to fill from the checkpoint, if it was not built by name.

    Raises:
        InputError: as `load_gated`, or if there is no such split.
    """
    saved = load_gated(checkpoint, network)
    if split not in SPLITS:
        raise InputError(f"there is no split '{split}': choose from {', '.join(SPLITS)}")
    config = TrainConfig.from_dict(saved.facts["config"])
    dataset = getattr(load_dataset(config.data, config.seed), split)
    workload = workload_of(saved.network, dataset.image_size)
    header = trace_header(
        workload,
        saved.network.choices,
        split,
        data=config.data,
        accelerator=config.accelerator,
        plugin=saved.facts.get("plugin", ""),
        seed=config.seed,
    )
    return GateTrace.read(record(saved.network, dataset, out, header, price=saved.price))


def load_gated(checkpoint: Path, network: DynamicNetwork | None = None) -> Checkpoint:
    """Read a network whose gates were trained, or their thresholds settled.

    Args:
        network: to fill from the checkpoint, if it was not built by name.

    Raises:
        InputError: if the checkpoint is no gated network's, or as `load_checkpoint`.
    """
    saved = load_checkpoint(checkpoint, network)
    if saved.facts.get("kind") != "joint":
        stage = saved.facts.get("stage")
        raise InputError(f"{checkpoint} holds no gated network, but the one of stage '{stage}'")
    return saved


def header_of(setup: TrainingSetup, split: str) -> TraceHeader:
    """What a trace says of itself that a network of this setup leaves on a split of its data."""
    return trace_header(
        setup.table.workload,
        setup.table.choices,
        split,
        data=setup.data,
        accelerator=setup.accelerator,
        plugin=plugin_of(type(setup.table.accelerator.array)),
        seed=setup.seed,
    )


def trace_header(
    workload: Workload,
    choices: tuple[Precision, ...],
    split: str,
    *,
    data: str,
    accelerator: str,
    plugin: str = "",
    seed: int,
) -> TraceHeader:
    """What a trace says of itself.

    Args:
        choices: of the network, in the order of choice indices.
        split: train, validation or test.
        data: name of the data set.
        accelerator: name or file of the machine that the network was trained for.
        plugin: that its arithmetic is of, or "".
        seed: of its training.
    """
    return TraceHeader(
        network=workload.name,
        dataset=f"{data}/{split}",
        workload=workload,
        choices=choices,
        always=highest(choices),
        accelerator=accelerator,
        seed=seed,
        version=version("dfs-hw"),
        plugin=plugin,
    )


def static_cost(table: CostTable, precision: Precision | dict[str, Precision]) -> Simulation:
    """The network without gates, at fixed precisions, on the table's machine; all inputs leave at
    the first unit that is to be left at, where its exit runs."""
    if isinstance(precision, Precision):
        precision = dict.fromkeys(table.units, precision)
    left = next((unit for unit in table.units if precision[unit].exits), "")
    bare = table.workload.without_gates(left)
    return simulate(bare, table.accelerator, precision, always=table.always)


def best_static_width(variants: list[Variant], validation_inputs: int) -> Variant:
    """The cheapest uniform width whose validation accuracy is as good as the best one's.

    As good means within one standard error of the best: a finer difference is chance. No budget
    bounds it; within one, `dfs_hw.baselines.judgement.frontier.Frontier` chooses.
    """
    statics = [variant for variant in variants if variant.kind == "static"]
    best = max(variant.validation_accuracy for variant in statics)
    error = math.sqrt(best * (1 - best) / validation_inputs)
    good = [variant for variant in statics if variant.validation_accuracy >= best - error]
    return min(good, key=lambda variant: variant.energy_j)


def verdict(
    budget: Budget, cost: RelativeCost, outcome: Replay, floor: float = 0.0
) -> BudgetVerdict:
    """The budget against the replayed cost, in the metric and the statistic it was set in.

    Args:
        floor: accuracy that was asked for in its place, 0 to 1; 0 if none was.
    """
    return BudgetVerdict(
        cost.metric,
        budget.text,
        budget.fraction * cost.reference,
        _reached(budget.statistic, cost, outcome),
        floor,
        outcome.trace.accuracy if floor else 0.0,
    )


def _reached(statistic: str, cost: RelativeCost, outcome: Replay) -> float:
    if cost.metric in METRICS:
        summands = [METRICS[name].of(outcome) for name in METRICS[cost.metric].summands]
        if len(summands) == 1:
            return statistic_of(summands[0], statistic)
        return math.prod(float(amounts.mean()) for amounts in summands)
    choices = torch.from_numpy(outcome.trace.choices.astype(np.int64))
    return statistic_of(cost.cpu().of_choices(choices), statistic) * cost.reference


def _static(setup: TrainingSetup, precision: Precision, run: Trained) -> Variant:
    assignment = run.network.uniform(precision)
    cost = static_cost(setup.table, precision)
    top = precision == highest(setup.table.choices)
    return Variant(
        name=f"{precision} bit everywhere" + (" (highest)" if top else ""),
        kind="static",
        precision=str(precision),
        accuracy=evaluate(run.network, setup.splits.test, assignment).accuracy,
        validation_accuracy=run.outcome.accuracy,
        bitops=float(cost.bitops),
        energy_j=cost.energy_j,
        latency_s=cost.latency_s,
    )


def _gated(setup: TrainingSetup, trained: Trained, outcome: Replay) -> list[Variant]:
    """The adaptive network, and the two ablations that tell whether it reads its inputs."""
    network, splits = trained.network, setup.splits
    decided = evaluate(network, splits.validation, price=trained.outcome.price).choices
    frozen = modal_assignment(decided, network.leaving)
    frozen_cost = static_cost(
        setup.table,
        {
            unit: setup.table.choices[index]
            for unit, index in zip(setup.table.units, frozen.tolist(), strict=True)
        },
    )
    generator = torch.Generator().manual_seed(setup.seed)
    dealt = shuffled(torch.from_numpy(outcome.trace.choices.astype("int64")), generator)
    dealt_validation = shuffled(decided, generator)
    cost = (
        float(outcome.bitops.mean()),
        float(outcome.energy_j.mean()),
        float(outcome.latency_s.mean()),
    )

    def accuracies(test: torch.Tensor, validation: torch.Tensor) -> tuple[float, float]:
        return (
            evaluate(network, splits.test, test).accuracy,
            evaluate(network, splits.validation, validation).accuracy,
        )

    return [
        Variant(
            "adaptive (DFS)" if network.gate.learned else "adaptive (exits)",
            "adaptive",
            "",
            outcome.trace.accuracy,
            trained.outcome.accuracy,
            *cost,
        ),
        Variant(
            "frozen choices",
            "frozen",
            "",
            *accuracies(frozen, frozen),
            float(frozen_cost.bitops),
            frozen_cost.energy_j,
            frozen_cost.latency_s,
        ),
        Variant(
            "shuffled decisions",
            "shuffled",
            "",
            *accuracies(dealt, dealt_validation),
            *cost,
        ),
    ]
