"""A network trained for all widths, run at assignments that are the same for all inputs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from accel_models.errors import DfsHwError, InputError
from dfs_hw.data import Dataset
from dfs_hw.headroom.family import Choices
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.checkpoint import digest
from dfs_hw.networks.finite import why_not_finite
from dfs_hw.recording import BATCH
from dfs_hw.tensor_file import read_tensors, write_tensors
from dfs_hw.training.setup import TrainingSetup

Split = Literal["validation", "test"]
ANSWERS = "answers.safetensors"
"""File of what a network said."""
_KIND = "file of answers"


class Seen(NamedTuple):
    """What a network says of N inputs."""

    risk: Tensor
    """Chance that it gives to other classes than the right one, float16 [N]: what it expects to be
    its mistakes."""
    right: Tensor
    """Whether it classifies each input right, bool [N]."""


class Judge:
    """One network and all that it was asked, kept on disk after every answer.

    Args:
        setup: what it was trained with; gives the inputs.
        network: at any choice trained.
        path: file that holds its answers, or will.

    Raises:
        InputError: if the file is damaged.
    """

    def __init__(self, setup: TrainingSetup, network: DynamicNetwork, path: Path) -> None:
        self.setup, self.network, self.path = setup, network.eval(), path
        self._facts = {
            "network": digest(network),
            "validation": image_digest(setup.splits.validation),
            "test": image_digest(setup.splits.test),
        }
        self._known = self._read()

    @property
    def inputs(self) -> str:
        """Digest of the test inputs: judges of the same can be compared input by input."""
        return str(self._facts["test"])

    def ask(self, split: Split, choices: Choices) -> Seen:
        """What the network says of the inputs of a split, every unit at its choice.

        Raises:
            DfsHwError: if its outputs are not finite.
        """
        name = f"{split} {' '.join(map(str, choices))}"
        if f"{name} risk" not in self._known:
            seen = self._run(getattr(self.setup.splits, split), torch.tensor(choices))
            self._known |= {f"{name} risk": seen.risk, f"{name} right": seen.right}
            write_tensors(self.path, _KIND, self._known, self._facts)
        return Seen(self._known[f"{name} risk"], self._known[f"{name} right"])

    def risk(self, choices: Choices) -> float:
        """Mean risk of the validation inputs."""
        return float(self.ask("validation", choices).risk.double().mean())

    @torch.no_grad()
    def _run(self, data: Dataset, assignment: Tensor) -> Seen:
        risks, rights = [], []
        for images, labels in data.batches(BATCH):
            logits = self.network(images, assignment).logits.float()
            if not logits.isfinite().all():
                raise DfsHwError(
                    f"{self.network.name} gives outputs that are not finite: "
                    f"{why_not_finite(self.network)}"
                )
            risks.append(1 - functional.softmax(logits, 1).gather(1, labels[:, None])[:, 0])
            rights.append(logits.argmax(1) == labels)
        return Seen(torch.cat(risks).half().cpu(), torch.cat(rights).cpu())

    def _read(self) -> dict[str, Tensor]:
        """Answers of the same network on the same images; none if there are no such."""
        if not os.path.lexists(self.path):
            return {}
        try:
            kept = read_tensors(self.path, _KIND, _KIND)
        except InputError as error:
            raise InputError(f"{error}: delete the file to have it made anew") from error
        facts: dict[str, Any] = kept.facts
        return kept.tensors if facts == self._facts else {}


def image_digest(data: Dataset) -> str:
    """Tells images and their labels apart."""
    checksum = hashlib.sha256(data.labels.cpu().numpy().tobytes())
    for start in range(0, len(data), BATCH):
        pixels = data.pixels[start : start + BATCH].cpu()
        checksum.update(np.ascontiguousarray(pixels.numpy()).data)
    return checksum.hexdigest()[:16]
