"""The loop that every stage of training shares: steps of SGD, validated now and then.

A step is a function of the network, the optimiser's momentum, the controller and the number of the
step: all that is random in it is drawn anew from that number. So a stage can be stopped after any
step and go on, also in another process, as if it had never stopped.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from accel_models.errors import DfsHwError, InputError
from accel_models.owned_folder import changed_settings
from dfs_hw.data import TrainingStream, generator_for
from dfs_hw.distributed import (
    average_gradients,
    copy_from_first,
    gathered,
    highest_over_ranks,
    on_first,
    world,
)
from dfs_hw.logs import Log
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.finite import not_finite
from dfs_hw.training.loop.interruption import StopRequest, noted_signals
from dfs_hw.training.loop.snapshot import discard_snapshot, read_snapshot, write_snapshot
from dfs_hw.training.loop.stage import Batch, Epoch, Stage, StepResult, Validation, rate
from dfs_hw.training.loop.state import (
    StageState,
    from_snapshot,
    parameters_of,
    to_snapshot,
)

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
    defaults: Mapping[str, Any] = MappingProxyType({}),
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
        defaults: settings that snapshots of an earlier version have not, as `owned_folder` has it.
        snapshot: file to go on from, if it is there, and to keep while the stage runs; all
            processes must see the same.
        save: writes the result, given all epochs and the chosen one. Called at the end, on the
            first process alone, with the network as it is left; only then the snapshot goes.
        amp: run forward passes in bfloat16, which rounds the outputs of layers to 8 bits of
            mantissa; weights, statistics and what quantisers give stay float32. Where the device
            has no such arithmetic everything is float32, and a warning says so.
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
        in_bfloat16 = amp and computes_bfloat16(device)
        if amp and not in_bfloat16:
            warnings.warn(
                f"this {device.type.upper()} has no bfloat16 arithmetic, and would take ten times "
                "as long to imitate it: amp is left out, and everything is computed in float32",
                stacklevel=1,  # one place: said once, not for every stage
            )
        run = _Run(stage, network, stream, settings, snapshot, in_bfloat16, log)
        run.resume(defaults)
        run.train(request, snapshot_seconds, progress)
        chosen = run.leave_chosen()
        on_first(lambda: save(run.state.history, chosen))
        on_first(lambda: discard_snapshot(snapshot))
        if request.number:
            request.end(request.number)
    return run.state.history, chosen


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself, as PyTorch's own compiler asks it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        known = torch.backends.mkldnn.is_available()
        return known and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True


def take_step(stage: Stage, optimizer: torch.optim.Optimizer, batch: Batch, amp: bool) -> Tensor:
    """One step of descent; waits for no device.

    Returns:
        Loss and cost [2] over the inputs of this process, without gradient.
    """
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=amp):
        loss, cost = stage.step(batch)
    optimizer.zero_grad()
    loss.backward()
    average_gradients(parameters_of(optimizer))
    optimizer.step()
    return torch.stack([loss.detach().float(), cost.detach().float()])


class _Run:
    """A stage under way."""

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
        self.state = StageState(torch.zeros(2, device=network.shift.device))
        self.kept = 0
        """Step that the snapshot holds; 0 if there is none."""

    @property
    def progress(self) -> float:
        return self.state.step / self.stage.steps

    @property
    def between_epochs(self) -> bool:
        return self.state.step % self.stage.epoch_steps == 0 or self.progress == 1

    def resume(self, defaults: Mapping[str, Any]) -> None:
        """Go on from the snapshot, if there is one of these settings; alike on all processes."""
        found = read_snapshot(self.path)
        if found is not None:
            kept = found.facts.get("settings", {})
            changed = changed_settings(kept, self.settings, defaults)
            if not changed:
                self.state = from_snapshot(found, self.stage, self.network, self.optimizer)
                self.kept = self.state.step
            elif world()[0] == 0:
                warnings.warn(
                    f"{self.path} was left by a run of other settings ({changed}): "
                    f"the stage '{self.stage.name}' starts anew",
                    stacklevel=3,
                )
        latest, earliest = highest_over_ranks([self.state.step, -self.state.step])
        if latest != -earliest:
            raise InputError(
                f"not all processes see the same {self.path}: its folder must be shared by them"
            )
        copy_from_first(self.network.state_dict().values())

    def train(self, request: StopRequest, snapshot_seconds: float, progress: bool) -> None:
        """Take all steps that are left, unless asked to stop."""
        written, hidden = time.monotonic(), not progress or world()[0] > 0
        with tqdm(
            total=self.stage.steps, initial=self.state.step, desc=self.stage.name, disable=hidden
        ) as bar:
            while self.progress < 1:
                self._take_step()
                bar.update()
                if self.between_epochs:
                    bar.set_postfix_str(_summary(self._end_epoch()))
                due = self.between_epochs or time.monotonic() - written >= snapshot_seconds
                # Processes hear of a signal at different times, and must stop after the same step.
                asked, due_anywhere = highest_over_ranks([request.number, due])
                if asked or due_anywhere:
                    self._write()
                    written = time.monotonic()
                if asked:
                    request.end(int(asked))

    def leave_chosen(self) -> Epoch:
        """Put the chosen epoch's state back into the network."""
        assert self.state.chosen is not None
        self.network.load_state_dict(self.state.chosen_weights)
        return self.state.chosen

    def _take_step(self) -> None:
        words, share, step = self.stream.seed_words, world(), self.state.step
        _seed_everything(f"{words}/step", step, share[0])
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate(self.stage.schedule, self.progress)
        images, labels = self.stream.batch(step, share)
        batch = Batch(images, labels, step, self.progress, words, share)
        self.state.totals += take_step(self.stage, self.optimizer, batch, self.amp)
        self.state.step += 1

    def _end_epoch(self) -> Epoch:
        steps = (self.state.step - 1) % self.stage.epoch_steps + 1
        loss, train_cost = (self._finite_totals().mean(0) / steps).tolist()
        self.state.totals.zero_()
        _seed_everything(f"{self.stream.seed_words}/validation", self.state.step)
        validation = on_first(self.stage.validate)
        # All processes go by what the first one saw, and so come to the same decisions.
        seen = torch.zeros(2, dtype=torch.float64)
        if validation is not None:
            seen = seen.new_tensor([validation.accuracy, validation.cost])
        copy_from_first([seen])
        epoch = Epoch(
            stage=self.stage.name,
            number=len(self.state.history) + 1,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            loss=loss,
            train_cost=train_cost,
            validation_accuracy=float(seen[0]),
            validation_cost=float(seen[1]),
            progress=self.progress,
        )
        self.state.history.append(epoch)
        self.stage.observe(epoch)
        self._choose()
        on_first(lambda: self._draw(epoch, validation))
        return epoch

    def _choose(self) -> None:
        state, chosen = self.state, self.stage.choose(self.state.history)
        if chosen is state.history[-1]:
            weights = self.network.state_dict()
            state.chosen_weights = {name: value.clone() for name, value in weights.items()}
        elif chosen is not state.chosen:
            raise ValueError(
                f"the stage '{self.stage.name}' chose epoch {chosen.number} of "
                f"{len(state.history)}, whose weights are gone"
            )
        state.chosen = chosen

    def _draw(self, epoch: Epoch, validation: Validation | None) -> None:
        if self.log is None or validation is None:
            return
        curves = {
            "loss": epoch.loss,
            "train_cost": epoch.train_cost,
            "accuracy": epoch.validation_accuracy,
            "cost": epoch.validation_cost,
            "learning_rate": epoch.learning_rate,
            **{f"controller/{name}": value for name, value in self.stage.describe().items()},
            **validation.curves,
        }
        named = {f"{self.stage.name}/{name}": value for name, value in curves.items()}
        self.log.add(named, self.state.step)

    def _finite_totals(self) -> Tensor:
        """Loss and cost of the running epoch, summed by each process [ranks, 2].

        Raises:
            DfsHwError: if they are not finite, or the weights are not.
        """
        totals = gathered(self.state.totals)
        what = "" if totals.isfinite().all() else "the loss"
        if what or (what := not_finite(self.network)):
            kept = f"{self.path} keeps step {self.kept}" if self.kept else "nothing was kept"
            raise DfsHwError(
                f"{what} of stage '{self.stage.name}' is no longer finite at step "
                f"{self.state.step} (learning rate {self.optimizer.param_groups[0]['lr']:.3g}): "
                f"lower the learning rate; {kept}"
            )
        return totals

    def _write(self) -> None:
        totals = self._finite_totals()  # what has diverged must not replace what is good

        def write() -> None:
            everything = to_snapshot(
                self.state, self.stage, self.network, self.optimizer, self.settings, totals
            )
            write_snapshot(self.path, everything)

        on_first(write)
        self.kept = self.state.step


def _summary(epoch: Epoch) -> str:
    return f"accuracy {epoch.validation_accuracy:.3f}, cost {epoch.validation_cost:.3f}"


def _seed_everything(words: str, *numbers: int) -> None:
    """Seed what draws without a generator of its own, such as dropout."""
    torch.manual_seed(generator_for(words, *numbers).initial_seed())
