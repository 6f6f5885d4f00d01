"""Design-space exploration: which machine for these networks, and what does it cost elsewhere?

>>> import accel_models
>>> found = accel_models.explore("space.toml", ["trace.parquet"], out="out")    # doctest: +SKIP
>>> found.machine().array.rows                                                  # doctest: +SKIP
16
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from accel_models.errors import InputError

if TYPE_CHECKING:
    from accel_models.exploration.cross import CrossTable, cross_table
    from accel_models.exploration.exploration import Exploration, explore
    from accel_models.exploration.finished_search import Settings
    from accel_models.exploration.space import Space
    from accel_models.exploration.space_file import parse_space, read_space

_HOME = {
    "CrossTable": "cross",
    "cross_table": "cross",
    "Exploration": "exploration",
    "Settings": "finished_search",
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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("optuna", "sqlalchemy"):
            raise
        raise InputError("exploring needs Optuna: pip install 'dfs-hw[explore]'") from error


def __dir__() -> list[str]:
    return __all__
