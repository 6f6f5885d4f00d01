"""What a stage leaves on disk, and how a later run finds it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accel_models.leaving import NEVER
from accel_models.owned_folder import changed_settings
from dfs_hw.budgets.budget import TOLERANCE, Budget
from dfs_hw.distributed import on_first
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.checkpoint import load_checkpoint, read_facts, save_checkpoint
from dfs_hw.training.loop.snapshot import discard_snapshot, snapshot_path
from dfs_hw.training.loop.stage import Epoch
from dfs_hw.training.setup import Kind, TrainingSetup

_JOINT_ONLY = {
    *("budget", "controller", "beta", "top_price", "estimator", "temperature", "feasibility"),
    *("exits_on", "supervised", "shaping"),
}
_GATES_ON = {"gate_epochs", "gate_steps", "gate_lr", "gate_start", "accelerator", "metric"}
_AFTER_GATES = {"joint_epochs", "joint_steps", "joint_lr", "distill", "norm"} | _JOINT_ONLY
_EXITS = {"exits", "exit_epochs", "exit_lr", "floor", "exits_on"}
_SUPERNET = {"supernet_epochs", "supernet_steps", "supernet_lr"}
LATER: dict[Kind, set[str]] = {
    "backbone": _AFTER_GATES | _GATES_ON | _SUPERNET,
    "supernet": (_AFTER_GATES | _GATES_ON) - {"distill"},
    "exits": _AFTER_GATES | _GATES_ON | {"floor"},
    "gates": _AFTER_GATES,
    "static": _JOINT_ONLY | _GATES_ON,
    "exits of static": _JOINT_ONLY | _GATES_ON | {"floor"},
    "joint": set(),
}
"""Settings that do not come into play in a stage, and so do not tell its results apart. Those of
the machine, and what it charges, change nothing where no choice is weighed against its cost."""


@dataclass(frozen=True)
class StageOutcome:
    """What a stage came to, on the validation split."""

    accuracy: float
    """Share of the inputs that are classified right, 0 to 1."""
    cost: float
    """Cost relative to the highest precision everywhere, in the budget's statistic."""
    price: float | None = None
    """Price of cost, 0 to 1, at which both were measured; None for networks without a knob."""
    feasibility: dict[str, Any] | None = None
    """Fields of `Feasible`, and whether the shift was kept; None if none was tried."""


@dataclass(frozen=True)
class Trained:
    """A network and how its training went."""

    network: DynamicNetwork
    """The network as it was left, on the device it was trained on."""
    budget: Budget
    """What its cost was held to."""
    history: tuple[Epoch, ...]
    """Epochs of its last stage; empty if nothing was trained."""
    chosen: Epoch | None
    """The epoch that was kept; None if nothing was trained."""
    outcome: StageOutcome

    @property
    def meets_budget(self) -> bool:
        """Whether the validation cost is within `TOLERANCE` of the budget."""
        return abs(self.outcome.cost / self.budget.fraction - 1) <= TOLERANCE


def save_result(
    setup: TrainingSetup,
    kind: Kind,
    name: str,
    path: Path,
    network: DynamicNetwork,
    history: Sequence[Epoch],
    chosen: Epoch | None,
    outcome: StageOutcome,
) -> None:
    """Write what a stage leaves, with all that `finished` needs to find it again."""
    facts = {
        "stage": name,
        "kind": kind,
        "settings": origin(setup, kind, name),
        "config": dict(setup.settings),
        "budget": asdict(setup.budget),
        "history": [asdict(epoch) for epoch in history],
        "chosen": None if chosen is None else asdict(chosen),
        "outcome": asdict(outcome),
        "price": outcome.price,
        "plugin": setup.plugin,
    }
    save_checkpoint(path, network, facts)


def finished(setup: TrainingSetup, kind: Kind, name: str, path: Path) -> Trained | None:
    """What the same stage with the same settings left at `path`, if it is there.

    Raises:
        InputError: if the file is damaged.
    """
    if not path.is_file():
        return None
    facts = read_facts(path)
    kept = facts.get("settings", {})
    if changed_settings(kept, origin(setup, kind, name), setup.defaults):
        return None
    network = setup.network()
    load_checkpoint(path, network)
    on_first(lambda: discard_snapshot(snapshot_path(path)))  # if the end came before it could go
    return Trained(
        network,
        setup.budget,
        tuple(Epoch(**epoch) for epoch in facts["history"]),
        None if facts["chosen"] is None else Epoch(**facts["chosen"]),
        StageOutcome(**facts["outcome"]),
    )


def origin(setup: TrainingSetup, kind: Kind, name: str) -> dict[str, Any]:
    """All that the outcome of a stage depends on, as plain JSON, and its name."""
    return {"stage": name, **relevant(setup, kind)}


def relevant(setup: TrainingSetup, kind: Kind) -> dict[str, Any]:
    """All that the outcome of a kind of stage depends on, as plain JSON."""
    settings, later = setup.settings, LATER[kind]
    if setup.start.leaving == NEVER:
        later = later | _EXITS
    return {
        "config": {name: settings[name] for name in settings if name not in later},
        "start": setup.fingerprint,
        "prices": setup.prices if kind in ("gates", "joint") else "",
    }
