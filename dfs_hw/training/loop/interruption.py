"""Ctrl-C and SIGTERM that wait for the step at hand."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INSISTING_SECONDS = 1.0
"""A signal that comes so long after the first one takes effect at once. (``torchrun`` passes on to
its processes what the terminal has sent them already.)"""

Handler = Callable[[int, FrameType | None], Any] | int


class StopRequest:
    """Notes the signal that asks to stop."""

    def __init__(self) -> None:
        self.number = 0
        """Of the signal; 0 while none has come."""
        self._since = 0.0
        self._before: dict[int, Handler] = {}

    def watch(self) -> None:
        """Note signals from now on, but those that are ignored, or handled outside of Python."""
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None and handler != signal.SIG_IGN:
                self._before[number] = handler
                signal.signal(number, self._note)

    def unwatch(self) -> None:
        """Let signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def end(self, number: int) -> NoReturn:
        """End as the signal would have: KeyboardInterrupt for Ctrl-C, and SystemExit with 128 + its
        number for one that kills; a handler of the program's own is called first."""
        self.unwatch()
        if signal.getsignal(number) != signal.SIG_DFL:
            signal.raise_signal(number)
        raise SystemExit(128 + number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self._since = number, now
        elif now - self._since > INSISTING_SECONDS:
            self.unwatch()
            signal.raise_signal(number)


@contextmanager
def noted_signals() -> Iterator[StopRequest]:
    """Have signals noted inside the block. Only the main thread of a program can."""
    request = StopRequest()
    if threading.current_thread() is threading.main_thread():
        request.watch()
    try:
        yield request
    finally:
        request.unwatch()
