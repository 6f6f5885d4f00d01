"""Timelines as a table on the terminal, and as plain dictionaries for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accel_models.reference_machine.check import why_apart
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.reference_machine.events.timeline import Timeline
from dfs_hw.cli.show.tables import line, new_table, si, terminal


def timeline_facts(timeline: Timeline) -> dict[str, Any]:
    """Totals of one timeline, how busy its resources were, and its layers."""
    hertz = timeline.table.accelerator.frequency_hz
    return {
        "choices": [str(timeline.table.choices[index]) for index in timeline.choices[0]],
        "cycles": timeline.cycles,
        "latency_s": timeline.latency_s,
        "energy_j": timeline.energy_j,
        "tiles": timeline.tiles,
        "dram_bits": timeline.moved,
        "busy": busy(timeline),
        "layers": [
            {
                "layer": span.run.layer.name,
                "precision": str(span.run.precision),
                "start_s": span.start / hertz,
                "end_s": span.end / hertz,
                "spared_cycles": span.spared,
                "switching_cycles": span.switching,
            }
            for span in timeline.spans
        ],
    }


def busy(timeline: Timeline) -> dict[str, float]:
    """Share of the time that each resource works; waiting for DRAM to answer is not work."""
    code, events = slots(), timeline.events
    works = ~(events[:, code.KIND] == code.LATENCY)
    lasting, cycles = events[:, code.END] - events[:, code.START], max(1, timeline.cycles)
    return {
        name: float(lasting[works & (events[:, code.RESOURCE] == number)].sum() / cycles)
        for number, name in enumerate(code.RESOURCES)
    }


def timelines(shown: Mapping[str, Timeline], off_by: int, computed: str) -> None:
    """Timelines side by side, and by how many cycles what was `computed` without them is off."""
    code = slots()
    table = new_table(
        "input", "energy", "latency", "tiles", *(f"{r}\nbusy" for r in code.RESOURCES)
    )
    for title, timeline in shown.items():
        shares = [f"{share:.0%}" for share in busy(timeline).values()]
        amounts = (si(timeline.energy_j, "J"), si(timeline.latency_s, "s"))
        table.add_row(title, *amounts, f"{timeline.tiles:,}", *shares)
    terminal().print(table)
    reason = why_apart(next(iter(shown.values())).table.accelerator)
    line(f"{computed} is off by {off_by} cycles" + (f": {reason}." if reason else "."))
