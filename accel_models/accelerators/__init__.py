"""Machines: what a machine file may say, the files themselves, and the arithmetic of each array."""

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import (
    list_accelerators,
    load_accelerator,
    read_accelerator,
)

__all__ = [
    "Accelerator",
    "list_accelerators",
    "load_accelerator",
    "read_accelerator",
]
