"""A model of the user's own, named on the command line as ``module:function``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from accel_models.errors import DfsHwError, InputError

if TYPE_CHECKING:
    from accel_models import Workload

MADE = "a model and an example of its input, such as (model, torch.empty(1, 3, 224, 224))"


def names_own_model(network: str) -> bool:
    """Whether a network is named as ``module:function``."""
    module, colon, function = network.partition(":")
    return bool(colon) and function.isidentifier() and all(map(str.isidentifier, module.split(".")))


def own_workload(network: str) -> Workload:
    """The layers of what a function gives: a model and an example of its input, or a `Workload`.

    Args:
        network: such as ``nets:small``; the module is looked for in the current directory first.

    Raises:
        InputError: if there is no such function, it fails, it gives something else, or the model
            cannot be priced.
    """
    from accel_models import Workload

    made = _made(network)
    if isinstance(made, Workload):
        return made
    if not (isinstance(made, tuple) and len(made) == 2):
        raise InputError(f"{network} gives {type(made).__name__}, and should give {MADE}")
    from dfs_hw.networks.workload_of import workload_of

    model, example = made
    return workload_of(model, example, name=network.partition(":")[2])


def _made(network: str) -> Any:
    module, _, function = network.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), function)
    except AttributeError as error:
        raise InputError(f"{network}: {error}") from error
    except ImportError as error:
        raise InputError(
            f"{network}: {error}. MODULE:FUNCTION is a file module.py in this directory, or an "
            "installed module, and a function in it"
        ) from error
    try:
        return found()
    except DfsHwError:
        raise
    except Exception as error:  # whatever a function of somebody else's may raise
        what = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{network} failed with {what}. It is called without arguments and gives {MADE}"
        ) from error


__all__ = ["names_own_model", "own_workload"]
