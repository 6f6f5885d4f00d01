"""Tensors and facts about them in one .safetensors file, held against checksums when it is read.

Disks and copies flip bits, and a flipped weight computes as well as any. So a file has a checksum
for each of its tensors and one for all that it says besides. Nothing is read with pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from accel_models.documents import parse_json
from accel_models.errors import InputError
from accel_models.files import readable, whole_file


class TensorFile(NamedTuple):
    """What a file holds."""

    tensors: dict[str, Tensor]
    """Tensors by name, on the CPU."""
    facts: dict[str, Any]
    """What was written with them, as JSON has it."""


def write_tensors(
    path: Path, kind: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write or replace a file, in one step.

    Args:
        kind: what the file is, such as ``checkpoint``.
        facts: anything JSON can hold.

    Raises:
        InputError: if it cannot be written; one that was there before stays.
    """
    # A tensor can be in a network twice, and safetensors refuses shared memory.
    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    checksums = {name: _checksum(value) for name, value in own.items()}
    said = json.dumps({"facts": dict(facts), "checksums": checksums}, sort_keys=True)
    # Written from memory: safetensors' own files do not report a full disk as an OSError.
    # One entry: several come in any order, and equal contents would be unequal files.
    content = save(own, {_sealed(kind): f"{_digest(said.encode())} {said}"})
    with whole_file(path) as partial:
        partial.write_bytes(content)


def read_tensors(path: Path, kind: str, old: str) -> TensorFile:
    """Read a file that `write_tensors` wrote, or version 0.1 did: that one had no checksums, and a
    warning says so.

    Args:
        kind: as it was written.
        old: key that the facts had in the metadata of files of version 0.1.

    Raises:
        InputError: if it is absent, damaged or something else: names a tensor that was changed.
    """
    if not os.path.lexists(readable(path)):
        raise InputError(f"there is no {kind} {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    except (SafetensorError, OSError, MemoryError) as error:
        raise InputError(f"{path} is damaged, or no .safetensors file: {error}") from error
    if _sealed(kind) in metadata:
        return TensorFile(tensors, _verified(path, tensors, metadata[_sealed(kind)]))
    facts = _parsed(metadata.get(old, ""))
    if not isinstance(facts, dict):
        raise InputError(f"{path} is a .safetensors file, but no dfs-hw {kind}")
    warnings.warn(
        f"{path} is of version 0.1 and has no checksums: whether it is whole cannot be told",
        stacklevel=3,
    )
    return TensorFile(tensors, facts)


def _verified(path: Path, tensors: Mapping[str, Tensor], metadata: str) -> dict[str, Any]:
    """Facts of a file, if it is what was written."""
    checksum, _, said = metadata.partition(" ")
    content = _parsed(said)
    if checksum != _digest(said.encode()) or not isinstance(content, dict):
        raise InputError(f"{path} is damaged: what it says of itself does not match its checksum")
    checksums: dict[str, str] = content["checksums"]
    for name in sorted(tensors.keys() | checksums.keys()):
        if name not in tensors or name not in checksums:
            raise InputError(f"{path} is damaged: it has another name for the tensor '{name}'")
        if _checksum(tensors[name]) != checksums[name]:
            raise InputError(f"{path} is damaged: tensor '{name}' does not match its checksum")
    facts: dict[str, Any] = content["facts"]
    return facts


def _sealed(kind: str) -> str:
    # Far from the keys of version 0.1: no flipped bit makes a file one that has no checksums.
    return f"{kind} with checksums"


def _parsed(text: str) -> Any:
    """JSON; None if it is none."""
    try:
        return parse_json(text, "metadata", finite=False)
    except InputError:
        return None


def _checksum(tensor: Tensor) -> str:
    """Checksum over type, shape and bytes of a contiguous tensor."""
    about = f"{tensor.dtype} {list(tensor.shape)}\n".encode()
    return _digest(about, tensor.reshape(-1).view(torch.uint8).numpy().data)


def _digest(*contents: bytes | memoryview) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for content in contents:
        digest.update(content)
    return digest.hexdigest()
