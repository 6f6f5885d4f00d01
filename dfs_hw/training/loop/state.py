"""How far a stage has come, and how that is written down and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from accel_models.errors import InputError
from dfs_hw.distributed import world
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.finite import not_finite
from dfs_hw.training.loop.snapshot import Snapshot
from dfs_hw.training.loop.stage import Epoch, Stage


@dataclass
class StageState:
    """What the rest of a stage depends on, beside network, momentum and controller."""

    totals: Tensor
    """Loss and cost [2], summed over the steps of the running epoch that this process took."""
    step: int = 0
    """Steps done."""
    history: list[Epoch] = field(default_factory=list)
    chosen: Epoch | None = None
    chosen_weights: dict[str, Tensor] = field(default_factory=dict)
    """State of the network as the chosen epoch left it."""


def to_snapshot(
    state: StageState,
    stage: Stage,
    network: DynamicNetwork,
    optimizer: Optimizer,
    settings: Mapping[str, Any],
    totals: Tensor,
) -> Snapshot:
    """Everything as it is between two steps.

    Args:
        totals: of all processes [ranks, 2].
    """
    momentum = {
        str(number): optimizer.state[parameter]["momentum_buffer"]
        for number, parameter in enumerate(parameters_of(optimizer))
    }
    return Snapshot(
        {
            "network": network.state_dict(),
            "chosen": state.chosen_weights,
            "momentum": momentum,
            "epoch": {"totals": totals},
        },
        {
            "settings": dict(settings),
            "step": state.step,
            "history": [asdict(epoch) for epoch in state.history],
            "chosen": None if state.chosen is None else state.chosen.number,
            "controller": stage.state(),
        },
    )


def from_snapshot(
    snapshot: Snapshot, stage: Stage, network: DynamicNetwork, optimizer: Optimizer
) -> StageState:
    """Take up a stage: its state is returned, and everything else is put where it belongs.

    Raises:
        InputError: if the snapshot is of another network, optimiser or controller, or of a training
            that diverged.
    """
    parts, facts, device = snapshot.parts, snapshot.facts, network.shift.device
    for part, tensors in parts.items():
        if name := not_finite(network, tensors):
            raise InputError(f"the snapshot's '{part}/{name}' is not finite: training diverged")
    try:
        network.load_state_dict(parts["network"])
        for number, parameter in enumerate(parameters_of(optimizer)):
            # Laid out like the parameter, as the optimiser has it: additions may round otherwise.
            momentum = torch.empty_like(parameter).copy_(parts["momentum"][str(number)])
            optimizer.state[parameter]["momentum_buffer"] = momentum
        stage.restore(facts["controller"])
        history = [Epoch(**epoch) for epoch in facts["history"]]
        return StageState(
            _own(parts["epoch"]["totals"]).to(device),
            facts["step"],
            history,
            None if facts["chosen"] is None else history[facts["chosen"] - 1],
            {name: value.to(device) for name, value in parts.get("chosen", {}).items()},
        )
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise InputError(f"the snapshot does not fit the stage '{stage.name}': {error}") from error


def _own(totals: Tensor) -> Tensor:
    """This process's part of the totals [ranks, 2], whose mean counts; if there are more or fewer
    processes now, each goes on from the mean."""
    rank, ranks = world()
    return totals[rank] if len(totals) == ranks else totals.mean(0)


def parameters_of(optimizer: Optimizer) -> list[nn.Parameter]:
    """All that it trains, in its order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
