"""Single inputs through the machine, as far as can be drawn."""

from __future__ import annotations

from collections.abc import Iterator

from accel_models.errors import InputError
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.reference_machine.events.picture import COLORS, joined
from accel_models.reference_machine.events.timeline import Player, Timeline
from accel_models.replay import Replay
from dfs_hw.report.measured.input_spread import extremes
from dfs_hw.report.subject import Track, TrackSpan

FINEST = 1 / 1500
"""Share of the longest input below which gaps are not drawn."""


def tracks_of_replay(outcome: Replay) -> tuple[Track, ...]:
    """The cheapest and the dearest input; none if they have more tiles than can be played."""
    (cheap,), (dear,) = extremes(outcome.energy_j, 1)
    player = Player(outcome.table, outcome.policy)
    try:
        return tuple(
            track(f"{name} input", player.play(outcome.trace.choices[row], draw=True))
            for name, row in (("cheapest", cheap), ("dearest", dear))
        )
    except InputError:
        return ()


def track(title: str, played: Timeline) -> Track:
    """A drawn timeline as spans in s."""
    spans = tuple(_layers(played)) + tuple(_events(played))
    return Track(title, played.energy_j, played.latency_s, spans)


def _layers(played: Timeline) -> Iterator[TrackSpan]:
    """Layers one after the other, neighbours told apart."""
    hertz = played.table.accelerator.frequency_hz
    for number, span in enumerate(played.spans):
        shade = ("layer", "next layer")[number % 2]
        yield TrackSpan("layers", shade, span.start / hertz, span.end / hertz)


def _events(played: Timeline) -> Iterator[TrackSpan]:
    code, events = slots(), played.events
    hertz, apart = played.table.accelerator.frequency_hz, played.cycles * FINEST
    for kind, work in enumerate(code.KINDS):
        for number, resource in enumerate(code.RESOURCES):
            mine = (events[:, code.KIND] == kind) & (events[:, code.RESOURCE] == number)
            if work in COLORS and mine.any():
                bars = joined(events[mine][:, [code.START, code.END]], apart) / hertz
                for start, end in bars.tolist():
                    yield TrackSpan(resource, work, start, end)
