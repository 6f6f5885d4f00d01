"""Widths of layers by name as files: TOML of ``pattern = precision``, CSV of one a row, or JSON.

::

    "*" = 8                      # the last match wins
    "block*.conv1" = "4/8"       # weights/activations
    classifier = 8

Names with dots or wildcards stand in quotes, as TOML has it. A CSV has the columns ``name`` and
``precision``, or ``name``, ``weight_bits`` and ``activation_bits``.

JSON is a table of ``"pattern": precision``, where a precision may also be
``{"weight_bits": 4, "activation_bits": 8}`` or ``{"w": 4, "a": 8}``; or what another tool wrote:
a `quantization_config`, or a list in the order of layers (`widths_in_order`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_models.documents import CLOSED, read_json, read_toml, typed
from accel_models.errors import InputError, listed, quoted
from accel_models.files import whole_file
from accel_models.precision import Precision
from accel_models.workloads.csv_rows import check_columns, read_rows, whole_number
from accel_models.workloads.quantization_config import QuantizationConfig, states_bits
from accel_models.workloads.widths import WidthPolicy
from accel_models.workloads.widths_in_order import WidthsInOrder

NAME, PRECISION = "name", "precision"
BITS = ("weight_bits", "activation_bits")
KINDS = (".toml", ".csv", ".json")
SHORT = dict(zip(("w", "a"), BITS, strict=True))
CONFIG = "quantization_config"
OF_MODELS = ("architectures", "model_type")
"""Fields of a checkpoint's ``config.json``, whether or not it is quantised."""


@dataclass(frozen=True)
class _Operands:
    __pydantic_config__ = CLOSED

    weight_bits: int
    activation_bits: int


def read_widths(path: str | Path) -> WidthPolicy:
    """Read precisions by name or pattern, in the order of the file: of several matches, the last
    one wins. Of what another tool wrote as JSON, the rules that give them.

    Raises:
        InputError: if the file is missing, of another kind, malformed, or names a pattern twice:
            names the entry or line.
    """
    path = Path(path)
    kind = _kind(path)
    read = {".toml": _read_toml, ".csv": _read_csv, ".json": _read_json}[kind]
    found = read(path)
    if not found:
        raise InputError(f"{path} gives no layer a width")
    return found


def write_widths(policy: Mapping[str, Any], path: str | Path) -> None:
    """Write precisions by name or pattern, in their order, as a file that `read_widths` reads.

    Raises:
        InputError: if the file is of another kind or cannot be written, a precision is malformed,
            or a name is empty or has blanks at an end.
    """
    path = Path(path)
    kind = _kind(path)
    precisions = {key: Precision.parse(value) for key, value in policy.items()}
    for key in precisions:
        if not key or key != key.strip():
            raise InputError(f"{path}: '{key}' is no name: it is empty or has blanks at an end")
    text = {".toml": _toml, ".csv": _csv, ".json": _json}[kind](precisions)
    with whole_file(path) as partial:
        partial.write_bytes(text.encode())


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise InputError(f"{path}: widths by name are a file that ends in {listed(KINDS)}")
    return kind


def _read_toml(path: Path) -> dict[str, Precision]:
    found = {}
    for key, value in read_toml(path).items():
        if isinstance(value, dict):
            raise InputError(
                f"{path}: '{key}' is a table: a name with dots stands in quotes, such as "
                f'"{key}.{next(iter(value), "*")}" = 8'
            )
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise InputError(f"{path}: '{key}' is 8 or \"4/8\", got {quoted(value)}")
        found[key] = _parsed(value, f"{path}: '{key}'")
    return found


def _read_json(path: Path) -> WidthPolicy:
    data, where = read_json(path), str(path)
    if isinstance(data, list):
        return WidthsInOrder.parse(data, where) if data else {}
    if not isinstance(data, dict):
        raise InputError(
            f"{where} must be a table of widths by name, or a list, got {quoted(data)}"
        )
    if isinstance(table := data.get(CONFIG), dict):
        return QuantizationConfig.parse(table, f"{where}: {CONFIG}")
    if states_bits(data):
        return QuantizationConfig.parse(data, where)
    if any(field in data for field in OF_MODELS):
        raise InputError(f"{where} is the configuration of a model without {CONFIG}")
    return {key: _of_value(value, f"{where}: '{key}'") for key, value in data.items()}


def _of_value(value: Any, where: str) -> Precision:
    if isinstance(value, dict):
        named = {SHORT.get(name, name): bits for name, bits in value.items()}
        if len(named) < len(value):
            raise InputError(f"{where} states bits of one operand twice, got {quoted(value)}")
        operands = typed(_Operands, named, where)
        value = f"{operands.weight_bits}/{operands.activation_bits}"
    elif isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(
            f'{where} is 8, "4/8" or {{"weight_bits": 4, "activation_bits": 8}}, '
            f"got {quoted(value)}"
        )
    return _parsed(value, where)


def _read_csv(path: Path) -> dict[str, Precision]:
    names, rows = read_rows(path)
    wanted = (NAME, PRECISION) if PRECISION in names else (NAME, *BITS)
    if not set(names) & {PRECISION, *BITS}:
        wanted = (NAME, PRECISION)
    check_columns(path, names, (NAME, PRECISION, *BITS))
    if PRECISION in names and set(BITS) & set(names):
        raise InputError(f"{path} states widths twice: as precision, and as bits of operands")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    found: dict[str, Precision] = {}
    for row in rows:
        where = f"{path}: line {row.line}"
        if any(row.cells[len(names) :]):
            raise InputError(f"{where} has {len(row.cells)} values in {len(names)} columns")
        cells = {name: cell for name, cell in zip(names, row.cells, strict=False) if cell}
        for name in wanted:
            if name not in cells:
                raise InputError(f"{where}: {name} is missing")
        if cells[NAME] in found:
            raise InputError(f"{where} names '{cells[NAME]}' again")
        found[cells[NAME]] = _of_row(cells, where)
    return found


def _of_row(cells: Mapping[str, str], where: str) -> Precision:
    if PRECISION in cells:
        return _parsed(cells[PRECISION], where)
    try:
        weight, activation = (whole_number(name, cells[name], least=1) for name in BITS)
        return Precision(weight, activation)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _parsed(value: str | int, where: str) -> Precision:
    try:
        return Precision.parse(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _toml(precisions: Mapping[str, Precision]) -> str:
    lines = []
    for key, precision in precisions.items():
        quoted = json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")
        word = str(precision)
        lines.append(f"{quoted} = {word if word.isdecimal() else json.dumps(word)}\n")
    return "".join(lines)


def _json(precisions: Mapping[str, Precision]) -> str:
    words = {key: str(precision) for key, precision in precisions.items()}
    table = {key: int(word) if word.isdecimal() else word for key, word in words.items()}
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


def _csv(precisions: Mapping[str, Precision]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((NAME, PRECISION))
    table.writerows((key, str(precision)) for key, precision in precisions.items())
    return text.getvalue()
