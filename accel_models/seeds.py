"""Seeds, which all that is drawn at random takes alike."""

from __future__ import annotations

from typing import Any

from accel_models.errors import InputError, quoted

LARGEST_SEED = 2**32 - 1
"""Seed, at most: what NumPy's and scikit-learn's generators take, PyTorch's and Optuna's too."""


def checked_seed(seed: Any, what: str = "seed") -> int:
    """A seed that every generator takes.

    Args:
        what: what errors call it.

    Raises:
        InputError: if it is no whole number from 0 to `LARGEST_SEED`.
    """
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise InputError(
            f"{what} must be a whole number from 0 to {LARGEST_SEED}, got {quoted(seed)}"
        )
    return seed
