"""The default machine, and small networks to run on it."""

from __future__ import annotations

from accel_models import (
    Layer,
    Workload,
    load_accelerator,
)
from accel_models.costs.simulator import Simulation
from accel_models.costs.solving import LayerCost
from accel_models.explain.departures import departure_steps
from accel_models.mapping.problem import ACTIONS

DEFAULT = load_accelerator("bitfusion")
TABLES_45 = next(
    step.machine
    for step in departure_steps(DEFAULT)
    if step.title == "groups run as groups, banks of any size"
)
"""Bit Fusion as hardware would run, by the 45 nm tables released with it: the last on the way to
common ground that says nothing of cells and channels."""


FRUGAL = DEFAULT.configured(
    mapping__objective="energy", fidelity__static_power=False, energy__idle_share=0.0
)
"""Where time costs nothing, nothing that fits on chip moves twice to save some."""


def residual_blocks() -> Workload:
    """A stem, a gated block that keeps the shape, one that halves the map, a classifier."""
    half = {"kernel": (3, 3), "padding": (1, 1)}
    down = {"in_size": (8, 8), "stride": (2, 2)}
    layers = [
        Layer("stem", 3, 16, out_size=(8, 8), reads_image=True, **half),
        Layer("a.gate", 16, 4, role="gate", unit="a"),
        Layer("a.conv1", 16, 16, out_size=(8, 8), role="body", unit="a", **half),
        Layer("a.conv2", 16, 16, out_size=(8, 8), role="body", unit="a", **half),
        Layer("b.gate", 16, 4, role="gate", unit="b"),
        Layer("b.side", 16, 32, role="shortcut", unit="b", **down),
        Layer("b.conv1", 16, 32, role="body", unit="b", **down, **half),
        Layer("b.conv2", 32, 32, out_size=(4, 4), role="body", unit="b", **half),
        Layer("head", 32, 10),
    ]
    edges = [("stem", "a.gate"), ("stem", "a.conv1"), ("a.conv1", "a.conv2"), ("stem", "a.conv2")]
    edges += [("a.conv2", f"b.{name}") for name in ("gate", "side", "conv1")]
    edges += [("b.conv1", "b.conv2"), ("b.side", "b.conv2"), ("b.conv2", "head")]
    return Workload("blocks", tuple(layers), tuple(edges))


def count(cost: LayerCost | Simulation, action: str) -> int:
    return int(cost.counts[ACTIONS.index(action)])


def by_name(cost: Simulation) -> dict[str, LayerCost]:
    return {layer.layer.name: layer for layer in cost.layers}
