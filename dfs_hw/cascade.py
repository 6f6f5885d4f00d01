"""Two trained networks in a row, recorded as one: the second runs where the first is not sure.

A classical cascade (Viola and Jones, CVPR 2001), whose first network decides by its largest softmax
probability, as in "Wisdom of committees" (Wang et al., ICLR 2022). It needs no training of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from accel_models.errors import InputError
from accel_models.files import ending_in, writable_folder
from accel_models.precision import EXIT, Precision, highest
from accel_models.trace import GateTrace
from accel_models.workloads.in_a_row import THEN, in_a_row
from accel_models.workloads.workload import Workload
from dfs_hw.data import Dataset, Splits, load_dataset
from dfs_hw.experiment import SPLITS, trace_header
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.checkpoint import load_checkpoint
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.recording import Evaluation, evaluate
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.stages.before_joint import read_spelled


@dataclass(frozen=True)
class Member:
    """A trained network as one of a cascade."""

    network: DynamicNetwork
    config: TrainConfig
    plugin: str
    price: float | None
    """Price of cost for a network with a knob."""
    assignment: Tensor | None
    """Choices of all inputs [units], of a static network; None where gates decide."""

    @classmethod
    def load(cls, checkpoint: Path) -> Member:
        """The network of a checkpoint, gated or static.

        Raises:
            InputError: as `load_checkpoint`, or if it is neither.
        """
        saved = load_checkpoint(checkpoint)
        kind, stage = saved.facts.get("kind"), saved.facts.get("stage", "")
        if kind not in ("joint", "static"):
            raise InputError(
                f"{checkpoint} holds the network of stage '{stage}': a cascade is made of static "
                "networks and of gated ones"
            )
        network, fixed = saved.network, None
        if kind == "static":
            used = read_spelled(stage.removeprefix("static "))
            fixed = network.uniform(used[0]) if len(used) == 1 else network.assign(used)
        config = TrainConfig.from_dict(saved.facts["config"])
        return cls(network, config, saved.facts.get("plugin", ""), saved.price, fixed)

    def evaluate(self, data: Dataset) -> Evaluation:
        """What it makes of inputs."""
        return evaluate(self.network, data, self.assignment, price=self.price)

    def workload(self, data: Dataset) -> Workload:
        """Layers of its network, without gates if none decides."""
        whole = workload_of(self.network, data.image_size)
        return whole if self.assignment is None else whole.without_gates()


def record_cascade(
    first: Path,
    then: Path,
    out: Path,
    split: str = "test",
    *,
    sure: float | None = None,
    share: float | None = None,
) -> GateTrace:
    """Record what becomes of each input of one split of the data that both were trained for.

    Its network is `in_a_row` of both; an input that the first is sure of leaves after it, and its
    prediction is the first one's.

    Args:
        first: checkpoint of the network that every input runs, as training leaves it.
        then: checkpoint of the network for inputs that it is not sure of.
        out: trace to write.
        split: train, validation or test.
        sure: probability of the predicted class, 0 to 1, from which on an input leaves.
        share: in place of `sure`, share of the validation inputs that go on, 0 to 1.

    Raises:
        InputError: if they were trained on other data or of other seeds, run what is always run at
            other precisions, not one of `sure` and `share` is given, or as `in_a_row`.
    """
    ending_in(out, ".parquet", "gate traces")
    if (sure is None) == (share is None):
        raise InputError(
            "say from which probability on an input leaves (sure), or which share of the "
            "validation inputs goes on (share)"
        )
    for name, value in (("sure", sure), ("share", share)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} is between 0 and 1, not {value:g}")
    if split not in SPLITS:
        raise InputError(f"there is no split '{split}': choose from {', '.join(SPLITS)}")
    members = Member.load(first), Member.load(then)
    _check(members, (first, then))
    writable_folder(Path(out).parent)  # found out before the work
    config = members[0].config
    splits = load_dataset(config.data, config.seed)
    if sure is None:
        assert share is not None  # one of the two is
        sure = _threshold(members[0], splits, share)
    trace = _trace(members, getattr(splits, split), split, sure)
    trace.write(out)
    return trace


def _check(members: tuple[Member, Member], paths: tuple[Path, Path]) -> None:
    a, b = (member.config for member in members)
    for what, mine, other in (("data", a.data, b.data), ("seed", a.seed, b.seed)):
        if mine != other:
            raise InputError(
                f"{paths[0]} was trained with {what} {mine} and {paths[1]} with {other}: a cascade "
                "is of networks that were shown the same inputs"
            )
    tops = [highest(member.network.choices) for member in members]
    if tops[0] != tops[1]:
        raise InputError(
            f"layers outside of units run at {tops[0]} bits in {paths[0]} and at {tops[1]} in "
            f"{paths[1]}: a trace has one precision for both"
        )


def threshold_passing(known: np.ndarray, number: int) -> float:
    """Confidence below which so many inputs lie, and go on.

    Args:
        known: confidence of all inputs, from the least sure on.
    """
    return float(known[number]) if number < len(known) else 1.0 + np.finfo(float).eps


def _threshold(first: Member, splits: Splits, share: float) -> float:
    """Confidence below which that share of the validation inputs lies."""
    known = np.sort(first.evaluate(splits.validation).confidence.double().numpy())
    return threshold_passing(known, round(share * len(known)))


def _trace(members: tuple[Member, Member], data: Dataset, split: str, sure: float) -> GateTrace:
    first, then = members
    shown = first.evaluate(data)
    stays = torch.nonzero(shown.confidence.double() < sure)[:, 0]
    workload = in_a_row(first.workload(data), then.workload(data))
    choices = tuple(dict.fromkeys((*first.network.choices, *then.network.choices, EXIT)))
    always = highest(first.network.choices)
    taken = np.full((len(data), len(workload.units)), choices.index(EXIT), dtype=np.uint8)
    led, at = shown.choices.shape[1], choices.index
    taken[:, :led] = _renumbered(first, shown.choices, choices)
    predictions = shown.predictions.clone()
    if len(stays):
        seen = then.evaluate(data.subset(stays))
        predictions[stays] = seen.predictions
        if THEN in workload.units:
            taken[stays.numpy(), led] = at(always)
            led += 1
        taken[stays.numpy(), led:] = _renumbered(then, seen.choices, choices)
    same = first.config.accelerator == then.config.accelerator
    header = trace_header(
        workload,
        choices,
        split,
        data=first.config.data,
        accelerator=first.config.accelerator if same else "",
        plugin=first.plugin or then.plugin,
        seed=first.config.seed,
    )
    labels = data.labels.cpu().numpy().astype(np.int32)
    numbers = np.arange(len(data), dtype=np.int64)
    return GateTrace(header, numbers, labels, predictions.numpy().astype(np.int32), taken)


def _renumbered(member: Member, chosen: Tensor, choices: tuple[Precision, ...]) -> np.ndarray:
    """Choices [N, units] of a member, as indices into the choices of both."""
    places = np.array([choices.index(one) for one in member.network.choices], dtype=np.uint8)
    found: np.ndarray = places[chosen.numpy()]
    return found


__all__ = ["Member", "record_cascade", "threshold_passing"]
