"""The reference machine: it does what closed forms only count, event by event, bit by bit."""

from accel_models.reference_machine.datapath.datapath import compute
from accel_models.reference_machine.events.perfetto import write_perfetto
from accel_models.reference_machine.events.picture import write_timeline_picture
from accel_models.reference_machine.events.timeline import Timeline, static_timeline, timeline

__all__ = [
    "Timeline",
    "compute",
    "static_timeline",
    "timeline",
    "write_perfetto",
    "write_timeline_picture",
]
