"""The degraded digits that every installation has."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from dfs_hw.data.augmentation import Augmentation
from dfs_hw.data.dataset import Dataset, Splits
from dfs_hw.data.pixels import channel_statistics

DEGRADED_SHARE = 0.6
VALIDATION_LOOKS, TEST_LOOKS = 3, 6
"""How often a held-out digit is seen, each time degraded anew."""
NOISE, BLUR, OCCLUSION = 1.2, 3.5, 0.85
"""Damage at severity 1: deviation of the noise as a share of white, deviation of the blur in pixels
of a 16-pixel image, and side of the hidden square as a share of the image."""


def load_digits(seed: int = 0, size: int = 16) -> Splits:
    """The 1,797 handwritten digits that come with scikit-learn, some of them made hard to read.

    A share of the images gets noise, blur or an occluding square of graded severity, so that
    there are easy and hard inputs, and it is known which is which.

    Held-out digits are looked at several times, each time degraded anew, so that there are enough
    inputs to tell chance from merit; `Dataset.source` says which digit an input was made of.

    Args:
        seed: of the degradation and of the split into 1,100 / 247 / 450 digits.
        size: side of the images, upscaled from 8.

    Returns:
        1,100 inputs to train on, 741 to validate and 2,700 to test.
    """
    from sklearn.datasets import load_digits as bundled
    from sklearn.model_selection import train_test_split

    digits = bundled()
    images = ndimage.zoom(digits.images / 16, (1, size / 8, size / 8), order=1).clip(0, 1)
    everything = np.arange(len(images))
    rng = np.random.default_rng(seed)
    first = _look(images, digits.target, everything, rng)
    rest, test = train_test_split(
        everything, test_size=450, stratify=digits.target, random_state=seed
    )
    train, validation = train_test_split(
        rest, test_size=247, stratify=digits.target[rest], random_state=seed
    )
    mean, std = channel_statistics(first["pixels"][torch.from_numpy(train)])

    def part(chosen: np.ndarray, looks: int) -> Dataset:
        chosen = np.sort(chosen)
        again = (_look(images, digits.target, chosen, rng) for _ in range(looks - 1))
        seen = [{name: one[chosen] for name, one in first.items()}, *again]
        joined = {name: torch.cat([look[name] for look in seen]) for name in first}
        augmentation = Augmentation(max_shift=1)
        return Dataset("digits", mean=mean, std=std, augmentation=augmentation, **joined)

    parts = [part(train, 1), part(validation, VALIDATION_LOOKS), part(test, TEST_LOOKS)]
    return Splits(parts[0], parts[1], parts[2], tuple(str(digit) for digit in range(10)))


def _look(
    images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Some images degraded once, as the fields of a `Dataset` have them."""
    shares = rng.random(len(chosen)), rng.uniform(0.1, 1, len(chosen))
    severity = np.where(shares[0] < DEGRADED_SHARE, shares[1], 0)
    pairs = zip(images[chosen], severity, strict=True)
    degraded = np.stack([degrade(image, amount, rng) for image, amount in pairs])
    return {
        "pixels": torch.from_numpy(np.rint(255 * degraded).astype(np.uint8)[:, None]),
        "labels": torch.from_numpy(labels[chosen].astype(np.int64)),
        "severity": torch.from_numpy(severity).float(),
        "source": torch.from_numpy(chosen),
    }


def degrade(image: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """One kind of damage, drawn by `rng`, to an image [H, W] of values in 0..1.

    Args:
        severity: 0 leaves the image as it is, 1 is the worst.
    """
    if severity == 0:
        return image
    side = image.shape[0]
    kind = rng.choice(["noise", "blur", "occlusion"])
    if kind == "noise":
        image = image + rng.normal(0, NOISE * severity, image.shape)
    elif kind == "blur":
        image = ndimage.gaussian_filter(image, BLUR * severity * side / 16)
    else:
        hidden = round(OCCLUSION * severity * side)
        top, left = rng.integers(0, side - hidden + 1, 2)
        image = image.copy()
        image[top : top + hidden, left : left + hidden] = 0.5
    return image.clip(0, 1)
