"""Layers in ZigZag's terms, and what is read from its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layer_list import Shape
from zigzag.cost_model.cost_model import CostModelEvaluation
from zigzag.datatypes import LayerOperand
from zigzag.mapping.data_movement import DataDirection, DataMoveAttr

FOLDER = Path(__file__).parent
MACHINE, MAPPING = FOLDER / "bitfusion_zigzag.yaml", FOLDER / "bitfusion_mapping.yaml"
TENSORS = {"weights": "W", "inputs": "I", "outputs": "O"}


def workload_entry(number: int, shape: Shape, partial_sum_bits: int = 32) -> dict[str, Any]:
    """An 8-bit layer fed by nothing: ZigZag costs layers one by one in any case."""
    (kernel_rows, kernel_columns), (rows, columns) = shape.kernel, shape.out_size
    return {
        "id": number,
        "name": shape.name,
        "operator_type": "Conv",
        "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
        "dimension_relations": [
            f"ix={shape.stride[1]}*ox+1*fx",
            f"iy={shape.stride[0]}*oy+1*fy",
        ],
        "loop_dims": ["B", "K", "G", "OX", "OY", "C", "FX", "FY"],
        "loop_sizes": [
            *(1, shape.out_channels, 1, columns, rows),
            *(shape.in_channels, kernel_columns, kernel_rows),
        ],
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [shape.in_size[1], shape.in_size[0]],
        "operand_precision": {"W": 8, "I": 8, "O": partial_sum_bits, "O_final": 8},
        "operand_source": {"I": number, "W": number},
    }


def dram_bits(result: CostModelEvaluation) -> dict[str, dict[str, int]]:
    """Bits read from and written to DRAM by tensor, before they are rounded to words."""
    return {
        tensor: {
            "read": _moved(result, operand, DataDirection.RD_OUT_TO_LOW),
            "write": _moved(result, operand, DataDirection.WR_IN_BY_LOW),
        }
        for tensor, operand in TENSORS.items()
    }


def _moved(result: CostModelEvaluation, tensor: str, way: DataDirection) -> int:
    moved = result.mapping.unit_mem_data_movement[LayerOperand(tensor)][-1]
    parts = (
        DataMoveAttr.DATA_TRANS_AMOUNT_PER_PERIOD,
        DataMoveAttr.DATA_PRECISION,
        DataMoveAttr.DATA_TRANS_PERIOD_COUNT,
    )
    amount, bits, periods = (moved.get_attribute(part).get(way) for part in parts)
    return round(amount * bits * periods)


def cycles(result: CostModelEvaluation) -> dict[str, float]:
    """The latency, and below it the parts that add up to it; `ideal` is a fully used array's."""
    return {
        "latency": result.latency_total2,
        "compute": result.ideal_temporal_cycle,
        "stall": result.stall_slack_comb,
        "onloading": result.data_onloading_cycle,
        "offloading": result.data_offloading_cycle,
        "systolic": result.systolic_drain_cycle,
        "ideal": result.ideal_cycle,
    }


def energy_pj(result: CostModelEvaluation) -> dict[str, float]:
    """Of the array, and of each tensor's buffer and DRAM traffic; pJ."""
    parts: dict[str, float] = {"total": result.energy_total, "array": result.mac_energy}
    for tensor, operand in TENSORS.items():
        levels = result.mem_energy_breakdown[LayerOperand(operand)]
        parts[f"{tensor}_buffer"], parts[f"{tensor}_dram"] = sum(levels[:-1]), levels[-1]
    return {name: round(value, 1) for name, value in parts.items()}


def loops(result: CostModelEvaluation) -> dict[str, dict[str, str]]:
    """For each tensor, the loops inside which a block of it stays in its buffer, and those outside.

    Innermost first: in "OX 7, C 4" columns are the faster loop.
    """
    levels = result.temporal_mapping.mapping_dic_stationary
    return {
        tensor: {
            memory: ", ".join(f"{dimension.name} {size}" for dimension, size in level)
            for memory, level in zip(("buffer", "dram"), levels[LayerOperand(op)], strict=True)
        }
        for tensor, op in TENSORS.items()
    }


def report(result: CostModelEvaluation) -> dict[str, Any]:
    """All of the above, and whether ZigZag takes each tensor's buffer for a double one."""
    return {
        "cycles": cycles(result),
        "dram_bits": dram_bits(result),
        "energy_pj": energy_pj(result),
        "loops": loops(result),
        "double_buffered": {
            tensor: result.double_buffer_true[LayerOperand(op)][1] for tensor, op in TENSORS.items()
        },
    }
