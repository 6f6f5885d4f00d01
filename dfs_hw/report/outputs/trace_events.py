"""A report's timelines for ui.perfetto.dev."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dfs_hw.report.report import EnergyReport
from dfs_hw.report.subject import Track


def as_trace_events(report: EnergyReport) -> str:
    """Timelines as Chrome trace events, each a process whose threads are the resources.

    What lies too close together to be drawn is one event; `dfs-hw timeline --perfetto` has all.
    """
    tracks = [
        (f"{subject.name}: {track.title}", track)
        for subject in report.subjects
        for track in subject.tracks
    ]
    events = [
        event
        for process, (name, track) in enumerate(tracks)
        for event in _events(process, name, track)
    ]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, separators=(",", ":"))


def _events(process: int, name: str, track: Track) -> Iterator[dict[str, Any]]:
    resources = list(dict.fromkeys(span.resource for span in track.spans))
    yield _named("process_name", process, 0, name)
    for thread, resource in enumerate(resources):
        yield _named("thread_name", process, thread, resource)
    for span in track.spans:
        yield {
            "ph": "X", "name": span.work, "pid": process, "tid": resources.index(span.resource),
            "ts": span.start * 1e6, "dur": (span.end - span.start) * 1e6,
        }  # fmt: skip


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
