"""Machines as tables on the terminal, and as plain dictionaries for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.sections import Fidelity
from accel_models.explain.data_sheet import DistinctWidths, OnChipBuffer, Peak, SpecSheet, Widths
from accel_models.explain.operators import Placed
from dfs_hw.cli.show.tables import line, new_table, si, terminal

NOTHING = "–"
GROUPS_SHOWN = 4
"""Levels that the list of machines names one by one."""


def machine_list(sheets: Sequence[SpecSheet]) -> None:
    """All machines, a line each: those on common ground, which are compared, and all others."""
    on_ground = [sheet for sheet in sheets if not sheet.off_ground]
    _machine_table("on common ground", on_ground)
    line("")
    _machine_table("on its own, as published", [sheet for sheet in sheets if sheet.off_ground])
    line("\ntold apart: widths, in bits, that differ in peak speed; a MAC is two operations")
    line("Next: dfs-hw accelerators NAME, or dfs-hw accelerators --compare")


def _machine_table(heading: str, sheets: Sequence[SpecSheet]) -> None:
    table = new_table(
        heading,
        "array",
        "weights\ntold apart",
        "activations\ntold apart",
        "peak at\n8 bits",
        "clock",
        "on chip",
        "area",
        text=("array", "weights\ntold apart", "activations\ntold apart"),
    )
    for sheet in sheets:
        table.add_row(
            sheet.name,
            sheet.shape,
            _short_levels(sheet.weights.speed),
            _short_levels(sheet.activations.speed),
            peak_text(sheet.peaks[8], gops_text),
            si(sheet.frequency_hz, "Hz"),
            kib(sheet.on_chip_bytes),
            area_text(sheet.total_area_mm2),
        )
    table.columns[0].no_wrap = True
    terminal().print(table)


def placements(found: Mapping[str, Sequence[Placed]]) -> None:
    """Operators down, machines across; those that run everything at the same place share a column,
    and what does not run is explained below."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, placed in found.items():
        alike.setdefault(tuple(one.where for one in placed), []).append(name)
    headings = ["\n".join(names) for names in alike.values()]
    table = new_table("operator", *headings, text=("operator", *headings))
    for row, one in enumerate(next(iter(found.values()))):
        table.add_row(one.operator, *(where[row] or NOTHING for where in alike))
    terminal().print(table)
    for name, placed in found.items():
        reasons = (one.why_not.partition(", which")[0] for one in placed if one.why_not)
        for why in dict.fromkeys(reasons):
            line(f"{name}: {why}")


def machine(sheet: SpecSheet) -> None:
    """One machine's data sheet."""
    line(f"{sheet.name}: {sheet.title}", bold=True)
    line(f"{sheet.paper}\n")
    line(_ground_text(sheet))
    _print_facts(sheet)
    _print_levels((sheet.weights, sheet.activations))
    _print_peaks(sheet)
    _print_components(sheet)
    _print_charged(sheet)
    _print_constants(sheet)
    if sheet.base is not None:
        line(f"\ndepartures from {sheet.base}", bold=True)
        print_reasons(sheet.departures)
        line(f"What each changes: dfs-hw accelerators {sheet.name} --departures")


def sheet_facts(sheet: SpecSheet, built: Accelerator) -> dict[str, Any]:
    """A data sheet as a dictionary, with every field of the machine's file."""
    peaks = {bits: _peak_facts(peak) for bits, peak in sheet.peaks.items()}
    facts = asdict(sheet) | {"peaks": peaks, "fields": built.model_dump(mode="json")}
    facts["buffers"] = {name: memory._asdict() for name, memory in sheet.buffers.items()}
    facts["constants"] = [constant._asdict() for constant in sheet.constants]
    return facts


def print_spaced(table: Table) -> None:
    """A table with a line of space before it."""
    line("")
    terminal().print(table)


def _print_facts(sheet: SpecSheet) -> None:
    table = new_table("machine", "", text=("",))
    table.show_header = False
    preset = f"preset {sheet.dram_preset}, " if sheet.dram_preset else ""
    if sheet.dram_device:
        preset = f"device {sheet.dram_device}, channels {sheet.dram_channels}, "
    table.add_row("array", f"{sheet.shape}, family {sheet.family}")
    table.add_row("clock", si(sheet.frequency_hz, "Hz"))
    table.add_row("process", f"{sheet.node_nm:g} nm at {sheet.volts:g} V")
    for name, memory in sheet.buffers.items():
        table.add_row(f"{name} buffer", _buffer_text(memory))
    table.add_row(
        "DRAM",
        f"{sheet.dram_gb_per_s:g} GB/s, {sheet.dram_pj_per_bit:g} pJ per bit, "
        f"{preset}latency {sheet.dram_latency_ns:g} ns, {_bursts(sheet.dram_burst_bytes)}",
    )
    terminal().print(table)


def _buffer_text(memory: OnChipBuffer) -> str:
    """What a buffer is, and how much of it is for the block that comes or leaves meanwhile."""
    used = "a single buffer, all of it in use"
    if memory.reserved_bytes:
        used = (
            f"{kib(memory.size_bytes - memory.reserved_bytes)} in use and "
            f"{kib(memory.reserved_bytes)} reserved for the next block"
        )
    return f"{kib(memory.size_bytes)} ({memory.banks} x {memory.word_bits} bits wide), {used}"


def _ground_text(sheet: SpecSheet) -> str:
    """Sentence that says which kind of machine it is."""
    if not sheet.off_ground:
        return "on common ground: compared with all other machines there"
    differs = ", ".join(
        f"{one.path} {value_text(one.here)} ({value_text(one.ground)})" for one in sheet.off_ground
    )
    return f"not on common ground, which has in brackets: {differs}"


def _print_levels(operands: Iterable[DistinctWidths]) -> None:
    columns = ("by peak speed", "by energy in the array", "by room in the buffer", "in DRAM")
    table = new_table("bits told apart", *[f"{column}" for column in columns])
    for column in table.columns:
        column.justify = "left"
    refused = []
    for levels in operands:
        groups = (levels.speed, levels.array_energy, levels.buffer, levels.dram)
        table.add_row(levels.operand, *map(levels_text, groups))
        if levels.refused:
            widths = " and ".join(map(str, levels.refused))
            refused.append(f"refused: {levels.operand} of {widths} bits ({levels.why_refused})")
    print_spaced(table)
    for reason in refused:
        line(reason)


def _print_peaks(sheet: SpecSheet) -> None:
    table = new_table("at full use", *[f"{bits_text(bits)}" for bits in sheet.peaks])
    for title, of in _PEAK_ROWS.items():
        table.add_row(title, *[peak_text(peak, of) for peak in sheet.peaks.values()])
    print_spaced(table)


def _print_components(sheet: SpecSheet) -> None:
    table = new_table("", *[f"{name}" for name in sheet.area_mm2], "total")
    area = [area_text(value or None) for value in sheet.area_mm2.values()]
    table.add_row("area", *area, area_text(sheet.total_area_mm2))
    leakage = [si(watts, "W") for watts in sheet.leakage_w.values()]
    table.add_row("leakage", *leakage, si(sheet.total_leakage_w, "W"))
    print_spaced(table)
    charged = "is charged" if sheet.static_power_charged else "is not charged"
    line(f"leakage {charged} for the time a network takes")
    if sheet.background_w:
        line(f"DRAM and its interface draw {si(sheet.background_w, 'W')} all that time")
    line(f"{si(sheet.peak_power_w, 'W')} with all units at work, DRAM included")


def _print_charged(sheet: SpecSheet) -> None:
    table = new_table("what is charged", "setting", "by default", text=("setting", "by default"))
    usual = Fidelity().model_dump()
    for name, value in sheet.charged.items():
        other = "" if value == usual[name] else value_text(usual[name])
        table.add_row(name.replace("_", " "), value_text(value), other)
    print_spaced(table)


def _print_constants(sheet: SpecSheet) -> None:
    table = new_table("constant", "value", "range", "status", "source", text=("status", "source"))
    before = ""
    for constant in sheet.constants:
        table.add_row(
            constant.name,
            f"{value_text(constant.value)} {constant.unit}".rstrip(),
            "" if constant.low is None else f"{constant.low:g} to {constant.high:g}",
            constant.status,
            "as above" if constant.source == before else constant.source,
        )
        before = constant.source
    print_spaced(table)


def print_reasons(reasons: Iterable[tuple[str, str]]) -> None:
    """Print numbered changes with their reasons."""
    table = new_table("", "change", "why", text=("change", "why"))
    table.show_header = False
    for number, (title, why) in enumerate(reasons, start=1):
        table.add_row(f"{number}.", title, why)
    terminal().print(table)


def _peak_facts(peak: Peak | None) -> dict[str, float] | None:
    if peak is None:
        return None
    return asdict(peak) | {"gops": peak.gops, "array_w": peak.array_w}


def levels_text(groups: Sequence[Widths]) -> str:
    """``each of 1–16``, ``1–2 | 3–4 | 5–8`` or, where all are alike, ``1–8 alike``."""
    if len(groups) == 1:
        (only,) = groups
        return f"{only} alike" if only.low < only.high else str(only)
    parts: list[str] = []
    singles: list[int] = []
    for group in [*groups, None]:
        if group is not None and group.low == group.high:
            singles.append(group.low)
            continue
        if len(singles) > 2:
            parts.append(f"each of {singles[0]}–{singles[-1]}")
        else:
            parts += map(str, singles)
        singles = []
        if group is not None:
            parts.append(str(group))
    return " | ".join(parts)


def _short_levels(groups: Sequence[Widths]) -> str:
    text = levels_text(groups).replace(" | ", "|")
    if len(groups) <= GROUPS_SHOWN or "|" not in text:
        return text
    return f"{len(groups)} levels of {groups[0].low}–{groups[-1].high}"


def value_text(value: Any) -> str:
    """Value of a machine's field as a table shows it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int | float):
        return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"
    return str(value)


def kib(size_bytes: int) -> str:
    """Size in KiB."""
    return f"{size_bytes / 1024:,g} KiB"


def _bursts(size: int) -> str:
    return f"bursts of {size} bytes" if size else "transfers of any size"


def area_text(mm2: float | None) -> str:
    """Area in mm², or a dash where it is not known."""
    return NOTHING if mm2 is None else f"{mm2:.3g} mm²"


def bits_text(bits: int) -> str:
    """Number of bits with its unit."""
    return f"{bits} bit" + ("s" if bits > 1 else "")


def peak_text(peak: Peak | None, of: Callable[[Peak], str]) -> str:
    """Figure of a peak, or a dash where the machine has none."""
    return NOTHING if peak is None else of(peak)


def gops_text(peak: Peak) -> str:
    """Peak throughput in operations per second."""
    return si(peak.gops * 1e9, "OPS")


_PEAK_ROWS: dict[str, Callable[[Peak], str]] = {
    "MACs per cycle": lambda peak: f"{peak.macs_per_cycle:,.6g}",
    "MACs per second": lambda peak: si(peak.macs_per_s, ""),
    "operations per second": gops_text,
    "power of the array": lambda peak: si(peak.array_w, "W"),
    "energy of a MAC in the array": lambda peak: si(peak.array_pj_per_mac * 1e-12, "J"),
}
