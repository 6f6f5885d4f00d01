"""Every layer of a run as a row: cycles, traffic by tensor and memory, energy and mapping.

Columns end in their unit. Traffic columns are ``MEMORY_TENSOR_read_bits`` and, written,
``..._write_bits``; those of a memory add up to what the run counts there. The array exchanges sums
with the output buffer, finished ones among them: all of that is *partial sums*. Of a product of
activations, *weights* are what the inputs are multiplied by; the other operands of what runs on the
vector unit are *others*. A layer computed in pieces one after the other has the mapping of the
first. Energy stands by component, ``energy_COMPONENT_pj``,
adding up to ``energy_pj``, and by action, ``energy_of_ACTION_pj``, without what no action takes:
*dram background*, *other* and *leakage*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.solving import LayerCost
from accel_models.mapping import parts as mapping_parts
from accel_models.mapping import vector_pass
from accel_models.mapping.problem import ACTIONS, LOOPS, Mapping, Problem

if TYPE_CHECKING:
    import pyarrow as pa

READ, WRITE = "read", "write"
TRAFFIC = (
    ("dram", "weights", READ),
    ("dram", "inputs", READ),
    ("dram", "others", READ),
    ("dram", "residual", READ),
    ("dram", "partial_sums", READ),
    ("dram", "partial_sums", WRITE),
    ("dram", "outputs", WRITE),
    ("weight_buffer", "weights", READ),
    ("weight_buffer", "weights", WRITE),
    ("input_buffer", "inputs", READ),
    ("input_buffer", "inputs", WRITE),
    ("input_buffer", "others", READ),
    ("input_buffer", "others", WRITE),
    ("input_buffer", "residual", READ),
    ("input_buffer", "outputs", WRITE),
    ("output_buffer", "partial_sums", READ),
    ("output_buffer", "partial_sums", WRITE),
)
"""Memory, tensor and direction of every kind of traffic that there is."""
_BUFFERS = {
    "weight_buffer_read_bits": ("weight_buffer", "weights", READ),
    "weight_buffer_write_bits": ("weight_buffer", "weights", WRITE),
    "input_buffer_read_bits": ("input_buffer", "inputs", READ),
    "input_buffer_write_bits": ("input_buffer", "inputs", WRITE),
    "output_buffer_read_bits": ("output_buffer", "partial_sums", READ),
    "output_buffer_write_bits": ("output_buffer", "partial_sums", WRITE),
}
"""What the array's buffers move, but for what is known to be of another tensor."""
Moved = dict[tuple[str, str, str], int]


def column(memory: str, tensor: str, direction: str) -> str:
    """Name of a column of traffic."""
    return f"{memory}_{tensor}_{direction}_bits"


def layer_frame(costs: Sequence[LayerCost], pricing: Pricing, batch: int) -> pa.Table:
    """One row for each layer, in the order in which they run; figures are for the whole batch.

    Args:
        costs: of the layers that ran.
        pricing: of the machine.
        batch: inputs that ran together.
    """
    import pyarrow as pa

    rows = [_row(cost, pricing, batch) for cost in costs]
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], kinds[kind])
            for name, kind in _columns().items()
        }
    )


def _columns() -> dict[str, type]:
    """All columns in order, and what they hold."""
    plain = {"layer": str, "operator": str, "unit": str, "role": str, "bits": str, "macs": int}
    plain |= {"cycles": int, "compute_cycles": int, "waiting_cycles": int, "occupancy": float}
    plain |= {"array_operations": int, "vector_operations": int}
    plain |= {column(*one): int for one in TRAFFIC}
    plain |= {"energy_pj": float}
    plain |= {_component(name): float for name in COMPONENTS}
    plain |= {_action(name): float for name in ACTIONS}
    plain |= {f"tile_{loop}": int for loop in LOOPS}
    plain |= {"loop_order": str, "stationary": str, "lane_rule": str, "packed_groups": int}
    return plain | {"pieces": int}


def _row(cost: LayerCost, pricing: Pricing, batch: int) -> dict[str, Any]:
    counts = dict(zip(ACTIONS, cost.counts.tolist(), strict=True))
    energy = pricing.energy_pj(cost.counts, cost.cycles)
    by_action = cost.counts * np.asarray(pricing.action_pj)
    moved = moved_bits(cost)
    return {
        "layer": cost.layer.name,
        "operator": cost.layer.operator,
        "unit": cost.layer.unit,
        "role": cost.layer.role,
        "bits": str(cost.precision),
        "macs": cost.layer.macs * batch,
        "cycles": cost.cycles,
        "compute_cycles": cost.compute_cycles,
        "waiting_cycles": cost.cycles - cost.compute_cycles,
        "occupancy": cost.occupancy,
        "array_operations": counts["array_operations"],
        "vector_operations": counts["vector_operations"],
        **{column(*one): moved.get(one, 0) for one in TRAFFIC},
        "energy_pj": float(energy.sum()),
        **dict(zip(map(_component, COMPONENTS), energy.tolist(), strict=True)),
        **dict(zip(map(_action, ACTIONS), by_action.tolist(), strict=True)),
        **_mapping_columns(cost.mapping),
        "pieces": len(cost.pieces),
    }


def _mapping_columns(mapping: Mapping | None) -> dict[str, Any]:
    tile = mapping.tile if mapping else [None] * len(LOOPS)
    return {
        **{f"tile_{loop}": size for loop, size in zip(LOOPS, tile, strict=True)},
        "loop_order": " > ".join(mapping.order) if mapping else None,
        "stationary": mapping.stationary if mapping else None,
        "lane_rule": mapping.lane_rule if mapping else None,
        "packed_groups": mapping.packed if mapping else None,
    }


def moved_bits(cost: LayerCost) -> Moved:
    """Bits by memory, tensor and direction, adding up to those counted."""
    counts = dict(zip(ACTIONS, cost.counts.tolist(), strict=True))
    if cost.vector_pass is not None:
        return vector_pass.moved(cost.vector_pass)
    moved = Counter({place: counts[action] for action, place in _BUFFERS.items()})
    for piece in cost.pieces:
        one = mapping_parts.sized(piece.problem, piece.found.mapping)
        for part in mapping_parts.traffic(one):
            tensor = part.tensor.replace(" ", "_")
            moved["dram", tensor, READ] += part.read_bits
            moved["dram", tensor, WRITE] += part.write_bits
        # Resident tensors are read from and written to the input buffer.
        kept_outputs = int(one.tiling.q_all * one.task.kept_output_bits)
        kept_residual = _outputs(one.task, one.mapping) * one.task.kept_residual_bits
        moved["input_buffer", "outputs", WRITE] += kept_outputs
        moved["input_buffer", "inputs", WRITE] -= kept_outputs
        moved["input_buffer", "residual", READ] += kept_residual
        moved["input_buffer", "inputs", READ] -= kept_residual
    return moved


def _outputs(p: Problem, mapping: Mapping) -> int:
    """Outputs that tiles cover: more than the layer's where they are charged as whole."""
    sizes = (p.batch, p.out_rows, p.out_columns, p.in_channels, p.out_channels)
    number = p.groups
    for loop, total, tile in zip(LOOPS, sizes, mapping.tile, strict=True):
        if loop != "in_channels":
            number *= -(-total // tile) * tile if p.whole_tiles else total
    return number


def _component(name: str) -> str:
    return f"energy_{name.replace(' ', '_')}_pj"


def _action(name: str) -> str:
    return f"energy_of_{name.removesuffix('_bits')}_pj"
