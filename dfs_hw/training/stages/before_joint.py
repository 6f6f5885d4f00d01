"""The stages before joint training, and static baselines in place of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.precision import Precision, highest
from dfs_hw.distributed import alone
from dfs_hw.networks import DynamicNetwork
from dfs_hw.recording import BATCH
from dfs_hw.training.loop.run_stage import Batch, Stage, StepResult, Validation
from dfs_hw.training.setup import Bench
from dfs_hw.training.stages.choosing import latest_of_the_best
from dfs_hw.training.stages.objective import TaskLoss, prices, task_loss
from dfs_hw.training.stages.parameters import gate_group, weight_groups
from dfs_hw.training.stages.results import StageOutcome, Trained, carry_out, finished

CALIBRATION_BATCHES, CALIBRATION_IMAGES = 20, 64
"""What running statistics start from where nothing has run yet: by a moving average with momentum
0.1, seven eighths of them are then of these images."""
MARGIN = 3.0
"""Of the bias that gates start with in place of stage 2; see `Gate.prefer`."""


def train_backbone(bench: Bench, out: Path) -> Trained:
    """Stage 1: the network at the highest precision, or what an earlier run left of it."""
    path = out / "backbone.safetensors"
    if done := finished(bench, "backbone", "backbone", path):
        return done
    network = bench.network()
    network.normalize_by_batch(True)
    top = network.uniform(highest(network.choices))
    steps, epoch_steps = bench.length("backbone")
    if not steps:
        calibrate(bench, network)
        return untrained(bench, network)
    show(bench, network.train(), lambda images: network(images, top))

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(logits, batch.labels)

    stage = Stage(
        "backbone",
        steps,
        epoch_steps,
        weight_groups(network, bench.config.backbone_lr, bench.config),
        static_step(bench, network, top, loss),
        lambda: bench.validate(network, top),
        lambda history: latest_of_the_best(history, len(bench.judge)),
        schedule=bench.schedule,
        nesterov=bench.config.nesterov,
    )
    return carry_out(bench, "backbone", stage, network, path)


def train_supernet(bench: Bench, out: Path) -> Trained:
    """The network at choices drawn anew for every block and step, before any gate chooses.

    So all precisions are trained, and with them what follows each of them, at the price of one
    branch (single-path training of a supernet, Guo et al., ECCV 2020). Without such a stage, the
    backbone.
    """
    backbone = train_backbone(bench, out)
    steps, epoch_steps = bench.length("supernet")
    path = out / "supernet.safetensors"
    if not steps:
        return backbone
    if done := finished(bench, "supernet", "supernet", path):
        return done
    network = copy.deepcopy(backbone.network)
    network.inherit()
    network.normalize_by_batch(True)
    calibrate(bench, network)
    loss = task_loss(bench, backbone.network)
    run = [network.uniform(choice) for choice in network.choices if not choice.is_skip]
    full = network.uniform(highest(network.choices))
    known_cost = bench.cost.of_choices(full[None].to(bench.device)).mean()

    def step(batch: Batch) -> StepResult:
        drawn = random_assignment(network, bench.generator("supernet", batch.number))
        return StepResult(loss(network(batch.images, drawn).logits, batch), known_cost)

    def validate() -> Validation:
        seen = [bench.validate(network, assignment) for assignment in run]
        return Validation(sum(v.accuracy for v in seen) / len(seen), float(known_cost))

    stage = Stage(
        "supernet",
        steps,
        epoch_steps,
        weight_groups(network, bench.config.supernet_lr, bench.config),
        step,
        validate,
        lambda history: history[-1],
        schedule=bench.schedule,
        nesterov=bench.config.nesterov,
    )
    return carry_out(bench, "supernet", stage, network.train(), path)


def random_assignment(network: DynamicNetwork, generator: torch.Generator) -> Tensor:
    """Choices [units], each as likely as every other that its unit offers."""
    return torch.multinomial(network.offered.cpu().float(), 1, generator=generator).squeeze(1)


def train_gates(bench: Bench, out: Path) -> Trained:
    """Stage 2: gates that ask for the highest precision, on a frozen network."""
    path = out / "gates.safetensors"
    if done := finished(bench, "gates", "gates", path):
        return done
    network = train_supernet(bench, out).network
    top = highest(network.choices)
    full = network.uniform(top)
    network.normalize_by_batch(True)

    def watch(images: Tensor, price: Tensor | None) -> Tensor:
        return network.watch(images, full, price=price if bench.knob else None)

    show(bench, network.train(), lambda images: watch(images, images.new_full((len(images),), 0.5)))
    if bench.config.gate_start == "biased":
        network.gate.prefer(network.choices.index(top), MARGIN)
        return untrained(bench, network)
    steps, epoch_steps = bench.length("gate")
    # In the released code the batch's costs are summed, and so is what drives the gates up.
    strength = 1.0
    if bench.config.controller == "paper":
        strength = bench.config.beta * bench.batch * len(network.units)

    def step(batch: Batch) -> StepResult:
        cost = bench.cost(watch(batch.images, prices(batch))).mean()
        return StepResult(-strength * cost, cost)

    stage = Stage(
        "gates",
        steps,
        epoch_steps,
        [gate_group(network, bench.config)],
        step,
        lambda: Validation(bench.validate(network, full).accuracy, asked(bench, network, full)),
        lambda history: history[-1],
        schedule="constant" if bench.schedule == "step" else bench.schedule,
        nesterov=bench.config.nesterov,
    )
    return carry_out(bench, "gates", stage, network, path)


@torch.no_grad()
def asked(bench: Bench, network: DynamicNetwork, full: Tensor) -> float:
    """Mean relative cost of what the gates would choose.

    Only the highest precision has been trained, so whatever is asked for, that runs. Gates with a
    knob are asked at the dearest price, where they resist most.
    """
    network.eval()
    total = torch.zeros((), device=bench.device)
    for images, _ in bench.judge.batches(BATCH):
        price = images.new_ones(len(images)) if bench.knob else None
        total += bench.cost(network.watch(images, full, price=price)).sum()
    network.train()
    return float(total / len(bench.judge))


def train_fixed(
    bench: Bench, choice: Precision | str | int | Sequence[Precision | str | int], out: Path
) -> Trained:
    """The backbone trained on at choices that are the same for all inputs.

    It has as many steps as the supernet and stage 3 together, and batch norms by the batch: the
    usual training for its precision. Without a supernet it has the norms of stage 3.
    """
    backbone = train_backbone(bench, out)
    network = copy.deepcopy(backbone.network)
    if isinstance(choice, Precision | str | int):
        assignment = network.uniform(choice)
    else:
        assignment = network.assign(choice)
    used = [str(network.choices[index]) for index in assignment.tolist()]
    name = "-".join(used[:1] if len(set(used)) == 1 else used).replace("/", "by")
    path = out / f"static-{name}.safetensors"
    if done := finished(bench, "static", f"static {name}", path):
        return done
    lr = bench.config.joint_lr
    if bench.length("supernet").steps:
        network.inherit()
        network.normalize_by_batch(True)
        calibrate(bench, network, batches=1)
        lr = bench.config.supernet_lr
    else:
        open_all_widths(bench, network)
    steps, epoch_steps = bench.length("static")
    stage = Stage(
        f"static {name}",
        steps,
        epoch_steps,
        weight_groups(network, lr, bench.config),
        static_step(bench, network, assignment, task_loss(bench, backbone.network)),
        lambda: bench.validate(network, assignment),
        lambda history: latest_of_the_best(history, len(bench.judge)),
        schedule=bench.schedule,
        nesterov=bench.config.nesterov,
    )
    return carry_out(bench, "static", stage, network.train(), path)


def open_all_widths(bench: Bench, network: DynamicNetwork) -> None:
    """Make a network ready for stage 3: what the supernet has trained of it stays as it is, and
    where there was none, all precisions start from the highest."""
    running = bench.config.norm == "running"
    if not bench.length("supernet").steps:
        network.inherit()
        network.normalize_by_batch(True)
        calibrate(bench, network, CALIBRATION_BATCHES if running else 1)
    network.normalize_by_batch(not running)


def calibrate(bench: Bench, network: DynamicNetwork, batches: int = CALIBRATION_BATCHES) -> None:
    """Show all precisions the same training images, for their ranges and batch norms."""
    images = [calibration_images(bench, number) for number in range(batches)]
    with alone():
        network.calibrate(images)


def show(bench: Bench, network: DynamicNetwork, run: Callable[[Tensor], object]) -> None:
    """Show what is about to train a first batch, for its ranges.

    What has seen nothing yet goes by the tensor at hand, of which a process may have but a part:
    so every process shows all of it, by itself.
    """
    images = calibration_images(bench, 0)
    with alone():
        run(images)
        network.commit(len(images))


def calibration_images(bench: Bench, number: int) -> Tensor:
    """Some training images [N, C, H, W] to start statistics from."""
    return bench.stream("calibration", CALIBRATION_IMAGES).batch(number)[0]


def static_step(
    bench: Bench, network: DynamicNetwork, assignment: Tensor, loss: TaskLoss
) -> Callable[[Batch], StepResult]:
    """A step in which every input runs the same branches."""
    cost = bench.cost.of_choices(assignment[None].to(bench.device)).mean()

    def step(batch: Batch) -> StepResult:
        return StepResult(loss(network(batch.images, assignment).logits, batch), cost)

    return step


def untrained(bench: Bench, network: DynamicNetwork) -> Trained:
    """A network as it is, at the highest precision."""
    top = network.uniform(highest(network.choices))
    accuracy, cost, _ = bench.validate(network, top)
    return Trained(network, bench.config, bench.budget, (), None, StageOutcome(accuracy, cost))
