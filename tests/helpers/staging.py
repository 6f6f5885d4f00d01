"""A small stage of joint training in which everything that can be random or remembered is."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dfs_hw.budgets.controllers import PIController
from dfs_hw.data import Augmentation, Dataset, TrainingStream
from dfs_hw.distributed import all_averaged
from dfs_hw.gates import Trials, gumbel_noise, uniform
from dfs_hw.networks import Design, DynamicNetwork, build_network
from dfs_hw.recording import evaluate
from dfs_hw.training.loop.run_stage import Batch, Epoch, Stage, StepResult, Validation, run_stage
from dfs_hw.training.loop.snapshot import snapshot_path

PRICES = torch.tensor([0.0, 0.25, 1.0])
"""Relative cost of skip, 4 and 8 bits."""
RANDOM = Design(quantizer="minmax", faults=("stochastic-activations",))


def images(count: int = 40, seed: int = 0) -> Dataset:
    """Dark and bright noise, in two classes, to be shifted and flipped."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    pixels = torch.randint(160, (count, 1, 8, 8), generator=generator) + 95 * labels.view(
        -1, 1, 1, 1
    )
    moments = torch.tensor([0.5]), torch.tensor([0.3])
    change = Augmentation(max_shift=1, mirror=True)
    return Dataset("noise", pixels.byte(), labels, *moments, augmentation=change)


def network(design: Design | None = None, choices: str = "skip,4,8") -> DynamicNetwork:
    """ResNet-8 of few channels, in training mode."""
    return build_network(
        "resnet8", choices, 2, 1, image_size=(8, 8), widths=(4, 8, 8), design=design, seed=0
    ).train()


def groups(trained: torch.nn.Module, lr: float = 0.05) -> list[dict[str, Any]]:
    """All parameters in one group."""
    return [{"params": list(trained.parameters()), "initial_lr": lr, "weight_decay": 1e-3}]


def relative_cost(gates: Tensor) -> Tensor:
    """Cost [N] of choices [N, units, 3], relative to 8 bits everywhere."""
    return (gates * PRICES.to(gates)).sum(-1).mean(-1)


def last(history: Sequence[Epoch]) -> Epoch:
    return history[-1]


def most_accurate(history: Sequence[Epoch]) -> Epoch:
    return max(history, key=lambda epoch: (epoch.validation_accuracy, -epoch.number))


def second(history: Sequence[Epoch]) -> Epoch:
    """So that what is kept differs both from the start and from the end."""
    return history[min(1, len(history) - 1)]


def joint_stage(trained: DynamicNetwork, *, steps: int = 7, epoch_steps: int = 3) -> Stage:
    """Gates that draw choices, and branches to learn from, under a controller that remembers."""
    controller, held_out = PIController(0.5), images(30, seed=1)

    def step(batch: Batch) -> StepResult:
        noise = batch.draw("gates", gumbel_noise, len(trained.units), len(trained.choices))
        draws = batch.draw("branches", uniform, len(trained.units), len(trained.choices))
        outcome = trained(batch.images, noise=noise, trials=Trials(1.0, draws))
        assert outcome.gates is not None
        costs = relative_cost(outcome.gates)
        mean = all_averaged(costs.mean())
        loss = functional.cross_entropy(outcome.logits, batch.labels)
        return StepResult(loss + controller.term(costs, mean), costs.detach().mean())

    def validate() -> Validation:
        seen = evaluate(trained, held_out)
        return Validation(seen.accuracy, float(PRICES[seen.choices].mean()))

    return Stage(
        "joint",
        steps,
        epoch_steps,
        groups(trained),
        step,
        validate,
        second,
        observe=lambda epoch: controller.observe(epoch.validation_cost, epoch.progress),
        state=controller.state,
        restore=controller.restore,
        describe=controller.describe,
    )


def stream(batch: int = 10, seed_words: str = "0/joint") -> TrainingStream:
    return TrainingStream(images(), batch, seed_words)


def run(
    stage: Stage,
    trained: DynamicNetwork,
    folder: Path,
    *,
    save: Callable[[Sequence[Epoch], Epoch], object] = lambda history, chosen: None,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[list[Epoch], Epoch]:
    """Run a stage with its snapshot in `folder`."""
    return run_stage(
        stage,
        trained,
        options.pop("stream", stream()),
        settings=settings or {},
        snapshot=snapshot_path(folder / "joint.safetensors"),
        save=save,
        progress=False,
        **options,
    )


def stopping(stage: Stage, number: int, at: Callable[[Batch], bool]) -> Stage:
    """The same stage, in whose steps a signal arrives now and then."""

    def step(batch: Batch) -> StepResult:
        if at(batch):
            signal.raise_signal(number)
        return stage.step(batch)

    return Stage(**{**vars(stage), "step": step})
