"""What a run knows of its inputs beside their trace: images, severity, confidence."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from accel_models.errors import InputError
from accel_models.replay import Replay
from dfs_hw.data import Dataset, Splits, load_dataset
from dfs_hw.networks.checkpoint import load_checkpoint
from dfs_hw.recording import evaluate
from dfs_hw.report.measured.input_spread import KnownInputs, extremes

SIDE = 96
"""Pixels of a shown image's longer side, at most."""


def splits_of(outcome: Replay, path: Path, data: str, seed: int) -> Splits:
    """The data whose test inputs a trace is of.

    Args:
        path: of the trace.

    Raises:
        InputError: if it is of others.
    """
    splits, trace = load_dataset(data, seed), outcome.trace
    if len(splits.test) != len(trace):
        raise InputError(
            f"{path} has {len(trace)} inputs, the test set of {data} has {len(splits.test)}"
        )
    if not np.array_equal(splits.test.labels.numpy(), trace.labels):
        raise InputError(f"{path} has other labels than the test set of {data}, seed {seed}")
    return splits


def known_inputs(
    outcome: Replay, images: Dataset, classes: tuple[str, ...], checkpoint: Path | None = None
) -> KnownInputs:
    """What is known of the inputs of a run.

    Args:
        checkpoint: of the network that left the trace, to ask how sure it was; None if it is not
            there, or cannot be built by name.
    """
    severity = images.severity
    cheap, dear = extremes(outcome.energy_j)
    return KnownInputs(
        classes,
        None if checkpoint is None else _confidence(checkpoint, outcome, images),
        None if severity is None else severity.cpu().numpy().astype(np.float64),
        {row: picture(images.pixels[row].numpy()) for row in {*cheap, *dear}},
    )


def _confidence(checkpoint: Path, outcome: Replay, images: Dataset) -> np.ndarray | None:
    """Probability of each predicted class [input]; None if the network answers otherwise than the
    trace has it, as on another device it may."""
    network = load_checkpoint(checkpoint).network
    choices = torch.from_numpy(outcome.trace.choices.astype(np.int64))
    seen = evaluate(network, images, choices)
    if not np.array_equal(seen.predictions.numpy(), outcome.trace.predictions):
        return None
    return seen.confidence.numpy().astype(np.float64)


def picture(pixels: np.ndarray) -> str:
    """PNG as a ``data:`` address of an image, uint8 [C, H, W]."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
