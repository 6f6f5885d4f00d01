"""Design-space exploration: which machine for these networks, and what does it cost elsewhere?

>>> import accel_models
>>> found = accel_models.explore("space.toml", ["trace.parquet"], out="out")    # doctest: +SKIP
>>> found.machine().array.rows                                                  # doctest: +SKIP
16

The package is a function as well: ``accel_models.explore`` names both, and which of the two is
meant shows by whether it is called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from accel_models.errors import InputError

if TYPE_CHECKING:
    from accel_models.explore.exploration import Exploration, Settings, explore
    from accel_models.explore.policies import CrossTable, cross_table
    from accel_models.explore.space import Space
    from accel_models.explore.space_file import parse_space, read_space

_HOME = {
    "CrossTable": "policies",
    "cross_table": "policies",
    "Exploration": "exploration",
    "Settings": "exploration",
    "explore": "exploration",
    "Space": "space",
    "parse_space": "space_file",
    "read_space": "space_file",
}
"""Module of each public name; loaded when it is first asked for, as Optuna takes a while."""

__all__ = [
    "CrossTable",
    "Exploration",
    "Settings",
    "Space",
    "cross_table",
    "explore",
    "parse_space",
    "read_space",
]


class _Callable(ModuleType):
    """A module that can be called as the function it is named after."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return self.explore(*arguments, **settings)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("optuna", "sqlalchemy"):
            raise
        raise InputError("exploring needs Optuna: pip install 'dfs-hw[explore]'") from error


sys.modules[__name__].__class__ = _Callable
