"""Cost models of bit-flexible accelerators: cycles and energy of a network at any precision.

>>> from accel_models import Layer, Workload, load_accelerator, simulate
>>> conv = Layer("conv", 16, 32, kernel=(3, 3), out_size=(32, 32), padding=(1, 1))
>>> cost = simulate(Workload.chain("one", [conv]), load_accelerator("bitfusion-published"), "4")
>>> cost.cycles
11585
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.registry import register_family
from accel_models.accelerators.plugins import load_plugin
from accel_models.accelerators.toml_file import list_accelerators, load_accelerator
from accel_models.assignment.assignment import Assignment, best_assignment, pareto_assignments
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.costs.simulator import Simulation, simulate
from accel_models.errors import DfsHwError, InfeasibleError, InputError
from accel_models.precision import SKIP, Precision, parse_choices
from accel_models.workloads.workload import Layer, Workload

if TYPE_CHECKING:
    from accel_models.exploration.exploration import explore
    from accel_models.replay import Policy, Replay
    from accel_models.trace import GateTrace

__all__ = [
    "SKIP",
    "Accelerator",
    "Assignment",
    "CostTable",
    "DfsHwError",
    "GateTrace",
    "InfeasibleError",
    "InputError",
    "Layer",
    "Policy",
    "Precision",
    "Replay",
    "Simulation",
    "Workload",
    "best_assignment",
    "cost_table",
    "explore",
    "list_accelerators",
    "load_accelerator",
    "load_plugin",
    "pareto_assignments",
    "parse_choices",
    "register_family",
    "simulate",
]

_LATER = {
    "GateTrace": "accel_models.trace",
    "Policy": "accel_models.replay",
    "Replay": "accel_models.replay",
    "explore": "accel_models.exploration",
}
"""What reads files of traces or asks for Optuna, which simulations need not wait for."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
