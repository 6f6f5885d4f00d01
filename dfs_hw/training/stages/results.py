"""What a stage leaves on disk, and how a later run finds it there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dfs_hw.budgets.budget import TOLERANCE, Budget
from dfs_hw.distributed import on_first
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.checkpoint import load_checkpoint, read_facts, save_checkpoint
from dfs_hw.training.config import TrainConfig, plain
from dfs_hw.training.loop.run_stage import Epoch, Stage, run_stage
from dfs_hw.training.loop.snapshot import discard_snapshot, snapshot_path
from dfs_hw.training.setup import Bench

_JOINT_ONLY = {
    *("budget", "controller", "beta", "top_price", "estimator", "temperature", "feasibility"),
}
_GATES_ON = {"gate_epochs", "gate_steps", "gate_lr", "gate_start", "accelerator", "metric"}
_AFTER_GATES = {"joint_epochs", "joint_steps", "joint_lr", "distill", "norm"} | _JOINT_ONLY
_SUPERNET = {"supernet_epochs", "supernet_steps", "supernet_lr"}
LATER: dict[str, set[str]] = {
    "backbone": _AFTER_GATES | _GATES_ON | _SUPERNET,
    "supernet": (_AFTER_GATES | _GATES_ON) - {"distill"},
    "gates": _AFTER_GATES,
    "static": _JOINT_ONLY | (_GATES_ON - {"accelerator", "metric"}),
    "joint": set(),
}
"""Settings that do not come into play in a stage, and so do not tell its results apart. Those of
the machine cannot change a backbone."""


@dataclass(frozen=True)
class StageOutcome:
    """What a stage came to, on the validation split."""

    accuracy: float
    cost: float
    """Relative, in the budget's statistic."""
    price: float | None = None
    """Of cost, at which accuracy and cost were measured; None for networks without a knob."""
    feasibility: dict[str, Any] | None = None
    """Fields of `Feasible`, and whether the shift was kept; None if none was tried."""


@dataclass(frozen=True)
class Trained:
    """A network and how its training went."""

    network: DynamicNetwork
    config: TrainConfig
    budget: Budget
    history: tuple[Epoch, ...]
    chosen: Epoch | None
    """The epoch that was kept; None if nothing was trained."""
    outcome: StageOutcome

    @property
    def meets_budget(self) -> bool:
        """True if the validation cost is within `TOLERANCE` of the budget."""
        return abs(self.outcome.cost / self.budget.fraction - 1) <= TOLERANCE


def carry_out(
    bench: Bench,
    kind: str,
    stage: Stage,
    network: DynamicNetwork,
    path: Path,
    finish: Callable[[Epoch], StageOutcome] | None = None,
) -> Trained:
    """Run a stage, or the rest of it, and write what it leaves to `path`.

    Args:
        kind: of the stage: backbone, supernet, gates, joint or static.
        network: in the modes the stage trains it in.
        finish: last touches to the network, given the chosen epoch, before it is written; by
            default none.
    """
    settings = {"stage": stage.name, **relevant(bench, kind)}

    def save(history: Sequence[Epoch], chosen: Epoch) -> None:
        if finish is None:
            outcome = StageOutcome(chosen.validation_accuracy, chosen.validation_cost)
        else:
            outcome = finish(chosen)
        facts = {
            "stage": stage.name,
            "kind": kind,
            "settings": settings,
            "config": plain(bench.config),
            "budget": asdict(bench.budget),
            "history": [asdict(epoch) for epoch in history],
            "chosen": asdict(chosen),
            "outcome": asdict(outcome),
            "price": outcome.price,
        }
        save_checkpoint(path, network, facts)

    run_stage(
        stage,
        network,
        bench.stream(stage.name),
        settings=settings,
        snapshot=snapshot_path(path),
        save=save,
        amp=bench.config.amp,
        log=bench.log,
        progress=bench.progress,
    )
    done = finished(bench, kind, stage.name, path)
    assert done is not None
    return done


def finished(bench: Bench, kind: str, name: str, path: Path) -> Trained | None:
    """What the same stage with the same settings left at `path`, if it is there.

    Raises:
        InputError: if the file is damaged.
    """
    if not path.is_file():
        return None
    facts = read_facts(path)
    if facts.get("settings") != {"stage": name, **relevant(bench, kind)}:
        return None
    network = bench.network()
    load_checkpoint(path, network)
    on_first(lambda: discard_snapshot(snapshot_path(path)))  # if the end came before it could go
    return Trained(
        network,
        bench.config,
        bench.budget,
        tuple(Epoch(**epoch) for epoch in facts["history"]),
        Epoch(**facts["chosen"]),
        StageOutcome(**facts["outcome"]),
    )


def relevant(bench: Bench, kind: str) -> dict[str, Any]:
    """All that the outcome of a stage depends on, as plain JSON."""
    settings = plain(bench.config)
    return {
        "config": {name: settings[name] for name in settings if name not in LATER[kind]},
        "start": bench.fingerprint,
        "prices": "" if kind in ("backbone", "supernet") else bench.prices,
    }
