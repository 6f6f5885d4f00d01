"""What a bundle says of itself, in its ``manifest.json``, and whether its files are those it means.

Files are named relative to the bundle; those that are None hand their input on as it is.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

from accel_models.documents import CLOSED, SEAL, parse_json, seal_of, typed
from accel_models.errors import InputError, quoted, reason_of
from accel_models.files import MOST_BYTES

MANIFEST = "manifest.json"
FORMAT = "dfs-hw bundle"
VERSION = 1
ZIP = ".zip"


@dataclass(frozen=True)
class BundledInput:
    """What a bundle takes.

    Attributes:
        shape: of one input, [1, channels, height, width] or [1, tokens].
        type: of its numbers, as NumPy calls it.
        mean: of each channel of pixels scaled to 0..1, to be taken from them; empty if unknown.
        std: of each channel, which they are then divided by; empty if unknown.
    """

    shape: tuple[int, ...]
    type: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    __pydantic_config__: ClassVar = CLOSED


@dataclass(frozen=True)
class BundledUnit:
    """Files of a decision unit.

    Attributes:
        name: of the unit, as traces have it.
        shape: of what it reads of one input.
        before: what lies between the unit before, or the input, and this one: x -> y.
        exit: the head that inputs may leave with: x -> belief. None where they cannot.
        gate: scores of the choices, the largest of which is taken: of x, belief, what the gate
            before left as ``next_memory0``, ..., and what the gate asks for.
        branches: what the unit does for each choice that it offers, by choice: x -> y.
    """

    name: str
    shape: tuple[int, ...]
    before: str | None
    exit: str | None
    gate: str
    branches: dict[str, str | None]

    __pydantic_config__: ClassVar = CLOSED


@dataclass(frozen=True)
class GateSetting:
    """One row of the table that a gate keeps.

    Attributes:
        cost: of inputs at this setting, relative to the highest precision everywhere.
        accuracy: on the inputs that it was settled on.
        thresholds: [units, choices]. Confidence from which on a choice is taken, the highest that
            is reached; or what estimated error a choice has to be worth.
    """

    cost: float
    accuracy: float
    thresholds: tuple[tuple[float, ...], ...]

    __pydantic_config__: ClassVar = CLOSED


@dataclass(frozen=True)
class BundledGate:
    """What decides, and what it asks for.

    Attributes:
        family: of the gate, one of `dfs_hw.gates.GATES`.
        price: of cost, 0 to 1, that it goes by unless another is given; None if it asks for none.
        settings: of a gate that keeps a table, from the cheapest to the dearest.
        setting: number of that which it goes by unless another is given; None without settings.
    """

    family: str
    price: float | None = None
    settings: tuple[GateSetting, ...] = ()
    setting: int | None = None

    __pydantic_config__: ClassVar = CLOSED


@dataclass(frozen=True)
class BundledFile:
    """A file as it was written.

    Attributes:
        size: of the file, in bytes.
        sha256: digest of what is in it.
    """

    size: int
    sha256: str

    __pydantic_config__: ClassVar = CLOSED

    @classmethod
    def of(cls, content: bytes) -> BundledFile:
        """Size and digest of a file's content."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        network: name of the network.
        weights: digest of its tensors, as `dfs_hw.networks.checkpoint.digest` has it.
        input: what it takes.
        logits: shape of what it makes of one input, such as [1, classes].
        class_names: in the order of the logits; empty if unknown.
        choices: in the order of the scores.
        widths: bits of weights and activations of each choice that runs, None for floating point.
        units: in execution order.
        after: what makes logits of the last unit's output: x -> y.
        gate: what decides.
        files: all files but the manifest, by name.
        versions: of what wrote it.
        format: always `FORMAT`.
        version: of the format.
        digest: of all that the manifest says besides.
    """

    network: str
    weights: str
    input: BundledInput
    logits: tuple[int, ...]
    class_names: tuple[str, ...]
    choices: tuple[str, ...]
    widths: dict[str, tuple[int, int] | None]
    units: tuple[BundledUnit, ...]
    after: str | None
    gate: BundledGate
    files: dict[str, BundledFile]
    versions: dict[str, str]
    format: str = FORMAT
    version: int = VERSION
    digest: str = ""

    __pydantic_config__: ClassVar = CLOSED

    def sealed(self) -> Manifest:
        """The manifest with its digest."""
        return replace(self, digest=seal_of(asdict(self)))

    def to_json(self) -> bytes:
        """The manifest as it is written."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()


def read_manifest(path: Path | str) -> Manifest:
    """Manifest of a bundle, all of whose files are as they were written.

    Args:
        path: of the folder, or of the ``.zip``.

    Raises:
        InputError: if there is no bundle, it is of another version, or a file is missing or was
            changed: names it.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no bundle {path}")
    try:
        root = zipfile.Path(path) if path.is_file() else path
        manifest = _parsed(_read(root, MANIFEST, path), path)
        for name, known in manifest.files.items():
            if BundledFile.of(_read(root, name, path, known.size)) != known:
                raise InputError(f"{path} is damaged: {name} does not match its digest")
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged, or no bundle: {reason_of(error)}") from error
    return manifest


_DAMAGE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a file, or unpacking it from an archive, can end in; RuntimeError is of archives
that ask for what cannot be done, such as a password."""


def _read(root: Path | zipfile.Path, name: str, path: Path, size: int | None = None) -> bytes:
    """A file of a bundle.

    Args:
        size: that it has to have; None for one of at most `MOST_BYTES`.
    """
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise InputError(f"{path}: {MANIFEST} names {quoted(name)}, which is not inside the bundle")
    place = root / name
    if not place.is_file():
        raise InputError(f"{path} is no whole bundle: it has no {quoted(name)}")
    stated = _stated_size(place)  # looked at before there is memory for it
    if size is not None and stated != size:
        raise InputError(f"{path} is damaged: {name} does not match its digest")
    if size is None and stated > MOST_BYTES:
        raise InputError(f"{path}: {name} is too large: it may have {MOST_BYTES} bytes")
    return place.read_bytes()


def _stated_size(place: Path | zipfile.Path) -> int:
    if isinstance(place, Path):
        return place.stat().st_size
    return place.root.getinfo(place.at).file_size


def _parsed(content: bytes, path: Path) -> Manifest:
    where = f"{path}: {MANIFEST}"
    said = parse_json(content, where)
    if not isinstance(said, Mapping) or said.get("format") != FORMAT:
        raise InputError(f"{where} is not that of a {FORMAT}")
    if said.get("version") != VERSION:
        raise InputError(
            f"{where} is of version {quoted(said.get('version'))}, and {VERSION} is what is read"
        )
    if said.get(SEAL) != seal_of(said):
        raise InputError(f"{path} is damaged: what {MANIFEST} says does not match its digest")
    return typed(Manifest, said, where)


__all__ = [
    "MANIFEST",
    "ZIP",
    "BundledFile",
    "BundledGate",
    "BundledInput",
    "BundledUnit",
    "GateSetting",
    "Manifest",
    "read_manifest",
]
