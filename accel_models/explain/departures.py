"""How a machine differs from another, one step at a time, and what each step changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.simulator import Simulation, simulate
from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.workload import Workload


@dataclass(frozen=True)
class DepartureStep:
    """A machine on the way from one to another: the last change made, why, and the machine."""

    title: str
    why: str
    machine: Accelerator


@dataclass(frozen=True)
class DepartureEffect:
    """What a network costs after a step, at each of the precisions asked for."""

    step: DepartureStep
    runs: tuple[Simulation, ...]


def departure_steps(machine: Accelerator) -> list[DepartureStep]:
    """The machines from the base that `machine` names to itself; each keeps the changes before.

    Raises:
        InputError: if it names no base, or the steps it lists do not lead from there to itself.
    """
    if machine.departures is None:
        raise InputError(f"{machine.name} does not say which machine it departs from")
    try:
        here = load_accelerator(machine.departures.base)
    except InputError as error:
        raise InputError(f"{machine.name}: departures.base: {error}") from error
    path = [DepartureStep(f"as {here.name}", here.title, here)]
    for step in machine.departures.step:
        changes = {name.replace(".", "__"): machine.field(name) for name in step.fields}
        here = here.configured(**changes)
        path.append(DepartureStep(step.title, step.why, here))
    missing = sorted(
        name
        for name, value in _flat(machine).items()
        if name != "name" and _flat(here).get(name) != value
    )
    if missing:
        raise InputError(
            f"the departures of {machine.name} do not mention {', '.join(missing)}, "
            f"which differ from {machine.departures.base}"
        )
    return path


def effects(
    machine: Accelerator,
    workload: Workload,
    precisions: Sequence[str | int | Precision] = (8, 4, 2),
    *,
    batch: int = 1,
) -> list[DepartureEffect]:
    """What each departure does to a network, one after the other."""
    return [
        DepartureEffect(
            step, tuple(simulate(workload, step.machine, p, batch=batch) for p in precisions)
        )
        for step in departure_steps(machine)
    ]


def _flat(machine: Accelerator) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in machine.key_fields.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{field}": entry for field, entry in value.items()}
        else:
            flat[name] = value
    return flat
