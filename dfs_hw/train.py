"""Training a gated network against a hardware budget, in the three stages of DFS.

1. backbone: every unit at the highest precision, gates absent.
2. gates: the backbone frozen, the gates taught to ask for the highest precision, so that stage 3
   starts from the network that stage 1 left.
3. joint: everything, at all choices, under the budget.

Static baselines continue from the same backbone for as many epochs as stage 3 lasts.
Epochs are chosen by the validation split; the test split is never looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.cost_table import CostTable, cost_table
from accel_models.files import writable_folder
from accel_models.machine_file import load_accelerator
from accel_models.precision import Precision, highest
from dfs_hw.budget import TOLERANCE, Budget, SignSwitch
from dfs_hw.checkpoint import load_checkpoint, save_checkpoint
from dfs_hw.data import Splits, load_dataset
from dfs_hw.fit import Epoch, Stage, fit, gate_group, latest_of_the_best, weight_groups
from dfs_hw.hardware_cost import HardwareCost
from dfs_hw.networks import DFSResNet, build_network
from dfs_hw.record import BATCH, evaluate
from dfs_hw.train_config import TrainConfig, recipe
from dfs_hw.workload import workload_of

__all__ = ["Bench", "TrainConfig", "Trained", "recipe", "train", "train_static"]


@dataclass(frozen=True)
class Trained:
    """A network and how its training went."""

    network: DFSResNet
    config: TrainConfig
    budget: Budget
    history: tuple[Epoch, ...]
    chosen: Epoch

    @property
    def meets_budget(self) -> bool:
        """True if the validation cost of the chosen epoch is within `TOLERANCE` of the budget."""
        return _miss(self.chosen, self.budget) <= TOLERANCE


@dataclass(frozen=True)
class Bench:
    """What the stages of one run share: data, price, and how to report progress."""

    config: TrainConfig
    splits: Splits
    table: CostTable
    cost: HardwareCost
    budget: Budget
    device: str
    progress: bool

    @classmethod
    def of(cls, config: TrainConfig, *, device: str = "cpu", progress: bool = True) -> Bench:
        """Load the data, price the network, and read the budget.

        Raises:
            InputError: if anything in the configuration cannot be used; before any training.
        """
        splits = load_dataset(config.data, config.seed)
        network = fresh_network(config, splits)
        workload = workload_of(network, splits.train.image_size)
        table = cost_table(workload, load_accelerator(config.accelerator), network.choices)
        cost = HardwareCost(table, config.metric)
        budget = Budget.parse(config.budget, cost)
        moved = replace(
            splits, train=splits.train.to(device), validation=splits.validation.to(device)
        )
        return cls(config, moved, table, cost.to(device), budget, device, progress)

    def validate(self, network: DFSResNet, assignment: Tensor | None = None) -> tuple[float, float]:
        """Accuracy and mean relative cost on the validation split, by chosen-branch inference."""
        result = evaluate(network, self.splits.validation, assignment)
        costs = self.cost.of_choices(result.choices.to(self.device))
        return result.accuracy, float(costs.mean())


def fresh_network(config: TrainConfig, splits: Splits) -> DFSResNet:
    """The configured network before any training."""
    return build_network(
        config.network,
        config.choices,
        len(splits.classes),
        splits.train.channels,
        widths=config.widths,
        seed=config.seed,
    )


def train(
    config: TrainConfig, out_dir: Path | str, *, device: str = "cpu", progress: bool = True
) -> Trained:
    """Train a gated network under its budget; it ends in ``out_dir/network.safetensors``.

    Every stage keeps its best network so far on disk. A stage that an earlier run of the same
    configuration has completed is not repeated.

    Args:
        device: where to train; the network returned is there.
        progress: show bars on stderr.

    Raises:
        InputError: if the configuration cannot be used.
        DfsHwError: if the loss stops being finite.
    """
    bench = Bench.of(config, device=device, progress=progress)
    out_dir = writable_folder(out_dir)
    path = out_dir / "network.safetensors"
    if done := _finished(path, "joint", bench):
        return done
    network = train_gates(bench, out_dir)
    network.inherit()
    switch = SignSwitch(bench.budget.fraction, config.beta)

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        outcome = network(images)
        assert outcome.gates is not None
        costs = bench.cost(outcome.gates)
        return functional.cross_entropy(outcome.logits, labels) + switch(costs), costs.mean()

    def choose(history: Sequence[Epoch]) -> Epoch:
        on_target = [epoch for epoch in history if _miss(epoch, bench.budget) <= TOLERANCE]
        if not on_target:
            return min(history, key=lambda epoch: _miss(epoch, bench.budget))
        return latest_of_the_best(on_target, len(bench.splits.validation))

    stage = Stage(
        "joint",
        config.joint_epochs,
        [
            *weight_groups(network, config.joint_lr, config.weight_decay),
            gate_group(network, config.gate_lr),
        ],
        step,
        lambda: bench.validate(network),
        choose,
        lambda epoch: switch.adapt(epoch.train_cost),
    )
    return _run(bench, stage, network.train(), path)


def train_static(
    config: TrainConfig,
    choice: Precision | str | int | Sequence[Precision | str | int],
    out_dir: Path | str,
    *,
    device: str = "cpu",
    progress: bool = True,
) -> Trained:
    """The baseline: the same backbone, at choices fixed for all inputs for as long as stage 3.

    It ends in ``out_dir/static-<choices>.safetensors``; its gates are never asked. Other arguments
    and errors are those of `train`.

    Args:
        choice: of every unit, or of each unit in order.
    """
    bench = Bench.of(config, device=device, progress=progress)
    out_dir = writable_folder(out_dir)
    network = train_backbone(bench, out_dir)
    if isinstance(choice, Precision | str | int):
        assignment = network.uniform(choice)
    else:
        assignment = network.assign(choice)
    used = [str(network.choices[index]) for index in assignment.tolist()]
    name = "-".join(used[:1] if len(set(used)) == 1 else used).replace("/", "by")
    path = out_dir / f"static-{name}.safetensors"
    if done := _finished(path, f"static {name}", bench):
        return done
    network.inherit()
    stage = _static_stage(
        bench, network, assignment, f"static {name}", config.joint_epochs, config.joint_lr
    )
    return _run(bench, stage, network.train(), path)


def train_backbone(bench: Bench, out_dir: Path) -> DFSResNet:
    """Stage 1: the network at the highest precision, or what an earlier run left of it."""
    path, config = out_dir / "backbone.safetensors", bench.config
    if done := _finished(path, "backbone", bench):
        return done.network
    network = fresh_network(config, bench.splits).to(bench.device)
    stage = _static_stage(
        bench,
        network,
        network.uniform(highest(network.choices)),
        "backbone",
        config.backbone_epochs,
        config.backbone_lr,
    )
    return _run(bench, stage, network.train(), path).network


def train_gates(bench: Bench, out_dir: Path) -> DFSResNet:
    """Stage 2: gates that ask for the highest precision, on a frozen backbone."""
    path, config = out_dir / "gates.safetensors", bench.config
    if done := _finished(path, "gates", bench):
        return done.network
    gated = train_backbone(bench, out_dir)
    full = gated.uniform(highest(gated.choices))

    def asked(images: Tensor) -> Tensor:
        return bench.cost(gated.watch(images, full)).mean()

    def step(images: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        cost = asked(images)
        return -cost, cost

    @torch.no_grad()
    def validate() -> tuple[float, float]:
        # Only the highest precision has been trained, so whatever is asked for, that runs.
        accuracy, _ = bench.validate(gated, full)
        gated.gate.eval()
        validation = bench.splits.validation
        costs = [asked(images) * len(images) for images, _ in validation.batches(BATCH)]
        gated.gate.train()
        return accuracy, float(torch.stack(costs).sum() / len(validation))

    stage = Stage(
        "gates",
        config.gate_epochs,
        [gate_group(gated, config.gate_lr)],
        step,
        validate,
        lambda history: history[-1],
    )
    gated.eval()
    gated.gate.train()
    return _run(bench, stage, gated, path).network


def _static_stage(
    bench: Bench, network: DFSResNet, assignment: Tensor, name: str, epochs: int, lr: float
) -> Stage:
    """Train all weights at fixed choices, by accuracy alone."""
    cost = bench.cost.of_choices(assignment[None].to(bench.device)).mean()

    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return functional.cross_entropy(network(images, assignment).logits, labels), cost

    return Stage(
        name,
        epochs,
        weight_groups(network, lr, bench.config.weight_decay),
        step,
        lambda: bench.validate(network, assignment),
        lambda history: latest_of_the_best(history, len(bench.splits.validation)),
    )


def _run(bench: Bench, stage: Stage, network: DFSResNet, path: Path) -> Trained:
    """Fit a stage, keeping its best network at `path`."""

    def keep(chosen: Epoch, history: list[Epoch], finished: bool = False) -> None:
        facts = {
            "stage": stage.name,
            "finished": finished,
            "config": asdict(bench.config),
            "budget": asdict(bench.budget),
            "chosen": asdict(chosen),
            "history": [asdict(epoch) for epoch in history],
            "table": bench.table.key,
        }
        save_checkpoint(path, network, facts)

    history, chosen = fit(
        stage,
        network,
        bench.splits.train,
        batch=bench.config.batch,
        generator=_generator(bench.config.seed, stage.name),
        keep=keep,
        progress=bench.progress,
    )
    keep(chosen, history, finished=True)
    return Trained(network, bench.config, bench.budget, tuple(history), chosen)


def _finished(path: Path, stage: str, bench: Bench) -> Trained | None:
    """What a completed run of the same stage and settings left at `path`, if there is one."""
    if not path.is_file():
        return None
    saved = load_checkpoint(path)
    facts, ignored = saved.facts, _LATER.get(stage, set())
    wanted = {key: value for key, value in asdict(bench.config).items() if key not in ignored}
    known = facts.get("config", {})
    same = all(known.get(key) == _plain(value) for key, value in wanted.items())
    same_price = "accelerator" in ignored or facts.get("table") == bench.table.key
    if not (facts.get("finished") and facts["stage"] == stage and same and same_price):
        return None
    network = saved.network.to(bench.device)
    history = tuple(Epoch(**epoch) for epoch in facts["history"])
    return Trained(network, bench.config, bench.budget, history, Epoch(**facts["chosen"]))


_JOINT = {"budget", "joint_epochs", "joint_lr", "beta"}
_LATER = {
    "gates": _JOINT,
    "backbone": _JOINT | {"gate_epochs", "gate_lr", "accelerator", "metric"},
}
"""Settings that come into play only after a stage, and so do not tell its results apart. Those of
the machine cannot change a backbone."""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _miss(epoch: Epoch, budget: Budget) -> float:
    return abs(epoch.validation_cost / budget.fraction - 1)


def _generator(seed: int, stage: str) -> torch.Generator:
    """One stream for each stage, so that a stage repeats whether or not the others ran."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}/{stage}".encode()))
