"""Samples of reports, studies, bundles and settings of folders, and what reads them."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from comparison_files import comparison_record
from mutations import Draw, changed

from accel_models.documents import sealed
from accel_models.owned_folder import owned_folder
from dfs_hw.bundle.manifest import (
    BundledFile,
    BundledGate,
    BundledInput,
    BundledUnit,
    Manifest,
    read_manifest,
)
from dfs_hw.report import read_report, report_of, write_report
from dfs_hw.studies import StudyDefinition

STUDY_TOML = """
title = "Does it pay?"
machines = ["bitfusion", "tpu-int8"]
seeds = [0, 1]
contenders = ["static", "static-exits", "smaller"]
smaller = ["resnet8"]
grid = [0.8, 1.25]
points = []
shuffles = 3
[train]
data = "digits"
style = "exits"
budget = "0.5"
joint_epochs = 1
joint_lr = 0.02
"""
FILES = {"before.onnx": b"before", "unit0/gate.onnx": b"a gate", "unit0/2.onnx": b"2 bit"}
"""Files of a bundle, of which nothing but their digests is looked at."""
SETTINGS = {"seed": 1, "grid": [0.5, 1.0], "network": "resnet8", "augment": {"flip": True}}
"""Settings of a run; those in ``grid`` may become more."""
ENTRIES = (
    *("../outside", "/outside", "unit0/../../outside", "a\0b", "x" * 300, "unit0", ""),
    *("manifest.json", "before.onnx"),
)
"""Names for what lies in an archive."""


@cache
def report_file(trace: bytes) -> bytes:
    """The report of a comparison, and of a trace beside it."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "trace.parquet").write_bytes(trace)
        subjects = report_of(folder / "trace.parquet").subjects
        (folder / "compare.json").write_text(json.dumps(sealed(comparison_record())))
        write_report(replace(report_of(folder), subjects=subjects), folder, ["json"])
        return (folder / "report.json").read_bytes()


def report_written(path: Path) -> None:
    """A report as everything that is text, from its JSON."""
    write_report(read_report(path), path.parent / "again", ("html", "csv", "md", "tex", "perfetto"))


def manifest_file() -> bytes:
    """What a bundle of one unit says of itself."""
    unit = BundledUnit(
        "a.conv",
        (1, 4, 8, 8),
        "before.onnx",
        None,
        "unit0/gate.onnx",
        {"skip": None, "2": "unit0/2.onnx"},
    )
    files = {name: BundledFile.of(content) for name, content in FILES.items()}
    return Manifest(
        "resnet8", "0" * 16, BundledInput((1, 3, 8, 8), "float32", (0.5,) * 3, (0.2,) * 3),
        (1, 10), ("a", "b"), ("skip", "2"), {"2": (2, 2)}, (unit,), None,
        BundledGate("feedforward"), files, {"dfs-hw": "0"},
    ).sealed().to_json()  # fmt: skip


def lay_files(folder: Path) -> None:
    """Put a bundle's files, all but the manifest, into a folder."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def manifest_changed(content: bytes, draw: Draw) -> bytes:
    """A manifest that says something else, and has the digest of that."""
    said = changed(json.loads(content), draw)
    return json.dumps(sealed(said) if isinstance(said, dict) else said).encode()


@cache
def archive_file() -> bytes:
    """A bundle in one file."""
    return _archive({"manifest.json": manifest_file(), **FILES})


def archive_changed(content: bytes, draw: Draw) -> bytes:
    """An archive, whole, that holds something else."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    kind, one = draw.randrange(5), draw.choice(list(files))
    if kind < 2 and "manifest.json" in files:
        files["manifest.json"] = manifest_changed(files["manifest.json"], draw)
    elif kind == 2:
        files[draw.choice(ENTRIES)] = files.pop(one)
    elif kind == 3:
        files[one] = bytes(draw.choice([0, 2**24 + 1]))
    else:
        del files[one]
    return _archive(files)


def _archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def settings_file() -> bytes:
    """What a folder is of, of fewer entries than `entered` asks for."""
    return json.dumps(SETTINGS | {"grid": [0.5]}).encode()


def entered(path: Path) -> None:
    """Enter a folder as the run that it is of, or one that adds to it."""
    asked: dict[str, Any] = SETTINGS
    with owned_folder(path.parent, asked, ["run.json"], growing=["grid"]):
        pass


def read_bundle(path: Path) -> Manifest:
    """The manifest of a bundle, by its own name or the archive's."""
    return read_manifest(path.parent if path.name == "manifest.json" else path)


read_study = StudyDefinition.read
