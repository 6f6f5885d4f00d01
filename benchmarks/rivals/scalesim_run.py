"""Time SCALE-Sim on a list of layers: total CPU and wall time of its simulation, after import.

    python benchmarks/rivals/scalesim_run.py --layers benchmarks/rivals/resnet20.csv --json out.json

No traces are written. `--bandwidth given` limits DRAM to 192 bits per cycle and tensor; by default
SCALE-Sim estimates the bandwidth that would never stall the array.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import platform
import tempfile
from importlib import metadata
from pathlib import Path

from layer_list import Shape, distinct, read_shapes
from scalesim.scale_sim import scalesim
from stopwatch import timed

CONFIGURATION = Path(__file__).parent / "bitfusion_scalesim.cfg"
TOPOLOGY_COLUMNS = 8
LAYOUT_FIELDS = 20
"""Numbers after a layer's name in a layout: read even where layouts are switched off."""


def write_inputs(shapes: list[Shape], folder: Path, bandwidth: str) -> tuple[Path, Path, Path]:
    """The three files SCALE-Sim insists on: configuration, topology and (unused) layout."""
    configuration, topology, layout = (folder / name for name in ("run.cfg", "t.csv", "l.csv"))
    text = CONFIGURATION.read_text(encoding="utf-8")
    mode = {"estimated": "CALC", "given": "USER"}[bandwidth]
    configuration.write_text(text.replace("Bandwidth = CALC", f"Bandwidth = {mode}"))
    topology.write_text("," * TOPOLOGY_COLUMNS + "\n" + "".join(map(topology_row, shapes)))
    unused = ", ".join(["1"] * LAYOUT_FIELDS)
    layout.write_text("\n" + "".join(f"{shape.name}, {unused},\n" for shape in shapes))
    return configuration, topology, layout


def topology_row(shape: Shape) -> str:
    """The map is as large as the windows reach: SCALE-Sim rounds the number of outputs up."""
    reach = [
        (out - 1) * stride + kernel
        for out, stride, kernel in zip(shape.out_size, shape.stride, shape.kernel, strict=True)
    ]
    channels = shape.in_channels, shape.out_channels
    numbers = ", ".join(map(str, (*reach, *shape.kernel, *channels, shape.stride[0])))
    return f"{shape.name}, {numbers},\n"


def simulate(configuration: Path, topology: Path, layout: Path, folder: Path) -> None:
    tool = scalesim(
        save_disk_space=True,
        verbose=False,
        config=str(configuration),
        topology=str(topology),
        layout=str(layout),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        tool.run_scale(top_path=str(folder))


def reported(path: Path) -> list[dict[str, float]]:
    """Rows of one of SCALE-Sim's report files, by column."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        return [{key: float(text) for key, text in row.items() if key} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--distinct", action="store_true", help="leave out layers seen before")
    parser.add_argument("--bandwidth", choices=("estimated", "given"), default="estimated")
    options = parser.parse_args()

    shapes = read_shapes(options.layers)
    shapes = distinct(shapes) if options.distinct else shapes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = write_inputs(shapes, folder, options.bandwidth)
        _, spent = timed(lambda: simulate(*inputs, folder))
        compute = reported(folder / "bitfusion_8bit" / "COMPUTE_REPORT.csv")
        access = reported(folder / "bitfusion_8bit" / "DETAILED_ACCESS_REPORT.csv")
    layers = [
        {"name": shape.name, **cycles, **counts}
        for shape, cycles, counts in zip(shapes, compute, access, strict=True)
    ]
    report = {
        "tool": "scalesim",
        "version": metadata.version("scalesim"),
        "python": platform.python_version(),
        "computes": "cycles of one fixed (weight-stationary) mapping, SRAM and DRAM accesses; "
        "no search, no energy",
        "bandwidth": options.bandwidth,
        "layer_list": options.layers.name,
        "macs": sum(shape.macs for shape in shapes),
        "spent": spent,
        "total_cycles": sum(row["Total Cycles"] for row in compute),
        "total_cycles_with_prefetch": sum(row["Total Cycles (incl. prefetch)"] for row in compute),
        "layers": layers,
    }
    options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(
        f"SCALE-Sim {report['version']}: {len(shapes)} layers in {spent['cpu_s']:.2f} s CPU, "
        f"{spent['wall_s']:.2f} s wall; {report['total_cycles']:.0f} cycles"
    )


if __name__ == "__main__":
    main()
