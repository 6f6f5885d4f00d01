"""The command that reports."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accel_models.errors import InputError
from dfs_hw.cli.app import app
from dfs_hw.cli.loading import load_machine, load_workload, words
from dfs_hw.cli.options import (
    DEFAULTS,
    ImageSide,
    MachineSettings,
    Plugins,
    Precisions,
    TracedOn,
    WidthsFile,
)
from dfs_hw.cli.show import tables as show

if TYPE_CHECKING:  # torch, which `--help` need not wait for
    from accel_models import Accelerator
    from dfs_hw.report import EnergyReport

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Folders that `dfs-hw demo` or `dfs-hw compare` wrote, gate traces, networks as "
        "simulate takes them, or reports' JSON; several stand side by side.",
    ),
]
Formats = Annotated[
    str, typer.Option("--format", help="Of html, json, csv, md, tex, pdf, svg and perfetto.")
]
Into = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Folder to write to; default: that of a run or comparison, else out/report."
    ),
]


@app.command()
def report(
    sources: Sources,
    formats: Formats = "html",
    out: Into = None,
    accelerator: TracedOn = "",
    machine_settings: MachineSettings = None,
    precision: Precisions = None,
    widths: WidthsFile = None,
    image: ImageSide = None,
    plugins: Plugins = None,
) -> None:
    """The energy report of a run, a trace, a network or a comparison: a page, data, figures.

    dfs-hw report out/demo --format html,json,pdf
    dfs-hw report resnet20 --accelerator bitfusion --precision 8 --precision 4
    """
    from dfs_hw.provenance import provenance
    from dfs_hw.report import side_by_side, write_report
    from dfs_hw.report.outputs.writing import checked_formats

    wanted = words(formats)
    checked_formats(wanted)
    machine = load_machine(accelerator, machine_settings) if accelerator else None
    if machine is None and machine_settings:
        raise InputError("--machine-set goes with --accelerator")
    found = [_of(source, machine, precision, widths, image) for source in sources]
    made = replace(side_by_side(found), command=_command(), made=dict(provenance()))
    for path in write_report(made, out or _place(sources), wanted):
        show.line(str(path))


def _of(
    source: str,
    machine: Accelerator | None,
    precision: list[str] | None,
    widths: Path | None,
    image: int | None,
) -> EnergyReport:
    from dfs_hw.report import report_of, report_of_network
    from dfs_hw.report.sources.opening import is_file_or_folder

    if is_file_or_folder(source):
        if precision or widths or image:
            raise InputError(f"--precision, --widths and --image go with a network, not {source}")
        return report_of(source, machine)
    workload = load_workload(source, image, widths)
    on = machine or load_machine(DEFAULTS.accelerator)
    return report_of_network(source, workload, on, precision or ["8"])


def _place(sources: list[str]) -> Path:
    only = Path(sources[0])
    return only if len(sources) == 1 and only.is_dir() else Path("out/report")


def _command() -> str:
    return shlex.join(["dfs-hw", *sys.argv[1:]])
