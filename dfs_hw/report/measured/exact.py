"""Parts that add up to their total to the last bit."""

from __future__ import annotations

import numpy as np


def adding_up(parts: np.ndarray, total: float) -> np.ndarray:
    """Parts, none below 0, that add up to a total exactly and in any order, float64 [part].

    Each is brought to a multiple of the total's last bit, so that sums of any of them need no
    rounding, and what is then missing, a few such bits, goes to the largest.
    """
    if not len(parts) or total == 0:
        return parts
    bit = np.spacing(total)
    whole: np.ndarray = np.round(parts / bit) * bit
    whole[whole.argmax()] += total - whole.sum()
    return whole
