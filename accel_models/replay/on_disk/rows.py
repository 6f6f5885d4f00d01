"""What is written of every input: one row of a Parquet file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.files import ending_in
from accel_models.metrics import additive
from accel_models.replay.plan import Plan
from accel_models.replay.queueing import Queued
from accel_models.replay.replay import Replay
from accel_models.row_groups import RowGroupWriter

ROWS_IN_GROUP = 2**14
"""Rows of a row group: each is some twenty numbers wide."""
ENDING = ".parquet"
"""How names of files of rows end, whatever program opens them."""
LEAKAGE, BACKGROUND = "leakage_j", "dram_background_j"


def rows_of(outcome: Replay, *, detailed: bool = True) -> pa.Table:
    """Energy, latency and BitOps of each input; `detailed` also by component, with the cycles and
    bits that deciding at run time costs."""
    trace = outcome.trace
    columns = {
        "input_id": trace.input_ids,
        "label": trace.labels,
        "prediction": trace.predictions,
        **{metric.column: metric.of(outcome) for metric in additive()},
    }
    if detailed:
        for column, name in enumerate(COMPONENTS):
            columns[f"{name.replace(' ', '_')}_j"] = outcome.energy_pj[:, column] * 1e-12
        for name in ("exposed_cycles", "switching_cycles", "spared_cycles", "wasted_bits"):
            columns[name] = getattr(outcome, name)
    table = pa.table(columns).replace_schema_metadata(about(outcome.plan))
    return table if outcome.queued is None else with_queue(table, outcome.queued)


def about(plan: Plan) -> dict[str, str]:
    """What rows are of, for the metadata of a file."""
    table = plan.table
    said = {
        "accelerator": table.accelerator.name,
        "cost_table": table.digest,
        "policy": plan.policy.to_dict(),
        "bounds": plan.policy.bounds,
    }
    return {"dfs_hw_replay": json.dumps(said)}


def with_queue(table: pa.Table, queued: Queued) -> pa.Table:
    """Rows together with what the inputs saw as they arrived by themselves."""
    for name, values in (("waiting_s", queued.waiting), ("response_s", queued.response)):
        table = table.append_column(name, pa.array(values))
    return table


def with_idle_power(table: pa.Table, idle_s: np.ndarray, pricing: Pricing) -> pa.Table:
    """Rows together with what the machine drew as it waited for each input."""
    for name, watts in (
        ("energy_j", pricing.static_power_w),
        (LEAKAGE, pricing.leakage_power_w),
        (BACKGROUND, pricing.background_power_w),
    ):
        if name in table.column_names:
            at = table.column_names.index(name)
            table = table.set_column(at, name, pa.array(table[name].to_numpy() + idle_s * watts))
    return table


def write_rows(outcome: Replay, path: str | Path) -> None:
    """Write one row an input, in one piece.

    Raises:
        InputError: if the file cannot be written, or its name ends in something else than `ENDING`.
    """
    ending_in(path, ENDING, "rows of inputs")
    table = rows_of(outcome)
    with RowGroupWriter(path, table.schema, ROWS_IN_GROUP) as writer:
        writer.add(table)
