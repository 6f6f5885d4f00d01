"""What simulations are given, checked before anything is computed of it."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.errors import InputError, quoted
from accel_models.workloads.workload import Workload


def require_network_and_machine(workload: Any, accelerator: Any) -> None:
    """Refuse what is no layers, or no machine.

    Raises:
        InputError: saying what makes one of what was given.
    """
    if not isinstance(workload, Workload):
        made = (
            "listed_network(name)" if isinstance(workload, str) else "workload_of(model, example)"
        )
        raise InputError(
            f"a network is priced by its layers, a Workload as {made} makes it, not "
            f"{_named(workload)}"
        )
    if not isinstance(accelerator, Accelerator):
        name = accelerator if isinstance(accelerator, str) else "bitfusion"
        raise InputError(
            f"a machine is an Accelerator, as load_accelerator({quoted(name)}) makes it, not "
            f"{_named(accelerator)}"
        )


def require_count(what: str, given: Any, most: int | None = None) -> None:
    """Refuse what is no number of inputs.

    Raises:
        InputError: if it is no whole number from 1 to the most there may be.
    """
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if not whole or given < 1 or (most is not None and given > most):
        wanted = "of at least 1" if most is None else f"from 1 to {most} inputs"
        raise InputError(f"{what} is a whole number {wanted}, got {quoted(given)}")


def _named(given: Any) -> str:
    """A name as it was given, or the class of anything else."""
    return quoted(given) if isinstance(given, str) else type(given).__name__


__all__ = ["require_count", "require_network_and_machine"]
