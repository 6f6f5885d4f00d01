"""A table of published results, recomputed row by row.

Each row of the table states a layer, a machine configuration and the counters that the published
Bit Fusion simulator gave for it. Integers must be equal, energies agree to 1e-9.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.pricing import Pricing
from accel_models.errors import InfeasibleError, InputError
from accel_models.files import read_bytes
from accel_models.mapping.problem import ACTIONS, Problem
from accel_models.mapping.problem_of import Tensors, problem_of
from accel_models.mapping.search import search
from accel_models.precision import Precision
from accel_models.workloads.workload import Ends, Layer

LAYER_COLUMNS = ("K", "O", "S", "IC", "OC", "batch", "iprec", "wprec", "im2col")
MACHINE_COLUMNS = {
    "N": "array__rows",
    "M": "array__columns",
    "pmax": "array__max_bits",
    "pmin": "array__min_bits",
    "bw_bits_per_cycle": "dram__bits_per_cycle",
    "wbuf_bytes": "buffers__weight_bytes",
    "ibuf_bytes": "buffers__input_bytes",
    "obuf_bytes": "buffers__output_bytes",
    "freq_hz": "frequency_hz",
}
COUNTER_COLUMNS = {
    "wbuf_read_bits": "weight_buffer_read_bits",
    "wbuf_write_bits": "weight_buffer_write_bits",
    "obuf_read_bits": "output_buffer_read_bits",
    "obuf_write_bits": "output_buffer_write_bits",
    "ibuf_read_bits": "input_buffer_read_bits",
    "ibuf_write_bits": "input_buffer_write_bits",
    "dram_read_bits": "dram_read_bits",
    "dram_write_bits": "dram_write_bits",
}
ENERGY_COLUMNS = (
    "e_core_pJ_per_cycle",
    "e_wbuf_rd_pJ_per_bit",
    "e_wbuf_wr_pJ_per_bit",
    "e_ibuf_rd_pJ_per_bit",
    "e_ibuf_wr_pJ_per_bit",
    "e_obuf_rd_pJ_per_bit",
    "e_obuf_wr_pJ_per_bit",
    "e_dram_pJ_per_bit",
)
"""Energy constants a row may state, in the order of the actions; DRAM stands for both ways."""
PRICED_ACTIONS = ("array_cycles", *(action for action in ACTIONS if action.endswith("bits")))
"""What the published tool charges, in the order of `ENERGY_COLUMNS`, DRAM twice."""
ENERGY_PARTS = {
    "core": "array",
    "wbuf": "weight",
    "ibuf": "input",
    "obuf": "output",
    "dram": "dram",
}
RELATIVE_TOLERANCE = 1e-9
LARGEST_WHOLE = 2**53
"""Whole number that a cell can have, at most: beyond it, not every one is a float."""

PUBLISHED = Path(__file__).parent / "data" / "bitfusion_published.csv"
"""The 305 results released with the Bit Fusion simulator."""


@dataclass(frozen=True)
class Mismatch:
    """One cell that differs; `published` and `computed` are numbers, or sentences on failures."""

    row: str
    column: str
    published: str
    computed: str

    @property
    def off_by(self) -> str:
        """The relative difference, where both are numbers."""
        try:
            published, computed = float(self.published), float(self.computed)
        except ValueError:
            return ""
        return f"{(computed - published) / published:+.3g} relative" if published else ""


@dataclass(frozen=True)
class TableValidation:
    """Outcome for a table: rows in all, mismatching cells, and the rows rightly rejected."""

    rows: int
    mismatches: tuple[Mismatch, ...]
    rejected: Mapping[str, str]
    """Why each row that the published tool rejects is rejected here, by row."""
    borrowed_energy: int
    """Rows whose machine has banks or elements without figures here: the row's own were used."""

    @property
    def exact(self) -> int:
        return self.rows - len({mismatch.row for mismatch in self.mismatches})

    @property
    def all_exact(self) -> bool:
        return self.exact == self.rows


def validate_table(path: str | Path, machine: str = "bitfusion-published") -> TableValidation:
    """Recompute every row of a CSV with the columns of the published results.

    Raises:
        InputError: if the file is missing or malformed: names the row and the column.
    """
    base = load_accelerator(machine)
    mismatches: list[Mismatch] = []
    rejected: dict[str, str] = {}
    rows = borrowed = 0
    for name, row in read_rows(path):
        rows += 1
        outcome = _check_row(name, row, base)
        mismatches += outcome.mismatches
        borrowed += outcome.borrowed_energy
        if outcome.rejection and not outcome.mismatches:
            rejected[name] = outcome.rejection
    return TableValidation(rows, tuple(mismatches), rejected, borrowed)


@dataclass(frozen=True)
class _Row:
    mismatches: list[Mismatch]
    rejection: str = ""
    borrowed_energy: bool = False


def _check_row(name: str, row: Mapping[str, str], base: Accelerator) -> _Row:
    expects_ok = row.get("status", "ok") == "ok"
    try:
        computed, borrowed = _compute(name, row, base)
    except InfeasibleError as error:
        if expects_ok:
            return _Row([Mismatch(name, "status", "ok", str(error))])
        return _Row([], rejection=str(error))
    if not expects_ok:
        return _Row([Mismatch(name, "status", row["status"], "ok")])
    wrong = [
        Mismatch(name, column, row[column], repr(value))
        for column, value in computed.items()
        if column in row and not _equal(name, row, column, value)
    ]
    return _Row(wrong, borrowed_energy=borrowed)


def _compute(
    name: str, row: Mapping[str, str], base: Accelerator
) -> tuple[dict[str, int | float], bool]:
    """Every column this model can compute for a row, and whether its energies are the row's."""
    task, prices, borrowed = row_problem(name, row, base)
    found = search(task, prices)
    counts = dict(zip(ACTIONS, found.counts.tolist(), strict=True))
    stated = dict(zip(PRICED_ACTIONS, _stated_order(prices), strict=True))
    nj = {action: counts[action] * pj * 1e-3 for action, pj in stated.items()}
    parts = {
        part: math.fsum(nj[action] for action in nj if action.startswith(prefix))
        for part, prefix in ENERGY_PARTS.items()
    }
    sram = math.fsum(parts[part] for part in ("wbuf", "ibuf", "obuf"))
    return {
        "cycles": found.cycles,
        "mem_wait_cycles": found.stall_cycles,
        "compute_cycles": found.compute_cycles,
        **{column: counts[action] for column, action in COUNTER_COLUMNS.items()},
        **dict(zip(ENERGY_COLUMNS, stated.values(), strict=False)),
        "energy_total_nJ": math.fsum(nj.values()),
        "energy_sram_nJ": sram,
        **{f"energy_{part}_nJ": value for part, value in parts.items()},
    }, borrowed


def _stated_order(prices: Sequence[float]) -> list[float]:
    """Prices that the published tool charges, of those of all actions."""
    by_action = dict(zip(ACTIONS, prices, strict=True))
    return [by_action[action] for action in PRICED_ACTIONS]


def row_problem(
    name: str, row: Mapping[str, str], base: Accelerator
) -> tuple[Problem, tuple[float, ...], bool]:
    """The mapping problem of a row, the energies of its machine in pJ per action, and whether
    those are the row's own, for want of figures here.

    Raises:
        InfeasibleError: if the machine cannot multiply at the row's precision, or cannot be built.
    """
    size = {column: _integer(name, row, column) for column in LAYER_COLUMNS}
    changes = _machine_changes(name, row)
    try:
        machine = base.configured(**changes)
        layer, widths = _layer(row.get("layer") or name, size)
    except InputError as error:  # the numbers are numbers, but no such thing can be
        raise InfeasibleError(str(error)) from error
    tensors = Tensors(Ends(), machine.storage.stream_bits)
    task = problem_of(layer, widths, tensors, size["batch"], machine, widths=widths)
    try:
        return task, Pricing(machine).action_pj, False
    except InputError as error:
        return task, _stated_energies(name, row, error), True


def _equal(name: str, row: Mapping[str, str], column: str, value: int | float) -> bool:
    published = _number(name, row, column)
    if isinstance(value, int):
        return published == value
    return math.isclose(published, value, rel_tol=RELATIVE_TOLERANCE, abs_tol=0.0)


def row_layer(name: str, row: Mapping[str, str]) -> tuple[Layer, Precision]:
    """Layer of a row and the widths it computes at.

    Raises:
        InputError: if its numbers make no layer.
    """
    return _layer(name, {column: _integer(name, row, column) for column in LAYER_COLUMNS})


def _layer(name: str, size: Mapping[str, int]) -> tuple[Layer, Precision]:
    if size["batch"] < 1:
        raise InputError(f"batch must be at least 1, got {size['batch']}")
    layer = Layer(
        name=name,
        in_channels=size["IC"],
        out_channels=size["OC"],
        kernel=(size["K"], size["K"]),
        out_size=(size["O"], size["O"]),
        stride=(size["S"], size["S"]),
        reads_image=bool(size["im2col"]),
    )
    return layer, Precision(size["wprec"], size["iprec"])


def _machine_changes(name: str, row: Mapping[str, str]) -> dict[str, int | float]:
    changes: dict[str, int | float] = {
        field: _integer(name, row, column) for column, field in MACHINE_COLUMNS.items()
    }
    changes["array__widest_bits"] = changes["array__max_bits"]
    if row.get("e_dram_pJ_per_bit"):
        changes["dram__pj_per_bit"] = _number(name, row, "e_dram_pJ_per_bit")
    return changes


def _stated_energies(name: str, row: Mapping[str, str], unknown: InputError) -> tuple[float, ...]:
    if not all(row.get(column) for column in ENERGY_COLUMNS):
        raise InfeasibleError(str(unknown)) from unknown
    stated = [_number(name, row, column) for column in ENERGY_COLUMNS]
    by_action = dict(zip(PRICED_ACTIONS, [*stated, stated[-1]], strict=True))
    return tuple(by_action.get(action, 0.0) for action in ACTIONS)


def read_rows(path: str | Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Name, and cells by column, of every row of a table of published results.

    Raises:
        InputError: if the file is missing or malformed.
    """
    try:
        text = read_bytes(path).decode()
        reader = csv.DictReader(io.StringIO(text, newline=""))
        _check_columns(path, reader.fieldnames or [])
        number = 0
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                raise InputError(f"{path}: line {reader.line_num} has too many or too few cells")
            yield row.get("id") or f"row {number}", row
        if number == 0:
            raise InputError(f"{path} has no rows")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error


def _check_columns(path: str | Path, present: Sequence[str]) -> None:
    wanted = [*LAYER_COLUMNS, *MACHINE_COLUMNS, "cycles", *COUNTER_COLUMNS, "energy_total_nJ"]
    missing = [column for column in wanted if column not in present]
    if missing:
        raise InputError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")


def _integer(name: str, row: Mapping[str, str], column: str) -> int:
    value = _number(name, row, column)
    if value != int(value) or abs(value) > LARGEST_WHOLE:
        raise InputError(
            f"{name}: {column} must be a whole number of up to 2**53, got '{row[column]}'"
        )
    return int(value)


def _number(name: str, row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{name}: {column} must be a number, got '{row[column]}'")
    return value
