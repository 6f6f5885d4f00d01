"""A compiled kernel in a folder of one's own, run in a process that has seen none of it."""

from __future__ import annotations

import os
import sys
import warnings

KERNEL = """
from numba import njit

@njit(cache=True)
def triple(x):
    return 3 * x
"""


def tripled(folder: str, environment: dict[str, str], *user: int) -> tuple[int, int, list[str]]:
    """Result, functions found compiled, and warnings; as another user if one is given."""
    from accel_models.compiled import compiled

    os.umask(0)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, folder)
    if user:  # numba first, as long as this process may read it
        from numba import njit

        njit(lambda x: x + 1)(1)
        os.environ.pop("HOME", None)
        os.setuid(*user)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        triple = compiled("wood.kernel.work").triple
        result = triple(14)
    return result, sum(triple.stats.cache_hits.values()), [str(one.message) for one in said]
