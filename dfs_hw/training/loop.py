"""The loop that every stage of training shares: steps of SGD, validated now and then.

A step is a function of the network, the optimiser's momentum, the controller and the number of the
step: all that is random in it is drawn anew from that number. So a stage can be stopped after any
step and go on, also in another process, as if it had never stopped.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from accel_models.errors import DfsHwError, InputError
from dfs_hw.data import TrainingStream, generator_for
from dfs_hw.distributed import (
    all_summed,
    average_gradients,
    copy_from_first,
    highest_over_ranks,
    on_first,
    world,
)
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.interruption import StopRequest, noted_signals
from dfs_hw.training.logs import Log
from dfs_hw.training.snapshot import (
    Snapshot,
    differences,
    discard_snapshot,
    read_snapshot,
    write_snapshot,
)
from dfs_hw.training.stage import Batch, Epoch, Stage, StepResult, Validation, rate

__all__ = ["Batch", "Epoch", "Stage", "StepResult", "Validation", "rate", "run_stage"]

MOMENTUM = 0.9
SNAPSHOT_SECONDS = 300.0
"""Most time between two snapshots: what an end without warning can cost."""


def run_stage(
    stage: Stage,
    network: DynamicNetwork,
    stream: TrainingStream,
    *,
    settings: Mapping[str, Any],
    snapshot: Path,
    save: Callable[[Sequence[Epoch], Epoch], object],
    amp: bool = False,
    snapshot_seconds: float = SNAPSHOT_SECONDS,
    log: Log | None = None,
    progress: bool = True,
) -> tuple[list[Epoch], Epoch]:
    """Run a stage, or the rest of it, and leave the network as the chosen epoch left it.

    Ctrl-C and SIGTERM take effect after the step at hand: a snapshot is written, then the process
    ends as it would have before (KeyboardInterrupt, or SystemExit with status 143).

    Args:
        stream: batches to train on, on the network's device; its seed words drive all else that is
            random in the stage.
        settings: all that the outcome depends on beside these arguments, as plain JSON. A snapshot
            of other settings is not used, and a warning says so.
        snapshot: file to go on from, if it is there, and to keep while the stage runs; all
            processes must see the same.
        save: writes the result, given all epochs and the chosen one. Called at the end, on the
            first process alone, with the network as it is left; only then the snapshot goes.
        amp: run forward passes in bfloat16 where that is safe; weights stay float32.
        snapshot_seconds: most time between two snapshots; one is written after every epoch too.
        log: takes the stage's curves.
        progress: show a bar on stderr.

    Returns:
        All epochs, and the chosen one.

    Raises:
        DfsHwError: if the loss is no longer finite.
        InputError: if the snapshot is damaged or cannot be written.
    """
    device = network.shift.device
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        noted_signals() as request,
    ):
        run = _Run(stage, network, stream, settings, snapshot, amp, log)
        run.resume()
        run.train(request, snapshot_seconds, progress)
        chosen = run.leave_chosen()
        on_first(lambda: save(run.history, chosen))
        on_first(lambda: discard_snapshot(snapshot))
        if request.number:
            request.end(request.number)
    return run.history, chosen


def take_step(
    stage: Stage,
    network: DynamicNetwork,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    amp: bool,
) -> Tensor:
    """One step of descent; waits for no device.

    Returns:
        Loss and cost [2] over the inputs of this process, without gradient.
    """
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=amp):
        loss, cost = stage.step(batch)
    optimizer.zero_grad()
    loss.backward()
    average_gradients(_parameters(optimizer))
    optimizer.step()
    network.commit(len(batch.images))
    return torch.stack([loss.detach().float(), cost.detach().float()])


class _Run:
    """A stage under way. Beside the network, its fields are what a snapshot holds."""

    def __init__(
        self,
        stage: Stage,
        network: DynamicNetwork,
        stream: TrainingStream,
        settings: Mapping[str, Any],
        path: Path,
        amp: bool,
        log: Log | None,
    ) -> None:
        self.stage, self.network, self.stream = stage, network, stream
        self.path, self.amp, self.log = path, amp, log
        self.settings = {
            **settings,
            "stage": stage.name,
            "steps": stage.steps,
            "epoch_steps": stage.epoch_steps,
            "batch": stream.batch_size,
            "seed_words": stream.seed_words,
        }
        self.optimizer = torch.optim.SGD(
            stage.groups, lr=0.0, momentum=MOMENTUM, nesterov=stage.nesterov
        )
        self.step = 0
        """Steps done."""
        self.history: list[Epoch] = []
        self.chosen: Epoch | None = None
        self.chosen_state: dict[str, Tensor] = {}
        self.totals = torch.zeros(2, device=network.shift.device)
        """Loss and cost, summed over the steps of the running epoch."""
        self.kept = "nothing was kept"

    @property
    def progress(self) -> float:
        return self.step / self.stage.steps

    @property
    def between_epochs(self) -> bool:
        return self.step % self.stage.epoch_steps == 0 or self.step == self.stage.steps

    def train(self, request: StopRequest, snapshot_seconds: float, progress: bool) -> None:
        """Take all steps that are left, unless asked to stop."""
        written = time.monotonic()
        hidden = not progress or world()[0] > 0
        with tqdm(
            total=self.stage.steps, initial=self.step, desc=self.stage.name, disable=hidden
        ) as bar:
            while self.step < self.stage.steps:
                self._take_step()
                bar.update()
                due = time.monotonic() - written >= snapshot_seconds
                if self.between_epochs:
                    epoch = self._end_epoch()
                    bar.set_postfix_str(
                        f"accuracy {epoch.validation_accuracy:.3f}, "
                        f"cost {epoch.validation_cost:.3f}"
                    )
                    due = True
                # Processes hear of a signal at different times, and must stop after the same step.
                asked, due_anywhere = highest_over_ranks([request.number, due])
                if asked or due_anywhere:
                    self._write()
                    written = time.monotonic()
                if asked:
                    request.end(int(asked))

    def leave_chosen(self) -> Epoch:
        """Put the chosen epoch's state back into the network."""
        assert self.chosen is not None
        self.network.load_state_dict(self.chosen_state)
        return self.chosen

    def _take_step(self) -> None:
        words, share = self.stream.seed_words, world()
        _seed_everything(f"{words}/step", self.step, share[0])
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate(self.stage.schedule, self.progress)
        images, labels = self.stream.batch(self.step, share)
        batch = Batch(images, labels, self.step, self.progress, words, share)
        self.totals += take_step(self.stage, self.network, self.optimizer, batch, self.amp)
        self.step += 1

    def _end_epoch(self) -> Epoch:
        loss, cost = self._mean_totals()
        self.totals.zero_()
        _seed_everything(f"{self.stream.seed_words}/validation", self.step)
        validation = on_first(self.stage.validate)
        # All processes go by what the first one saw, and so come to the same decisions.
        seen = torch.tensor([0.0, 0.0] if validation is None else validation[:2]).double()
        copy_from_first([seen])
        epoch = Epoch(
            self.stage.name,
            len(self.history) + 1,
            float(self.optimizer.param_groups[0]["lr"]),
            loss,
            cost,
            *seen.tolist(),
            self.progress,
        )
        self.history.append(epoch)
        self.stage.observe(epoch)
        self._choose()
        if self.log is not None and validation is not None:
            self.log.add(self._curves(epoch, validation), self.step)
        return epoch

    def _choose(self) -> None:
        chosen = self.stage.choose(self.history)
        if chosen is self.history[-1]:
            state = self.network.state_dict()
            self.chosen_state = {name: value.clone() for name, value in state.items()}
        elif chosen is not self.chosen:
            raise ValueError(
                f"the stage '{self.stage.name}' chose epoch {chosen.number} of "
                f"{len(self.history)}, whose weights are gone"
            )
        self.chosen = chosen

    def _curves(self, epoch: Epoch, validation: Validation) -> dict[str, float]:
        curves = {
            "loss": epoch.loss,
            "train_cost": epoch.train_cost,
            "accuracy": epoch.validation_accuracy,
            "cost": epoch.validation_cost,
            "learning_rate": epoch.learning_rate,
            **{f"controller/{name}": value for name, value in self.stage.describe().items()},
            **validation.curves,
        }
        return {f"{self.stage.name}/{name}": value for name, value in curves.items()}

    def _mean_totals(self) -> tuple[float, float]:
        """Mean loss and cost of the running epoch; leaves the sums of all processes to the first.

        Raises:
            DfsHwError: if the loss is not finite.
        """
        all_summed(self.totals)
        steps = (self.step - 1) % self.stage.epoch_steps + 1
        loss, cost = (self.totals / (steps * world()[1])).tolist()
        if world()[0] > 0:
            self.totals.zero_()
        if not math.isfinite(loss):
            raise DfsHwError(
                f"the loss of stage '{self.stage.name}' is no longer finite at step {self.step} "
                f"(learning rate {self.optimizer.param_groups[0]['lr']:.3g}): "
                f"lower the learning rate; {self.kept}"
            )
        return loss, cost

    def _write(self) -> None:
        if not self.between_epochs:
            self._mean_totals()  # a state that has diverged must not replace a good one
        on_first(lambda: write_snapshot(self.path, self._snapshot()))
        self.kept = f"{self.path} keeps step {self.step}"

    def _snapshot(self) -> Snapshot:
        momenta = enumerate(_momenta(self.optimizer))
        facts = {
            "settings": self.settings,
            "step": self.step,
            "history": [asdict(epoch) for epoch in self.history],
            "chosen": None if self.chosen is None else self.chosen.number,
            "controller": self.stage.state(),
        }
        parts = {
            "network": self.network.state_dict(),
            "chosen": self.chosen_state,
            "momentum": {str(index): momentum for index, momentum in momenta},
            "epoch": {"totals": self.totals},
        }
        return Snapshot(parts, facts)

    def resume(self) -> None:
        """Go on from the snapshot, if there is one of these settings; the same on all processes."""
        found = read_snapshot(self.path)
        if found is not None:
            changed = differences(found.facts.get("settings", {}), self.settings)
            if not changed:
                self._restore(found)
            elif world()[0] == 0:
                warnings.warn(
                    f"{self.path} was left by a run of other settings ({changed}): "
                    f"the stage '{self.stage.name}' starts anew",
                    stacklevel=3,
                )
        latest, negative_earliest = highest_over_ranks([self.step, -self.step])
        if latest != -negative_earliest:
            raise InputError(
                f"not all processes see {self.path}: the folder must be on a disk they share"
            )
        copy_from_first(self.network.state_dict().values())

    def _restore(self, found: Snapshot) -> None:
        facts, parts = found.facts, found.parts
        try:
            self.network.load_state_dict(parts["network"])
            for parameter, index in zip(_parameters(self.optimizer), parts["momentum"]):
                # As the optimiser lays it out: sums could round differently in another layout.
                momentum = torch.empty_like(parameter).copy_(parts["momentum"][index])
                self.optimizer.state[parameter]["momentum_buffer"] = momentum
            self.totals.copy_(parts["epoch"]["totals"])
            if world()[0] > 0:
                self.totals.zero_()
            self.stage.restore(facts["controller"])
            self.history = [Epoch(**epoch) for epoch in facts["history"]]
            self.step = facts["step"]
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(
                f"{self.path} does not fit the network or this version: "
                f"delete it to start the stage anew ({error})"
            ) from error
        if facts["chosen"] is not None:
            device = self.totals.device
            self.chosen = self.history[facts["chosen"] - 1]
            self.chosen_state = {n: value.to(device) for n, value in parts["chosen"].items()}
        self.kept = f"{self.path} keeps step {self.step}"


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _momenta(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [optimizer.state[parameter]["momentum_buffer"] for parameter in _parameters(optimizer)]


def _seed_everything(words: str, *numbers: int) -> None:
    """Seed what draws without a generator of its own, such as dropout."""
    torch.manual_seed(generator_for(words, *numbers).initial_seed())
