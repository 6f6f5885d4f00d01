"""Machines side by side on the terminal, step by step from one to the other, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import floor, log10
from typing import Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.ground import ground_sentence
from accel_models.explain.comparison import MachineComparison, Performance
from accel_models.explain.data_sheet import SpecSheet
from accel_models.explain.departures import DepartureEffect
from dfs_hw.cli.show.machines import (
    NOTHING,
    area_text,
    bits_text,
    gops_text,
    kib,
    levels_text,
    peak_text,
    print_reasons,
    print_spaced,
    sheet_facts,
    value_text,
)
from dfs_hw.cli.show.tables import line, new_table, si, terminal


def comparison(compared: MachineComparison) -> None:
    """Machines side by side."""
    sheets = compared.sheets
    names = [sheet.name for sheet in sheets]
    table = new_table("", *names, text=names)
    for title, value in _ROWS.items():
        table.add_row(title, *[value(sheet) for sheet in sheets])
    terminal().print(table)
    runs = new_table(f"{compared.network}", "bits", *[f"{name}" for name in names])
    for title, (of, unit) in _RUN_ROWS.items():
        for bits, row in compared.runs.items():
            runs.add_row(title, bits, *_beside_first(row, of, unit))
            title = ""
    for bits, row in compared.runs.items():
        runs.add_row("logic, SRAM, DRAM, leakage", bits, *map(_shares, row))
    print_spaced(runs)
    fields = new_table("fields that differ", *[f"{name}" for name in names])
    for path, values in compared.differences.items():
        fields.add_row(path, *map(value_text, values))
    print_spaced(fields)
    for note in notes(sheets):
        line(note)


def departures(effects: Sequence[DepartureEffect], network: str, bits: Sequence[int]) -> None:
    """What each departure of a machine from its base does to a network."""
    name, ratio = effects[-1].step.machine.name, f"{bits[-1]} / {bits[0]} bits"
    table = new_table(
        f"{network} on\n{name}, step by step",
        *[f"cycles\n{bits_text(b)}" for b in bits],
        *[f"energy µJ\n{bits_text(b)}" for b in bits],
        f"cycles\n{ratio}",
        f"energy\n{ratio}",
        text=("",),
    )
    lowest = min(run.energy_j * 1e6 for effect in effects for run in effect.runs)
    digits = max(1, 2 - floor(log10(lowest)))
    for number, effect in enumerate(effects):
        first, last = effect.runs[0], effect.runs[-1]
        table.add_row(
            f"{number}. {effect.step.title}",
            *[f"{run.cycles:,}" for run in effect.runs],
            *[f"{run.energy_j * 1e6:.{digits}f}" for run in effect.runs],
            f"{last.cycles / first.cycles:.2f}",
            f"{last.energy_j / first.energy_j:.2f}",
        )
    terminal().print(table)
    line("\nwhy", bold=True)
    print_reasons([(effect.step.title, effect.step.why) for effect in effects[1:]])


def notes(sheets: Sequence[SpecSheet]) -> list[str]:
    """What to bear in mind when reading these machines side by side."""
    found = [kind_of(sheets)]
    if len({(sheet.dram_pj_per_bit, sheet.dram_gb_per_s) for sheet in sheets}) > 1:
        found.append("DRAM is not the same: energy and latency compare memories, too.")
    if len({sheet.node_nm for sheet in sheets}) > 1:
        found.append("Processes are not the same: energy and area compare nodes, too.")
    if len({sheet.static_power_charged for sheet in sheets}) > 1:
        found.append("Leakage is charged on some of these machines only.")
    for sheet in sheets:
        values = {constant.name: constant for constant in sheet.constants}
        if values["energy.sram_scale"].value == 0:
            found.append(f"Buffers of {sheet.name}: {values['energy.sram_scale'].source}.")
        area = values.get("array.stated.area_um2_per_unit")
        if area is not None:
            found.append(f"Area of {sheet.name}: {area.source}.")
    return found


def kind_of(sheets: Sequence[SpecSheet]) -> str:
    """Sentence that says which kind of machine a table shows."""
    return ground_sentence({sheet.name: not sheet.off_ground for sheet in sheets})


def comparison_facts(compared: MachineComparison, built: Sequence[Accelerator]) -> dict[str, Any]:
    """Machines side by side, as plain data for JSON."""
    names = [sheet.name for sheet in compared.sheets]
    pairs = zip(compared.sheets, built, strict=True)
    return {
        "network": compared.network,
        "machines": [sheet_facts(sheet, machine) for sheet, machine in pairs],
        "runs": {
            bits: {
                name: None if run is None else _run_facts(run)
                for name, run in zip(names, row, strict=True)
            }
            for bits, row in compared.runs.items()
        },
        "differences": {
            path: dict(zip(names, values, strict=True))
            for path, values in compared.differences.items()
        },
        "notes": notes(compared.sheets),
    }


def departure_facts(
    effects: Sequence[DepartureEffect], network: str, bits: Sequence[int]
) -> dict[str, Any]:
    """What each step from one machine to another changes, as plain data for JSON."""

    def facts(effect: DepartureEffect) -> dict[str, Any]:
        runs = {
            str(width): {
                "cycles": run.cycles,
                "latency_s": run.latency_s,
                "energy_j": run.energy_j,
            }
            for width, run in zip(bits, effect.runs, strict=True)
        }
        return {"title": effect.step.title, "why": effect.step.why, "runs": runs}

    return {
        "network": network,
        "machine": effects[-1].step.machine.name,
        "steps": [facts(effect) for effect in effects],
    }


def _run_facts(run: Performance) -> dict[str, Any]:
    split = {"dynamic_j": run.split.dynamic_j, "static_j": run.split.static_j}
    return asdict(run) | {"split": asdict(run.split) | split}


def _shares(run: Performance | None) -> str:
    """How energy splits, in percent."""
    if run is None:
        return NOTHING
    return ", ".join(f"{share:.0%}" for share in run.split.shares().values())


_RUN_ROWS: dict[str, tuple[Callable[[Performance], float | None], str]] = {
    "energy": (lambda run: run.energy_j, "J"),
    "of it dynamic": (lambda run: run.split.dynamic_j, "J"),
    "leakage and DRAM background": (lambda run: run.split.static_j, "J"),
    "latency": (lambda run: run.latency_s, "s"),
    "mean power": (lambda run: run.efficiency.mean_power_w, "W"),
    "TOPS/W": (lambda run: run.efficiency.tops_per_w, ""),
    "inputs per J": (lambda run: run.efficiency.inputs_per_j, ""),
    "inputs per s and mm²": (lambda run: run.inputs_per_s_mm2, ""),
    "occupancy": (lambda run: run.occupancy, "%"),
}


def _beside_first(
    row: Sequence[Performance | None], of: Callable[[Performance], float | None], unit: str
) -> list[str]:
    """Values of a row, and how many times the first machine's they are."""
    values = [None if run is None else of(run) for run in row]
    first = values[0]
    texts: list[str] = []
    for value in values:
        text = _amount(value, unit)
        if value is not None and first is not None and len(texts) > 0:
            text += f"  {value / first:5.2f}x"
        texts.append(text)
    return texts


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    return f"{value:.0%}" if unit == "%" else si(value, unit)


def _peak_at(bits: int) -> Callable[[SpecSheet], str]:
    return lambda sheet: peak_text(sheet.peaks[bits], gops_text)


def _density(sheet: SpecSheet) -> str:
    area, peak = sheet.total_area_mm2, sheet.peaks[8]
    return NOTHING if area is None or peak is None else si(peak.gops * 1e9 / area, "OPS")


_ROWS: dict[str, Callable[[SpecSheet], str]] = {
    "array": lambda sheet: f"{sheet.shape}, {sheet.family}",
    "clock": lambda sheet: si(sheet.frequency_hz, "Hz"),
    "process": lambda sheet: f"{sheet.node_nm:g} nm at {sheet.volts:g} V",
    "on chip": lambda sheet: kib(sheet.on_chip_bytes),
    "DRAM": lambda s: f"{s.dram_gb_per_s:g} GB/s, {s.dram_pj_per_bit:g} pJ per bit",
    "weights told apart": lambda sheet: levels_text(sheet.weights.speed),
    "activations told apart": lambda sheet: levels_text(sheet.activations.speed),
    "peak at 16 bits": _peak_at(16),
    "peak at 8 bits": _peak_at(8),
    "peak at 4 bits": _peak_at(4),
    "peak at 2 bits": _peak_at(2),
    "peak at 1 bit": _peak_at(1),
    "area": lambda sheet: area_text(sheet.total_area_mm2),
    "peak at 8 bits per mm²": _density,
    "array at 8 bits": lambda sheet: peak_text(sheet.peaks[8], lambda peak: si(peak.array_w, "W")),
    "peak power": lambda sheet: si(sheet.peak_power_w, "W"),
    "leakage": lambda sheet: (
        si(sheet.total_leakage_w, "W") + ("" if sheet.static_power_charged else ", not charged")
    ),
}
