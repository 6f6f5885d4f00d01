"""The rows of all parts of a trace as one file, with what inputs see that arrive by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from accel_models.documents import parse_json
from accel_models.errors import InputError, reason_of
from accel_models.replay.on_disk.rows import ROWS_IN_GROUP, about, with_idle_power, with_queue
from accel_models.replay.plan import Plan
from accel_models.replay.queueing import Poisson, Server
from accel_models.replay.summary.summary import amounts
from accel_models.replay.totals import Totals
from accel_models.row_groups import RowGroupReader, RowGroupWriter
from accel_models.trace import ARRIVAL

TOTALS = "dfs_hw_totals"
"""Key of a part's metadata under which its `Totals` are."""


@dataclass(frozen=True)
class Joined:
    """Parts, in order, as one file.

    Args:
        parts: files of rows as `rows.rows_of` has them; a batch ends with its part.
        path: of the whole.
    """

    ready: Plan
    parts: Sequence[Path]
    path: Path

    def write(self) -> Totals:
        """Write the whole; returns the totals of all parts."""
        totals = self._totals()
        queue = None if self.ready.policy.arrivals == "none" else _Queue(self.ready, totals)
        with ExitStack() as stack:
            writer: RowGroupWriter | None = None
            for table in self._tables():
                rows = table if queue is None else queue.pass_through(table)
                if writer is None:
                    writer = stack.enter_context(
                        RowGroupWriter(self.path, rows.schema, ROWS_IN_GROUP)
                    )
                writer.add(rows)
        return totals

    def read(self) -> Iterator[tuple[Mapping[str, np.ndarray], np.ndarray]]:
        """Begin a pass over the whole: amounts by name, and whether predictions are right."""
        names = amounts(self.ready.policy)
        with RowGroupReader(self.path) as file:
            for batch in file.batches(ROWS_IN_GROUP, columns=[*names, "label", "prediction"]):
                values = {name: batch[name].to_numpy() for name in names}
                yield values, batch["label"].to_numpy() == batch["prediction"].to_numpy()

    def _totals(self) -> Totals:
        total: Totals | None = None
        for part in self.parts:
            here = totals_of(part)
            if total is None:
                total = here
            else:
                total.add(here)
        assert total is not None  # there are parts
        return total

    def _tables(self) -> Iterator[pa.Table]:
        """All rows, whole batches at a time."""
        batch = self.ready.policy.batch
        for part in self.parts:
            with RowGroupReader(part) as file:
                for rows in file.batches(max(1, ROWS_IN_GROUP // batch) * batch):
                    table = pa.Table.from_batches([rows])
                    yield table.replace_schema_metadata(about(self.ready))


def totals_of(part: Path) -> Totals:
    """Totals that a part's metadata has.

    Raises:
        InputError: if there are none that can be read, or they are not those that were written.
    """
    with RowGroupReader(part) as file:
        try:
            said = file.metadata[TOTALS.encode()]
            return Totals.from_dict(parse_json(said, str(part), finite=False))
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"{part} has no totals that can be read: {reason_of(error)}"
            ) from error


def is_whole(part: Path) -> bool:
    """Whether a part is there, and all of it what was written: after a crash of the machine it may
    be cut off."""
    try:
        totals_of(part)
        with RowGroupReader(part) as file:
            for _ in file.batches(ROWS_IN_GROUP):
                pass
            return file.digests is not None
    except InputError:
        return False


class _Queue:
    """Inputs on their way through one machine. Adds to `totals` for how long it waits for them."""

    def __init__(self, ready: Plan, totals: Totals) -> None:
        self.policy, self.totals, machine = ready.policy, totals, ready.table.accelerator
        self.server = Server(self.policy.batch)
        self.pricing = ready.pricing
        busy_s = totals.busy_cycles / machine.frequency_hz
        self.source = Poisson(self.policy.load * totals.inputs / busy_s, self.policy.seed)

    def pass_through(self, table: pa.Table) -> pa.Table:
        """Rows with their waiting and idle energy added, the machine's queue kept from chunk to
        chunk."""
        if self.policy.arrivals == "recorded":
            arrivals = table[ARRIVAL].to_numpy()
            table = table.drop_columns([ARRIVAL])
        else:
            arrivals = self.source.take(len(table))
        queued = self.server.serve(arrivals, table["latency_s"].to_numpy())
        self.totals.idle_s += float(queued.idle.sum())
        if not self.policy.idle_gating:
            table = with_idle_power(table, queued.idle, self.pricing)
        return with_queue(table, queued)
