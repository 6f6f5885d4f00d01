"""A machine made as fast, or as large, as another by the size of its array."""

from __future__ import annotations

from typing import Literal, get_args

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.banks import BUFFERS
from accel_models.costs.pricing import Pricing
from accel_models.errors import InfeasibleError, InputError
from accel_models.explain.data_sheet import peak_macs_per_s

By = Literal["peak", "area"]
BITS = 8
"""Width of both operands at which peaks are made equal."""
MOST_COLUMNS = 2**20


def equalised(machine: Accelerator, to: Accelerator, by: By = "peak") -> Accelerator:
    """The machine with as many columns as bring it closest to another.

    Rows and windows stay, and so do bytes on chip, clock and DRAM. Where the array splits its
    buffers by its size, they are rounded to what splits evenly: by less than a byte a bank.

    Args:
        machine: the one that is scaled.
        to: the one that it is made equal to.
        by: peak throughput at 8 bits, or area of array and buffers.

    Raises:
        InputError: if the area of either is not known, or no number of columns will do.
    """
    if by not in get_args(By):
        raise InputError(f"machines are made equal by {' or '.join(get_args(By))}, got '{by}'")
    amount = _peak if by == "peak" else _area
    wanted = amount(to)
    low, high = 1, 2
    while amount(_with_columns(machine, high)) < wanted:
        low, high = high, high * 2
        if high > MOST_COLUMNS:
            raise InputError(
                f"{machine.name} cannot be scaled by {by} to {to.name}: {MOST_COLUMNS} columns "
                "are too few"
            )
    while high - low > 1:
        middle = (low + high) // 2
        enough = amount(_with_columns(machine, middle)) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    scaled = [_with_columns(machine, columns) for columns in (low, high)]
    return min(scaled, key=lambda one: abs(amount(one) - wanted))


def _with_columns(machine: Accelerator, columns: int) -> Accelerator:
    wider = machine.configured(array__columns=columns)
    banks = wider.array.banks()
    if banks is None:
        return wider
    sizes = {}
    for name, shape in zip(BUFFERS, banks, strict=True):
        size = getattr(machine.buffers, f"{name}_bytes")
        sizes[f"buffers__{name}_bytes"] = max(1, round(size / shape.number)) * shape.number
    return wider.configured(**sizes)


def _peak(machine: Accelerator) -> float:
    peak = peak_macs_per_s(machine, BITS)
    if peak is None:
        raise InputError(f"{machine.name} cannot be scaled by peak: it refuses {BITS}-bit operands")
    return peak


def _area(machine: Accelerator) -> float:
    try:
        area = Pricing(machine).area_mm2
    except InfeasibleError as error:
        raise InputError(f"{machine.name} cannot be scaled by area: {error}") from error
    if not area["array"]:
        raise InputError(f"{machine.name} cannot be scaled by area: nobody knows its array's")
    return sum(area.values())
