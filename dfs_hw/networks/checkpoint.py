"""Networks on disk: tensors and how they came about, in one file with checksums, without pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from accel_models.documents import typed
from accel_models.errors import DfsHwError, InputError
from dfs_hw.networks.build import build_network
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.finite import not_finite
from dfs_hw.provenance import versions
from dfs_hw.tensor_file import TensorFile, read_tensors, write_tensors

_OLD_KEY = "dfs-hw"
CHOICES = "choices"
"""Fact that says in which order the tensors of a network hold its widths."""


@dataclass(frozen=True)
class Checkpoint:
    """A network as it was saved."""

    network: DynamicNetwork
    """Network in evaluation mode; on the CPU, unless it was given."""
    facts: dict[str, Any]
    """What was saved with it (plain JSON): the configuration, the stage, the versions, ..."""

    @property
    def price(self) -> float | None:
        """Price of cost at which a network with a knob meets the budget it was trained for."""
        price = self.facts.get("price")
        return None if price is None else float(price)


def save_checkpoint(path: Path | str, network: DynamicNetwork, facts: Mapping[str, Any]) -> Path:
    """Write a network; the file is replaced in one step, so an old one survives a crash.

    A network that `build_network` cannot make again is kept by its tensors alone, and its shape is
    empty in the file: who loads it must give `load_checkpoint` such a network to fill.

    Args:
        facts: anything JSON can hold, to be kept beside the tensors.

    Raises:
        DfsHwError: if weights are not finite.
        InputError: if the place cannot be written to.
    """
    if name := not_finite(network):
        raise DfsHwError(
            f"{network.name} is not kept in {path}: '{name}' is not finite, its training diverged"
        )
    choices = list(map(str, network.choices))
    about = {"shape": network.shape, CHOICES: choices, "versions": versions(), **facts}
    write_tensors(Path(path), "checkpoint", network.state_dict(), about)
    return Path(path)


def load_checkpoint(path: Path | str, network: DynamicNetwork | None = None) -> Checkpoint:
    """Read a network saved by `save_checkpoint`; one of version 0.1, which has no checksums, with a
    warning.

    Args:
        network: to fill with the saved tensors, where it is; by default one is built as the file
            says, which it can for networks of `build_network` only.

    Raises:
        InputError: if the file is absent, damaged, or not such a checkpoint; if its weights are not
            finite; if it fits no network that can be built, or not the one given. A network given
            is then unchanged.
    """
    path = Path(path)
    tensors, facts = _read(path)
    try:
        fresh = build_network(**facts["shape"]) if network is None and facts["shape"] else network
    except TypeError as error:
        raise InputError(f"{path} describes a network of another version: {error}") from error
    if fresh is None:
        raise InputError(
            f"{path} holds a network that was made elsewhere: make it again, and give it to "
            "load_checkpoint(path, network) to fill"
        )
    _check_choices(fresh, facts, path)
    _fill(fresh, tensors, path)
    return Checkpoint(fresh.eval(), facts)


def read_facts(path: Path | str) -> dict[str, Any]:
    """What was saved beside the tensors of a checkpoint; errors are those of `load_checkpoint`."""
    return _read(Path(path)).facts


def digest(network: DynamicNetwork) -> str:
    """Tells networks apart by their tensors."""
    checksum = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        checksum.update(name.encode())
        checksum.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return checksum.hexdigest()[:16]


def _read(path: Path) -> TensorFile:
    found = read_tensors(path, "checkpoint", _OLD_KEY)
    if "shape" not in found.facts:
        raise InputError(f"{path} is a .safetensors file, but no dfs-hw checkpoint")
    return found


def _check_choices(network: DynamicNetwork, facts: Mapping[str, Any], path: Path) -> None:
    """Refuse other widths than were saved: their statistics and norms have the same shapes."""
    own = list(map(str, network.choices))
    kept = typed(list[str], facts.get(CHOICES, own), f"{path}: {CHOICES}")
    if kept != own:
        raise InputError(
            f"{path} does not fit {network.name}: it was saved with the choices "
            f"{','.join(kept)}, and the network has {','.join(own)}"
        )


def _fill(network: DynamicNetwork, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a network, all of them or none."""
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors or name not in wanted:
            where = "in the file alone" if name in tensors else "not in the file"
            raise InputError(f"{path} does not fit {network.name}: '{name}' is {where}")
        if tensors[name].shape != wanted[name]:
            raise InputError(
                f"{path} does not fit {network.name}: '{name}' is {list(tensors[name].shape)} "
                f"in the file, {list(wanted[name])} in the network"
            )
    if name := not_finite(network, tensors):
        raise InputError(f"{path}: '{name}' is not finite, its training diverged")
    network.load_state_dict(dict(tensors))
