"""Networks on disk: tensors and how they came about, in one file without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from accel_models.errors import InputError
from accel_models.files import whole_file
from dfs_hw.networks import DFSResNet, build_network
from dfs_hw.provenance import versions

_KEY = "dfs-hw"


@dataclass(frozen=True)
class Checkpoint:
    """A network as it was saved."""

    network: DFSResNet
    """In evaluation mode, on the CPU."""
    facts: dict[str, Any]
    """What was saved with it (plain JSON): the configuration, the stage, the versions, ..."""


def save_checkpoint(path: Path | str, network: DFSResNet, facts: Mapping[str, Any]) -> Path:
    """Write a network; the file is replaced in one step, so an old one survives a crash.

    Args:
        facts: anything JSON can hold, to be kept beside the tensors.

    Raises:
        InputError: if the place cannot be written to.
    """
    path = Path(path)
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    about = {"shape": network.shape, "versions": versions(), **facts}
    with whole_file(path) as partial:
        save_file(tensors, partial, {_KEY: json.dumps(about, sort_keys=True)})
    return path


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a network saved by `save_checkpoint`.

    Raises:
        InputError: if the file is absent, truncated, or not such a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged, or no .safetensors file: {error}") from error
    try:
        facts = json.loads(metadata[_KEY])
        network = build_network(**facts["shape"])
        network.load_state_dict(tensors)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is a .safetensors file, but no dfs-hw checkpoint") from error
    except RuntimeError as error:
        raise InputError(f"{path} does not fit the network it describes: {error}") from error
    return Checkpoint(network.eval(), facts)
