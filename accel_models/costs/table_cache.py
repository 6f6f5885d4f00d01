"""Cost tables kept on disk, so that none is computed twice.

One file per key, and the key covers all that figures depend on, the model's own source included.
A file is an ``.npz`` archive of plain arrays whose comment is the SHA-256 of everything before it:
a file that is not exactly what was written is computed again and replaced.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.plugins import source_now, source_of
from accel_models.costs.pricing import Pricing
from accel_models.documents import parse_json
from accel_models.errors import InputError
from accel_models.files import whole_file
from accel_models.mapping.problem import ACTIONS
from accel_models.precision import Precision
from accel_models.private_folder import is_own, open_to_others, private_cache, private_folder
from accel_models.workloads.workload import Workload

PACKAGE = Path(__file__).parent.parent
_SEAL = 64
"""Bytes of a SHA-256 in hexadecimal."""


class Figures(NamedTuple):
    """What a `CostTable` computes; shapes as there."""

    cycles: np.ndarray
    counts: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    first_weight_bits: np.ndarray
    parts: np.ndarray
    infeasible: dict[tuple[int, int], str]


def source_digest(package: Path = PACKAGE) -> str:
    """Hash of a package's source and of the tables in its data folders."""
    digest = hashlib.sha256()
    for path in sorted((*package.rglob("*.py"), *package.rglob("data/*.csv"))):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


_LOADED = source_digest()
"""Digest of the model as this process knows it, hence taken on import."""


def loaded_digest() -> str:
    """Hash of the model as this process knows it, whatever its files hold by now."""
    return _LOADED


def table_key(
    workload: Workload,
    machine: Accelerator,
    choices: Iterable[Precision],
    always: Precision,
    max_group: int,
) -> str:
    """Hash of everything the figures of a cost table depend on."""
    parts: dict[str, Any] = {
        "workload": workload.key,
        "accelerator": machine.key_fields,
        "choices": [str(choice) for choice in choices],
        "always": str(always),
        "groups": max_group,
        "family": source_of(type(machine.array)),
        "version": version("dfs-hw"),
        "model": _LOADED,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def figures_digest(
    workload: Workload, pricing: Pricing, options: Iterable[Precision], figures: Figures
) -> str:
    """Hash of what a cost table says, whatever version of the package worked it out.

    Args:
        pricing: of its machine.
        options: its choices, and the precision of what always runs.
    """
    said = {
        "workload": workload.key,
        "accelerator": pricing.machine.key_fields,
        "options": [str(option) for option in options],
        "infeasible": sorted(figures.infeasible),
        # Another processor's last bit makes no other price.
        "pj": [f"{pj:.9e}" for pj in (*pricing.action_pj, pricing.static_pj_per_cycle)],
    }
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for part in figures[:-1]:
        found.update(f"{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:16]


def covers(machine: Accelerator) -> bool:
    """Whether keys tell everything about a machine: not if its array is another's, whose source
    cannot be seen or was edited since it was loaded."""
    family = type(machine.array)
    known = source_of(family)
    return known is not None and known == source_now(family)


def table_path(key: str) -> Path:
    """File that the table of that key is kept in.

    Raises:
        OSError: if there is no cache folder that this user alone can write to.
    """
    return private_cache() / "tables" / f"{key}.npz"


def load(key: str, shape: tuple[int, int, int]) -> Figures | None:
    """The figures kept under a key; None if there are none, or, with a warning, if damaged.

    Args:
        key: as `table_key` has it.
        shape: numbers of layers, choices and group sizes.
    """
    try:
        path = table_path(key)
        if open_to_others(path.parent) or not is_own(path.stat()):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    try:
        return _unpacked(content, key, shape)
    except Exception as error:  # whatever a foreign file makes its readers raise
        warnings.warn(
            f"the cost table in {path} is damaged and computed again: {error}", stacklevel=3
        )
        return None


def save(key: str, figures: Figures) -> None:
    """Keep figures under a key. Where that cannot be done, warn and do without.

    Readers and other writers at the same time see a whole file or none.
    """
    if source_digest() != _LOADED:  # edited since: no saying which of it was at work
        return
    try:
        path = table_path(key)
        private_folder(path.parent)
        with whole_file(path) as partial:
            partial.write_bytes(_packed(key, figures))
    except (OSError, InputError) as error:
        warnings.warn(f"cost tables cannot be kept for the next time: {error}", stacklevel=3)


def _packed(key: str, figures: Figures) -> bytes:
    reasons = [[*place, reason] for place, reason in figures.infeasible.items()]
    about = json.dumps({"key": key, "infeasible": reasons}).encode()
    arrays = figures._asdict() | {"infeasible": np.frombuffer(about, dtype=np.uint8)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with ZipFile(buffer, "a") as archive:
        archive.comment = bytes(_SEAL)  # room for the seal, at the very end of the file
    content = buffer.getvalue()[:-_SEAL]
    return content + _seal(content)


def _unpacked(content: bytes, key: str, shape: tuple[int, int, int]) -> Figures:
    """Figures that `_packed` made bytes of.

    Raises:
        ValueError: if the seal is broken, or the file is of another key or shape.
    """
    # Nothing is parsed before the seal is found whole, and nothing is ever unpickled.
    if _seal(content[:-_SEAL]) != content[-_SEAL:]:
        raise ValueError("its checksum does not match its content")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in Figures._fields}
    about = parse_json(arrays.pop("infeasible").tobytes(), "what it says of itself")
    if about["key"] != key:
        raise ValueError(f"it holds the table {about['key']}")
    for name, array in arrays.items():
        expected = (*shape, len(ACTIONS)) if name == "counts" else shape
        if array.shape != expected or array.dtype != np.int64:
            raise ValueError(
                f"{name} is {array.dtype} {list(array.shape)}, not int64 {list(expected)}"
            )
    infeasible = {(row, column): reason for row, column, reason in about["infeasible"]}
    return Figures(**arrays, infeasible=infeasible)


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
