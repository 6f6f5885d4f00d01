"""A model of the user's own, named on the command line as ``module:function``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from accel_models.errors import DfsHwError, InputError

if TYPE_CHECKING:
    from accel_models import Workload

MADE = (
    "a model and an example of its input, such as (model, torch.empty(1, 3, 224, 224)), and to be "
    "trained what to gate, such as 'Block'"
)
BATCHES = "batches to learn from and batches to evaluate on, each of pairs of inputs and labels"


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

    made = _made(network, MADE)
    if isinstance(made, Workload):
        return made
    from dfs_hw.networks.workload_of import workload_of

    model, example, _ = _parts(network, made)
    return workload_of(model, example, name=network.partition(":")[2])


def own_model(network: str) -> tuple[Any, Any]:
    """A model and an example of its input, of a function named as `own_workload` has it.

    Raises:
        InputError: if there is no such function, it fails, or it gives something else.
    """
    if not names_own_model(network):
        raise InputError(f"'{network}' is no MODULE:FUNCTION, such as nets:trained for nets.py")
    model, example, _ = _gated_model(network)
    return model, example


def register_own_model(network: str) -> None:
    """Let training and checkpoints know a model of one's own by the name of its function.

    A checkpoint that names a function never has it run: who loads it names it, too.

    Args:
        network: as `own_workload` has it; other names are left alone.

    Raises:
        InputError: as `own_model`; or if its example is none of images, which all data sets are.
    """
    if not names_own_model(network):
        return
    from dfs_hw.networks import register_network

    _, example, blocks = _gated_model(network)
    reads = _channels_of_images(network, example)

    def build(classes: int, channels: int, widths: Sequence[int]) -> Any:
        if channels != reads:
            raise InputError(
                f"{network} reads images of {reads} channels, and those of this data have "
                f"{channels}: give --data of images that it reads"
            )
        return _gated_model(network)[0]

    register_network(network, build, blocks)


def own_batches(data: str, size: int) -> tuple[Any, Any]:
    """Batches to learn from and batches to evaluate on, pairs of inputs and labels: of a function
    that gives both, or of a data set by name, its training and test images.

    Args:
        data: such as ``nets:photos``, or what `dfs_hw.load_dataset` knows.
        size: images in a batch, of a data set by name.

    Raises:
        InputError: if there is no such function or data set, or it gives something else.
    """
    if names_own_model(data) and not data.startswith("folder:"):
        return _pair(data, _made(data, BATCHES), BATCHES)
    from dfs_hw.data import load_dataset

    splits = load_dataset(data)
    return list(splits.train.batches(size)), list(splits.test.batches(size))


def _channels_of_images(network: str, example: Any) -> int:
    given = example if isinstance(example, list | tuple) else (example,)
    if len(given) != 1 or getattr(given[0], "ndim", 0) != 4:
        raise InputError(
            f"{network} reads something else than images [1, channels, height, width], and data "
            "sets of this command are images: make_dynamic, a loop of your own and record take any "
            "data (docs/own_loop.md)"
        )
    return int(given[0].shape[1])


def _gated_model(network: str) -> tuple[Any, Any, Any]:
    from torch import nn

    model, example, blocks = _parts(network, _made(network, MADE))
    if not isinstance(model, nn.Module):
        raise InputError(f"{network} gives {type(model).__name__} first, and should give {MADE}")
    return model, example, blocks


def _parts(network: str, made: Any) -> tuple[Any, Any, Any]:
    """Model, example, and what to gate, None if that is not said."""
    if isinstance(made, tuple) and len(made) == 3:
        return made
    return (*_pair(network, made, MADE), None)


def _pair(named: str, made: Any, wanted: str) -> tuple[Any, Any]:
    if not (isinstance(made, tuple) and len(made) == 2):
        raise InputError(f"{named} gives {type(made).__name__}, and should give {wanted}")
    return made


def _made(network: str, wanted: str) -> Any:
    module, _, function = network.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    found = _imported(network, module)
    try:
        make = getattr(found, function)
    except AttributeError as error:
        raise InputError(f"{network}: {error}") from error
    try:
        return make()
    except DfsHwError:
        raise
    except (Exception, SystemExit) as error:  # whatever a function of somebody else's may raise
        what = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{network} failed with {what}. It is called without arguments and gives {wanted}"
        ) from error


def _imported(network: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{network}: {error}. MODULE:FUNCTION is a file module.py in this directory, or an "
            "installed module, and a function in it"
        ) from error
    except (Exception, SystemExit) as error:  # whatever somebody else's module does as it is run
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{network}: {module} does not import: {what}") from error


__all__ = [
    "names_own_model",
    "own_batches",
    "own_model",
    "own_workload",
    "register_own_model",
]
