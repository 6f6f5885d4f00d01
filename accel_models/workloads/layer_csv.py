"""Workloads as CSV files of one layer a row: own columns, or topologies of SCALE-Sim."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from accel_models.errors import InputError
from accel_models.workloads.csv_rows import read_rows
from accel_models.workloads.own_table import MAPS, NEEDED, first_reads_image, is_own, read_own
from accel_models.workloads.scale_sim import is_topology, read_topology
from accel_models.workloads.workload import Workload


def read_layers(path: str | Path) -> Workload:
    """Read a list of layers; what the file left open stands in `Workload.assumed`.

    Raises:
        InputError: if the file is missing or malformed: names the line and the column.
    """
    path = Path(path)
    names, rows = read_rows(path)
    edges: list[tuple[str, ...]]
    if is_topology(names):
        layers, said = read_topology(path, names, rows)
        edges = list(pairwise(layer.name for layer in layers))
        if layers:
            layers, sentence = first_reads_image(layers)
            said = [sentence, *said]
    elif is_own(names):
        layers, edges, said = read_own(path, names, rows)
    else:
        raise InputError(
            f"{path} is no list of layers: it needs the columns {', '.join(NEEDED)} and "
            f"{' or '.join(MAPS)}, or those of a SCALE-Sim topology (Layer name, IFMAP Height, "
            "IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides; or Layer, "
            "M, N, K)"
        )
    try:
        return Workload(path.stem, tuple(layers), tuple(edges), tuple(said))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


LISTS = Path(__file__).parent / "library"


def listed_networks() -> tuple[str, ...]:
    """Names of the networks whose layer lists come with the package."""
    return tuple(sorted(path.stem for path in LISTS.glob("*.csv")))


INPUTS = {
    "bert_base": "128 tokens",
    "gpt2": "a prompt of 128 tokens",
    "gpt2_token": "one token, the keys and values of 127 before it kept",
    "segformer_b0": "image of 512 x 512",
    "unet": "image of 512 x 512",
}
"""What a listed network is given; any other, an image of 224 x 224."""


def listed_input(name: str) -> str:
    """What a listed network is given."""
    return INPUTS.get(name, "image of 224 x 224")


def listed_network(name: str) -> Workload:
    """A network whose layer list comes with the package, for one input as `listed_input` says.

    Raises:
        InputError: if there is no such list.
    """
    if name not in listed_networks():
        raise InputError(f"no layer list is called '{name}': {', '.join(listed_networks())} are")
    return read_layers(LISTS / f"{name}.csv")
