"""The one switch of the compiled blocks."""

from __future__ import annotations

import os

from accel_models.errors import InputError

SWITCH = "DFS_HW_COMPILED_BLOCKS"
"""Environment variable, ``on`` or ``off``; on where it is not set. It counts as it stands when a
block runs, and reaches the processes that a training starts."""


def switched_on() -> bool:
    """Whether blocks that the kernels can run are to run on them.

    Raises:
        InputError: if the variable says anything but ``on`` or ``off``.
    """
    setting = os.environ.get(SWITCH, "on")
    if setting not in ("on", "off"):
        raise InputError(f"{SWITCH} must be on or off, got '{setting}'")
    return setting == "on"
