"""Timelines as Chrome trace events: open the file in ui.perfetto.dev or chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accel_models.errors import InputError
from accel_models.files import whole_file
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.reference_machine.events.timeline import LayerSpan, Timeline


def write_perfetto(
    path: str | Path,
    timelines: Mapping[str, Timeline],
    *,
    window_s: tuple[float, float] | None = None,
) -> None:
    """Write timelines, each as a process of its own whose threads are the resources.

    Args:
        path: of the JSON file.
        timelines: drawn ones, by the name they are shown under.
        window_s: keep only what happens between these times, in s from each timeline's beginning.

    Raises:
        InputError: if a timeline was not drawn, the window is empty, or the file cannot be written.
    """
    if window_s is not None and not 0 <= window_s[0] < window_s[1] < np.inf:
        start, end = window_s
        raise InputError(
            f"a window begins at 0 or later and ends after that, got {start:g} to {end:g} s"
        )
    events = [
        event
        for process, (name, timeline) in enumerate(timelines.items())
        for event in _process(process, name, timeline, window_s)
    ]
    content = {"traceEvents": events, "displayTimeUnit": "ns"}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _process(
    process: int, name: str, timeline: Timeline, window_s: tuple[float, float] | None
) -> Iterator[dict[str, Any]]:
    if timeline.spans and len(timeline.events) == 0:
        raise InputError(f"the timeline '{name}' was not drawn")
    code, hertz = slots(), timeline.table.accelerator.frequency_hz
    threads = ("layers", *code.RESOURCES)
    yield _named("process_name", process, 0, name)
    for thread, title in enumerate(threads):
        yield _named("thread_name", process, thread, title)
        yield {
            "ph": "M", "name": "thread_sort_index", "pid": process, "tid": thread,
            "args": {"sort_index": thread},
        }  # fmt: skip
    low, high = window_s or (0.0, np.inf)
    spans = timeline.spans
    for span in spans:
        if span.end / hertz > low and span.start / hertz < high:
            yield _complete(process, 0, span.run.layer.name, span.start, span.end, hertz) | {
                "args": _about(span)
            }
    events = timeline.events
    events = events[(events[:, code.END] / hertz > low) & (events[:, code.START] / hertz < high)]
    for resource, kind, start, end, bits, tile, number in events.tolist():
        args: dict[str, Any] = {"layer": spans[number].run.layer.name, "tile": tile}
        if bits:
            args["bits"] = bits
        kind_name = code.KINDS[kind]
        yield _complete(process, resource + 1, kind_name, start, end, hertz) | {"args": args}


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _complete(
    process: int, thread: int, name: str, start: int, end: int, hertz: float
) -> dict[str, Any]:
    """An event with a beginning and a duration, in µs."""
    scale = 1e6 / hertz
    return {
        "ph": "X", "name": name, "pid": process, "tid": thread,
        "ts": start * scale, "dur": (end - start) * scale,
    }  # fmt: skip


def _about(span: LayerSpan) -> dict[str, Any]:
    return {
        "unit": span.run.layer.unit,
        "precision": str(span.run.precision),
        "inputs": span.run.inputs,
        "cycles": span.end - span.start,
        "spared_cycles": span.spared,
        "tiles": span.run.tiles,
    }
