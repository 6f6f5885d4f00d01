"""Workloads from CSV files of one layer a row: own columns, or topologies of SCALE-Sim."""

from __future__ import annotations

from pathlib import Path

from accel_models.errors import InputError
from accel_models.workloads.csv_rows import read_rows
from accel_models.workloads.own_table import MAPS, NEEDED, first_reads_image, is_own, read_own
from accel_models.workloads.scale_sim import is_topology, read_topology
from accel_models.workloads.workload import Workload


def read_layers(path: str | Path) -> Workload:
    """Read a chain of layers; what the file left open stands in `Workload.assumed`.

    Raises:
        InputError: if the file is missing or malformed: names the line and the column.
    """
    path = Path(path)
    names, rows = read_rows(path)
    if is_topology(names):
        layers, said = read_topology(path, names, rows)
        if layers:
            layers, sentence = first_reads_image(layers)
            said = [sentence, *said]
    elif is_own(names):
        layers, said = read_own(path, names, rows)
    else:
        raise InputError(
            f"{path} is no list of layers: it needs the columns {', '.join(NEEDED)} and "
            f"{' or '.join(MAPS)}, or those of a SCALE-Sim topology (Layer name, IFMAP Height, "
            "IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides; or Layer, "
            "M, N, K)"
        )
    try:
        return Workload.chain(path.stem, layers, assumed=said)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
