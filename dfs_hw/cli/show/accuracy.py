"""Accuracy of policies of widths beside their price, on the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfs_hw.cli.show.tables import line, new_table, si, terminal

if TYPE_CHECKING:  # torch, which `--help` need not wait for
    from dfs_hw.fixed_widths.comparison import PricedAccuracy


def accuracies(found: Sequence[PricedAccuracy]) -> None:
    """A line for the model as it is, and one for each policy."""
    trained = any(one.trained is not None for one in found)
    more = ("trained further",) if trained else ()
    table = new_table("widths", "accuracy", *more, "BitOps", "energy", "latency")
    for one in found:
        after = ("" if one.trained is None else f"{one.trained:.1%}",) if trained else ()
        table.add_row(
            one.name,
            f"{one.accuracy:.1%}",
            *after,
            si(one.cost.bitops, ""),
            si(one.cost.energy_j, "J"),
            si(one.cost.latency_s, "s"),
        )
    terminal().print(table)
    line(
        f"On {found[0].cost.accelerator.name}, for one input. As it is: in floating point, charged "
        "as 16 bits, as all that no pattern matches."
    )
    for sentence in found[0].cost.workload.assumed:
        line(f"assumed: {sentence}")


def written(path: Path, widths: str) -> None:
    """Where an ONNX file went, at which widths, and what reads it."""
    line(f"{path}: the model at the widths of {widths}\nNext: dfs-hw simulate {path}")


def accuracy_facts(found: Sequence[PricedAccuracy]) -> list[dict[str, Any]]:
    """Each policy, for JSON."""
    return [
        {
            "widths": one.name,
            "accuracy": one.accuracy,
            "accuracy_trained_further": one.trained,
            "accelerator": one.cost.accelerator.name,
            "bitops": one.cost.bitops,
            "energy_j": one.cost.energy_j,
            "latency_s": one.cost.latency_s,
            "layers": {cost.layer.name: str(cost.precision) for cost in one.cost.layers},
        }
        for one in found
    ]
