"""The journal of a study: Optuna's own file format, its entries held back to write many at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from accel_models.errors import DfsHwError, InputError, reason_of
from accel_models.files import readable

JOURNAL = "study.journal"
SEAL = "line"
"""Field of an entry, which Optuna passes over: the number of its line, and a digest of that and of
the entry. A digit changed, or a line that is there twice or no more, would be another result."""


class Journal(BaseJournalBackend):
    """A journal file that can hold entries back, to write many at once: each write waits for the
    disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = JournalFileBackend(str(path))
        with path.open("rb") as lines:
            self._written = sum(1 for _ in lines)
        self._held: list[dict[str, Any]] = []
        self._holding = False

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        if log_number_from < self._written:
            yield from self._written_logs(log_number_from)
        yield from self._held[max(0, log_number_from - self._written) :]

    def _written_logs(self, start: int) -> Iterator[dict[str, Any]]:
        number, logs = start, self._file.read_logs(start)
        while True:
            number += 1
            try:
                log = next(logs, None)
            except (ValueError, RecursionError) as error:
                raise InputError(_damaged(self._path, number, "is no JSON")) from error
            if log is None and number <= self._written:  # Optuna takes it for one half written
                raise InputError(_damaged(self._path, number, "is no JSON"))
            if log is None:
                return
            if not isinstance(log, dict):
                raise InputError(_damaged(self._path, number, "is no table"))
            # Entries of version 0.1 have no seal.
            if SEAL in log and log.pop(SEAL) != _seal(log, number):
                raise InputError(_damaged(self._path, number, "is not what was written there"))
            yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._held += logs
        if not self._holding:
            self.flush()

    def flush(self) -> None:
        """Write what was held back.

        Raises:
            InputError: if the disk is full, or the file cannot be written to.
        """
        held, self._held = self._held, []
        if held:
            lines = range(self._written + 1, self._written + len(held) + 1)
            try:
                self._file.append_logs(
                    [{**log, SEAL: _seal(log, line)} for log, line in zip(held, lines, strict=True)]
                )
            except OSError as error:
                raise InputError(f"cannot write {self._path}: {reason_of(error)}") from error
            self._written += len(held)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what happens inside at its end, at once."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
            self.flush()


class Outline(BaseJournalBackend):
    """A journal without the trials that it has, for whoever only adds some: Optuna holds in memory
    all that it reads.

    Args:
        trials: how many the journal had, by the study's number.
    """

    def __init__(self, journal: Journal, logs: Iterable[dict[str, Any]] | None = None) -> None:
        self.trials: Counter[int] = Counter()
        self._journal = journal
        self._logs = list(self._read() if logs is None else logs)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._journal.append_logs(logs)
        self._logs += logs

    def copy(self) -> Outline:
        """Copy of the outline on the same journal: what is added to it is not added here."""
        return Outline(self._journal, self._logs)

    def _read(self) -> Iterator[dict[str, Any]]:
        for log in self._journal.read_logs(0):
            if log["op_code"] == JournalOperation.CREATE_TRIAL:
                self.trials[log["study_id"]] += 1
            elif "trial_id" not in log:
                yield log


def _seal(log: dict[str, Any], line: int) -> str:
    content = f"{line} {json.dumps(log)}"
    return f"{line} {hashlib.blake2b(content.encode(), digest_size=8).hexdigest()}"


def _damaged(path: Path, line: int, fault: str) -> str:
    return (
        f"{path} is damaged: line {line} {fault}: put back a whole one, choose another folder, or "
        "cut it off before that line to do what follows again"
    )


def mend(path: Path) -> None:
    """Drop what a killed run left: half a line at the end, and Optuna's own lock.

    Raises:
        InputError: if the journal is no regular file.
    """
    readable(path)
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            size, whole = len(content), content.rfind(b"\n") + 1
        if whole < size:
            os.truncate(path, whole)


@contextmanager
def damage_named(place: Path | str) -> Iterator[None]:
    """Turn whatever Optuna ends in, as it reads a study that is damaged, into one sentence.

    Raises:
        InputError: naming the place.
    """
    try:
        yield
    except DfsHwError:
        raise
    except OSError as error:
        raise InputError(f"cannot use {place}: {reason_of(error)}") from error
    except Exception as error:  # Optuna checks nothing of what it reads, so it can be any
        raise InputError(
            f"{place} is damaged, or no study's ({type(error).__name__}: {reason_of(error)}): put "
            "back a whole one, or choose another folder"
        ) from error
