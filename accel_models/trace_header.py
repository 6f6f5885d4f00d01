"""What a gate trace says of itself: JSON in its file's metadata, held against its checksums."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from accel_models.documents import parse_json
from accel_models.errors import InputError
from accel_models.leaving import exit_index, fault_of_leaving
from accel_models.precision import Precision, parse_choices
from accel_models.workloads.workload import Workload, key_of

FORMAT = 4
"""Format 3 named no plugin. Formats 1 and 2 had a key of the layers and no digest of the rest;
format 1, of version 0.1, held workloads of their own format 1."""
DIGESTED = 3
"""The first format with a digest."""
METADATA_KEY = b"dfs_hw"
TEXTS = ("network", "dataset", "workload_key", "always", "accelerator", "version")
FIELDS = {*TEXTS, "format", "workload", "choices", "seed"}
LATER_FIELDS = {"digest": DIGESTED, "plugin": 4}
"""The format that each came with."""
ARRIVAL = "arrival_s"
"""Column of arrival times in s, which a trace may have."""


@dataclass(frozen=True)
class TraceHeader:
    """Which network a trace is of, and how it was recorded.

    Args:
        network: name of the network.
        dataset: name of the inputs, such as ``digits/test``.
        workload: its layers; `workload.units` are the columns of the trace.
        choices: what the indices in those columns mean.
        always: precision of everything that runs whatever is chosen.
        accelerator: machine the gates were trained for, or "".
        seed: of the training run.
        version: of this package, when recorded.
        plugin: that the machine's arithmetic is of, as ``--plugin`` takes it, or "".
    """

    network: str
    dataset: str
    workload: Workload
    choices: tuple[Precision, ...]
    always: Precision
    accelerator: str
    seed: int
    version: str
    plugin: str = ""

    def schema(self, *, timed: bool = False) -> pa.Schema:
        """Arrow schema of the file, this header in its metadata; `timed` with arrival times.

        Raises:
            InputError: if a unit is called what another column is.
        """
        columns = [("input_id", pa.int64()), ("label", pa.int32()), ("prediction", pa.int32())]
        columns += [(ARRIVAL, pa.float64())] if timed else []
        for taken, _ in columns:
            if taken in self.workload.units:
                raise InputError(f"no unit can be called {taken}: a column of traces is")
        columns += [(unit, pa.uint8()) for unit in self.workload.units]
        return pa.schema(columns, metadata={METADATA_KEY: json.dumps(self.to_dict())})

    def check(self, choices: np.ndarray) -> None:
        """Refuse choices [input, unit] that do not fit.

        Raises:
            InputError: if one is none of the set, or an input leaves where none can.
        """
        worst = int(choices.max(initial=0))
        if worst >= len(self.choices):
            raise InputError(f"choice {worst} is outside the set of {len(self.choices)}")
        if fault := fault_of_leaving(choices, exit_index(self.choices), self.workload):
            raise InputError(fault)

    def to_dict(self) -> dict[str, Any]:
        """Header as plain data, as a trace's file keeps it."""
        data = {
            "format": FORMAT,
            "network": self.network,
            "dataset": self.dataset,
            "workload": self.workload.to_dict(),
            "workload_key": self.workload.key,
            "choices": [str(choice) for choice in self.choices],
            "always": str(self.always),
            "accelerator": self.accelerator,
            "seed": self.seed,
            "version": self.version,
            "plugin": self.plugin,
        }
        return data | {"digest": _digest(data)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TraceHeader:
        """Header that `to_dict` made plain data of. Files are held against what the version that
        wrote them put there: a key of the layers, and since format 3 a digest of all fields.

        Raises:
            InputError: if a field is missing, unknown or malformed, the format is not known, or
                something was changed.
        """
        _check_fields(data)
        workload = Workload.from_dict(data["workload"])
        if key_of(data["workload"]) != data["workload_key"]:
            raise InputError("its layers do not match its workload_key: they were changed")
        header = cls(
            network=data["network"],
            dataset=data["dataset"],
            workload=workload,
            choices=_parsed_choices(data["choices"]),
            always=_parsed_always(data["always"]),
            accelerator=data["accelerator"],
            seed=data["seed"],
            version=data["version"],
            plugin=data.get("plugin", ""),
        )
        written = {name: value for name, value in data.items() if name != "digest"}
        if data["format"] >= DIGESTED and _digest(written) != data["digest"]:
            raise InputError("it does not match its digest: it was changed")
        return header


def header_in(schema: pa.Schema, path: Path, *, has_digests: bool) -> TraceHeader:
    """The header of a trace by the schema of its file; a warning says where it has no digest, or
    the file's columns have none.

    Raises:
        InputError: if there is none, or it cannot be read: names the file and the field.
    """
    text = (schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise InputError(f"{path} is a Parquet file, but no gate trace: its header is missing")
    try:
        data = parse_json(text, "its JSON")
        header = TraceHeader.from_dict(data)
    except InputError as error:
        raise InputError(f"{path} has a header that cannot be read: {error}") from error
    if data["format"] < DIGESTED:
        missing = (
            f"is of trace format {data['format']} and has no digest: its layers match their key, "
            "whether the rest of it was changed cannot be told"
        )
    elif not has_digests:
        missing = "has no digests of its columns: whether they were changed cannot be told"
    else:
        return header
    warnings.warn(f"{path} {missing}", stacklevel=1)  # one place: said once of each file
    return header


def _check_fields(data: Any) -> None:
    """Refuse fields that are missing, unknown or of another kind."""
    if not isinstance(data, Mapping):
        raise InputError("it is no table of fields")
    version = data.get("format")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(f"format is not a whole number from 1 to {FORMAT}: {version!r}")
    if version > FORMAT:
        raise InputError(f"trace format {version} is later than the known {FORMAT}")
    wanted = FIELDS | {name for name, since in LATER_FIELDS.items() if version >= since}
    if data.keys() != wanted:
        unknown, missing = data.keys() - wanted, wanted - data.keys()
        raise InputError(f"it has no {min(missing)}" if missing else f"unknown {min(unknown)}")
    for name in wanted.intersection((*TEXTS, "plugin")):
        if not isinstance(data[name], str):
            raise InputError(f"{name} is not text: {data[name]!r}")
    seed = data["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed is not a whole number from 0: {seed!r}")


def _parsed_choices(given: Any) -> tuple[Precision, ...]:
    if not isinstance(given, list) or not all(isinstance(word, str) for word in given):
        raise InputError(f"choices is not a list of precisions: {given!r}")
    try:
        return parse_choices(given)
    except InputError as error:
        raise InputError(f"choices: {error}") from error


def _parsed_always(given: str) -> Precision:
    try:
        always = Precision.parse(given)
    except InputError as error:
        raise InputError(f"always: {error}") from error
    if not always.runs:
        raise InputError(f"always: what always runs cannot be at {always}")
    return always


def _digest(data: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits over all fields."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
