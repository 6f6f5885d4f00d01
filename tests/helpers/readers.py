"""Every format that is read from files or words, with a sample and what reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from comparison_files import comparison_record
from exploring import SPACE
from mutations import ANY, TEXT, Draw, Mutation, changed, json_changed
from networks import gated_pair
from readers_of_folders import (
    STUDY_TOML,
    archive_changed,
    archive_file,
    entered,
    lay_files,
    manifest_changed,
    manifest_file,
    read_bundle,
    read_study,
    report_file,
    report_written,
    settings_file,
)
from run_files import run_record

from accel_models import load_accelerator
from accel_models.accelerators.toml_file import LIBRARY
from accel_models.exploration import explore
from accel_models.exploration.journal import JOURNAL
from accel_models.exploration.space_file import read_space
from accel_models.owned_folder import IDENTITY
from accel_models.precision import highest, parse_choices
from accel_models.trace import METADATA_KEY, GateTrace, TraceHeader
from accel_models.validation.published_rows import PUBLISHED, validate_table
from accel_models.workloads.layer_csv import read_layers
from accel_models.workloads.widths_file import read_widths
from dfs_hw.baselines.kept import kept
from dfs_hw.networks.build import build_network
from dfs_hw.networks.checkpoint import load_checkpoint, save_checkpoint
from dfs_hw.report.sources.of_comparison import report_of_comparison
from dfs_hw.report.sources.run_file import read_run
from dfs_hw.training.loop.snapshot import Snapshot, read_snapshot, write_snapshot
from dfs_hw.training.recipes import read_setting, recipe

CHOICES = parse_choices("skip,2,8")
SPACE_TOML = """
name = "mine"
base = "bitfusion"
objectives = ["energy", "area"]
[fields.array]
rows = [4, 8]
columns = { low = 8, high = 32, factor = 2 }
[fields.dram]
gb_per_s = { low = 4.0, high = 48.0, log = true }
[fields.buffers]
weight_bytes = { low = 16384, high = 65536, step = 16384 }
[options.technology]
"45 nm" = { "technology.node_nm" = 45.0, "technology.volts" = 0.9 }
"28 nm" = { "technology.node_nm" = 28.0, "technology.volts" = 0.8 }
[constraints]
area = { low = 0.1, high = 6.0 }
[[workloads]]
layers = "net.csv"
precision = [8, "4/8"]
accuracy = [0.9, 0.8]
weight = 2.0
"""
MACHINE_TOML = """
base = "bitfusion"
name = "mine"
title = "A machine"
paper = "none"
widths = [2, 4, 8]
[array]
rows = 8
columns = { value = 16, status = "published", source = "table 3", low = 8, high = 32 }
[dram]
gb_per_s = { value = 24.0, status = "measured", source = "a board" }
burst_bytes = 32
[storage]
weights = "copies"
[mapping]
objective = "edp"
"""
LAYERS_CSV = """name,in_channels,out_channels,kernel,out_size,stride,padding,groups,operator,reads
a,3,8,3,6x6,1,1,1,conv,-
b,8,8,3x3,6,1,1,8,conv,a
c,8,8,1,6,1,0,1,conv,b +a
"""
WIDTHS_TOML = '"*" = 8\n"block*.conv1" = "4/8"\nclassifier = 8\n'
WIDTHS_JSON = (
    '{"model_type": "llama", "quantization_config": {"quant_method": "gptq", "bits": 4, '
    '"dynamic": {"-:.*k_proj": {}, ".*down.*": {"bits": 8}}, "group_size": 128}}'
)
WIDTHS_CSV = "name,weight_bits,activation_bits\na,8,8\nb*,4,8\n"


class Reader(NamedTuple):
    """One format.

    Args:
        name: of the file.
        sample: gives the content of a right one.
        mutations: that suit it.
        read: reads a file; what else it needs lies beside it.
        prepare: puts that there.
    """

    name: str
    sample: Callable[[], bytes]
    mutations: tuple[Mutation, ...]
    read: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda folder: None


@cache
def trace_file() -> bytes:
    """A gate trace of 40 inputs in row groups of 16."""
    header = TraceHeader(
        "pair", "none", gated_pair(), CHOICES, highest(CHOICES), "bitfusion", 0, "0"
    )
    numbers = np.arange(40)
    taken = np.stack([numbers % 3, numbers // 3 % 3], axis=1).astype(np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.parquet"
        GateTrace(header, numbers, numbers % 10, numbers % 10, taken).write(path, rows=16)
        return path.read_bytes()


def header_changed(content: bytes, draw: Draw) -> bytes:
    """A trace whose header says something else, all else being whole."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.parquet"
        path.write_bytes(content)
        table = pq.read_table(path)
        header = changed(json.loads(table.schema.metadata[METADATA_KEY]), draw)
        pq.write_table(
            table.replace_schema_metadata({METADATA_KEY: json.dumps(header)}),
            path,
            row_group_size=16,
        )
        return path.read_bytes()


@cache
def checkpoint_file() -> bytes:
    """A small network's checkpoint."""
    network = build_network("resnet8", "skip,8", 10, widths=(4, 4, 4), image_size=(8, 8))
    network.calibrate([torch.zeros(2, 3, 8, 8)])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        save_checkpoint(path, network, {"stage": "joint", "kind": "joint", "config": {}})
        return path.read_bytes()


@cache
def snapshot_file() -> bytes:
    """A stage stopped between two steps."""
    parts = {"network": {"a": torch.zeros(3), "b": torch.ones(2, 2)}}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        write_snapshot(path, Snapshot(parts, {"step": 3, "history": [0.5]}))
        return path.read_bytes()


def safetensors_changed(content: bytes, draw: Draw) -> bytes:
    """A safetensors file with another header."""
    size = int.from_bytes(content[:8], "little")
    header = json_changed(content[8 : 8 + size], draw)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def space_of(folder: Path) -> dict[str, Any]:
    """A space of four machines and what runs on them."""
    (folder / "net.csv").write_text("name,in_channels,out_channels,out_size\na,3,8,4\n")
    layers = {"layers": str(folder / "net.csv"), "precision": 8}
    fields = {"array": {"rows": [8, 16], "columns": [16, 32]}}
    return {**SPACE, "objectives": ["energy"], "fields": fields, "workloads": [layers]}


def explored(sampler: str, path: Path) -> None:
    """Go on with an exploration."""
    out = path.parents[1 if path.parent.name == "chunks" else 0]
    explore(space_of(out.parent), out=out, sampler=sampler, trials=4, batch=2)


@cache
def study_folder(sampler: str) -> Path:
    """A finished exploration."""
    folder = Path(study_folder.place.name) / sampler  # type: ignore[attr-defined]
    folder.mkdir()
    explored(sampler, folder / "out" / JOURNAL)
    return folder / "out"


study_folder.place = TemporaryDirectory(prefix="dfs-hw-study-")  # type: ignore[attr-defined]


def line_changed(content: bytes, draw: Draw) -> bytes:
    """Lines of JSON, one of which has fields changed."""
    lines = content.splitlines(keepends=True)
    at = draw.randrange(len(lines))
    lines[at] = json_changed(lines[at], draw) + b"\n"
    return b"".join(lines)


def study_file(sampler: str, name: str, mutations: tuple[Mutation, ...]) -> Reader:
    """A file of an exploration, read as the exploration goes on."""
    return Reader(
        f"out/{name}",
        lambda: (study_folder(sampler) / name).read_bytes(),
        mutations,
        partial(explored, sampler),
        lambda folder: shutil.copytree(study_folder(sampler), folder / "out"),
    )


def set_by_words(path: Path) -> None:
    """Settings of training, one a line, as a command line has them."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    recipe("digits", "modern", **dict(map(read_setting, lines)))


def set_on_machine(path: Path) -> None:
    """Fields of a machine, one a line, as a command line has them."""
    from dfs_hw.cli.loading import load_machine

    load_machine("bitfusion", path.read_text(encoding="utf-8", errors="replace").splitlines())


SETTINGS = b"joint_lr=0.02\nwidths=4,8,8\nseed=3\namp=yes\nbudget=45uJ\nchoices=skip,4/8"
FIELDS = b"storage.weights=copies\ndram.gb_per_s=24\narray.rows=8\nwidths=[2,4]\nfrequency_hz=1e9"
PARQUET = (*ANY, header_changed, header_changed, header_changed)
TENSORS = (*ANY, safetensors_changed, safetensors_changed)
JSON = (*TEXT, *(json_changed,) * 8)
MADE_FROM, RESULT = {"seed": 1, "network": "x"}, [1.5, 2.5]


def kept_file() -> bytes:
    """Results as `kept` leaves them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        kept(path, MADE_FROM, lambda: RESULT, list[float])
        return path.read_bytes()


def read_kept(path: Path) -> None:
    """Results as they were kept, or made anew."""
    kept(path, MADE_FROM, lambda: RESULT, list[float])


def published_rows() -> bytes:
    """The first two published results."""
    return b"".join(PUBLISHED.read_bytes().splitlines(keepends=True)[:3])


def read_model(path: Path) -> object:
    """Layers of an ONNX file."""
    from accel_models.workloads.onnx_file import read_onnx

    return read_onnx(path)


def model_file() -> bytes:
    """The first whole ONNX file."""
    from damaged_onnx import whole_models

    return whole_models()[0]


def model_changed(content: bytes, draw: Draw) -> bytes:
    """An ONNX file whose graph says something else."""
    from damaged_onnx import damaged_model

    return damaged_model(content, draw)


READERS: dict[str, Reader] = {
    "model": Reader("net.onnx", model_file, (*ANY, *(model_changed,) * 8), read_model),
    "machine": Reader("mine.toml", MACHINE_TOML.encode, TEXT, load_accelerator),
    "whole machine": Reader(
        "whole.toml",
        lambda: LIBRARY.joinpath("eyeriss-published.toml").read_bytes(),
        TEXT,
        load_accelerator,
    ),
    "space": Reader("space.toml", SPACE_TOML.encode, TEXT, read_space),
    "widths": Reader("widths.toml", WIDTHS_TOML.encode, TEXT, read_widths),
    "table of widths": Reader("widths.csv", WIDTHS_CSV.encode, TEXT, read_widths),
    "widths of a checkpoint": Reader("config.json", WIDTHS_JSON.encode, JSON, read_widths),
    "layers": Reader("net.csv", LAYERS_CSV.encode, TEXT, read_layers),
    "published results": Reader("rows.csv", published_rows, TEXT, validate_table),
    "run": Reader("run.json", lambda: json.dumps(run_record()).encode(), JSON, read_run),
    "comparison": Reader(
        "compare.json",
        lambda: json.dumps(comparison_record()).encode(),
        JSON,
        lambda path: report_of_comparison(path.parent),
    ),
    "report": Reader("report.json", lambda: report_file(trace_file()), JSON, report_written),
    "study": Reader("study.toml", STUDY_TOML.encode, TEXT, read_study),
    "bundle": Reader(
        "manifest.json",
        manifest_file,
        (*TEXT, *(manifest_changed,) * 8),
        read_bundle,
        lay_files,
    ),
    "bundle in a file": Reader(
        "bundle.zip", archive_file, (*ANY, *(archive_changed,) * 8), read_bundle
    ),
    "settings of a folder": Reader("settings.json", settings_file, JSON, entered),
    "kept results": Reader("a.json", kept_file, JSON, read_kept),
    "trace": Reader("trace.parquet", trace_file, PARQUET, GateTrace.read),
    "checkpoint": Reader("network.safetensors", checkpoint_file, TENSORS, load_checkpoint),
    "snapshot": Reader(".snapshot.safetensors", snapshot_file, TENSORS, read_snapshot),
    "journal": study_file("nsga2", JOURNAL, (*TEXT, *(line_changed,) * 8)),
    "journal of a sweep": study_file("sweep", JOURNAL, (*TEXT, *(line_changed,) * 8)),
    "identity": study_file("nsga2", IDENTITY, JSON),
    "chunk": study_file("sweep", "chunks/chunk-000000.parquet", ANY),
    "settings": Reader("settings", lambda: SETTINGS, TEXT, set_by_words),
    "fields": Reader("fields", lambda: FIELDS, TEXT, set_on_machine),
}
