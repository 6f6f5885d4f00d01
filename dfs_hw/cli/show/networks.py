"""Networks as tables of their layers on the terminal, and as plain dictionaries for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accel_models.workloads.layer_data import layer_to_dict
from accel_models.workloads.workload import Layer, Workload
from dfs_hw.cli.show.tables import line, new_table, si, terminal


def network_list(found: Sequence[tuple[Workload, str]]) -> None:
    """All networks, a line each, and what each is given."""
    table = new_table("network", "layers", "input", "MACs", "weights", text=("input",))
    for workload, given in found:
        facts = network_facts(workload)
        table.add_row(
            workload.name,
            str(facts["layer_count"]),
            given,
            si(facts["macs"], ""),
            si(facts["weights"], ""),
        )
    terminal().print(table)
    line("\nNext: dfs-hw simulate NAME, or dfs-hw networks NAME --csv FILE")


def network(workload: Workload) -> None:
    """One network, a layer a line, and what was assumed in reading it."""
    table = new_table("layer", "operator", "input", "output", "MACs", text=("operator",))
    for layer in workload.layers:
        table.add_row(
            layer.name,
            " ".join(part for part in (layer.operator, layer.activation) if part),
            _map(layer),
            f"{layer.out_channels} x {'x'.join(map(str, layer.out_size))}",
            si(layer.macs, "") if layer.macs else "",
        )
    terminal().print(table)
    facts = network_facts(workload)
    line(f"\n{workload.name}: {si(facts['macs'], 'MACs')}, {si(facts['weights'], 'weights')}")
    for sentence in workload.assumed:
        line(f"assumed: {sentence}")


def written(path: Path) -> None:
    """Where a table of layers went, and what reads it."""
    line(f"{path}: its layers\nNext: dfs-hw simulate {path}")


def network_facts(workload: Workload) -> dict[str, Any]:
    """What a network is, for JSON."""
    return {
        "name": workload.name,
        "layer_count": len(workload.layers),
        "macs": workload.macs,
        "weights": sum(layer.weights for layer in workload.layers),
        "assumed": list(workload.assumed),
    }


def layer_facts(workload: Workload) -> list[dict[str, Any]]:
    """Every layer and what it reads, for JSON."""
    return [
        layer_to_dict(layer)
        | {"macs": layer.macs}
        | {part: list(names) for part, names in workload.operands[layer.name]._asdict().items()}
        for layer in workload.layers
    ]


def _map(layer: Layer) -> str:
    return f"{layer.in_channels} x {'x'.join(map(str, layer.in_size))}"
