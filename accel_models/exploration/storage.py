"""Where Optuna keeps a study: a journal in the output folder, or any database it can reach."""

from __future__ import annotations

import json
import os
import re
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.study import StudyDirection

from accel_models.documents import CLOSED, read_json, typed
from accel_models.errors import InputError
from accel_models.exploration.journal import JOURNAL, Journal, Outline, damage_named, mend
from accel_models.files import (
    NOT_UTF8,
    is_running,
    is_utf8,
    process_numbers,
    whole_file,
    writable_folder,
)
from accel_models.owned_folder import IDENTITY, LOCK, check_kind, lock_folder

MEMORY = "memory"
_OWNER = "run"
QUIET_S = 600.0
"""Seconds without a sign of life after which a run on another machine counts as dead."""
SIGN_S = 60.0
"""Seconds between signs of life."""


@dataclass(frozen=True)
class _Owner:
    """The run that has a study, and when it last said so, in s since 1970."""

    __pydantic_config__ = CLOSED
    host: str
    pid: int
    time: float
    numbers: str = ""
    """Where its process's number is that of no other."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @staticmethod
    def now() -> _Owner:
        """This run."""
        return _Owner(socket.gethostname(), os.getpid(), time.time(), process_numbers())

    @property
    def is_alive(self) -> bool:
        """Whether it is another run, and not known to be dead."""
        if self.numbers == process_numbers():
            return self.pid != os.getpid() and is_running(self.pid)
        return time.time() - self.time < QUIET_S


class StudyStorage:
    """A study that this run alone adds to.

    Args:
        folder: of the outputs.
        url: ``""`` for a journal in the folder, ``memory``, or what SQLAlchemy takes.
        outline: leave the trials of a journal on disk, as a run can that learns from none.

    Raises:
        InputError: if another run has the folder or the study, another command's has left the
            folder, or the database cannot be used.
    """

    def __init__(self, folder: Path, url: str = "", *, outline: bool = False) -> None:
        places = (folder / LOCK, folder, *folder.parents)
        self._made = [place for place in places if not os.path.exists(place)]
        self.folder = writable_folder(folder)
        self._lock = lock_folder(folder)
        self._journal: Journal | None = None
        self._outline: Outline | None = None
        self._owner: _Owner | None = None
        try:
            check_kind(self.folder, IDENTITY)
            self.backend = self._opened(url, outline)
        except BaseException:
            self._leave_nothing()
            os.close(self._lock)
            raise

    def study(self, name: str, objectives: int, identity: dict[str, Any]) -> optuna.Study:
        """The study of that name, a new one if there is none.

        Raises:
            InputError: if it is another run's, it or the folder is of another space; a folder that
                was made for it is gone again.
        """
        try:
            return self._study(name, objectives, identity)
        except InputError:
            self._leave_nothing()
            raise

    def _study(self, name: str, objectives: int, identity: dict[str, Any]) -> optuna.Study:
        own, mark = {"name": name, **identity}, self.folder / IDENTITY
        if os.path.lexists(mark):
            kept = typed(dict[str, str], read_json(mark), str(mark))
            _check_same(kept, own, str(self.folder), "choose another folder")
        with damage_named(self._named), database_errors(), quiet():
            directions = [StudyDirection.MINIMIZE] * objectives
            study = optuna.create_study(
                storage=self.backend,
                study_name=name,
                directions=directions,
                load_if_exists=True,
            )
            if study.directions != directions:
                raise InputError(
                    f"{self._named} is damaged: study '{name}' is to make {objectives} objectives "
                    "least, and is not: put back a whole one, or choose another folder"
                )
            known = study.user_attrs.get("identity")
            if known is not None:
                _check_same(known, identity, f"study '{name}'", "give the space another name")
            if self._journal is None and not isinstance(self.backend, InMemoryStorage):
                owner = _owner_of(study)
                if owner is not None and owner.is_alive:
                    raise InputError(f"study '{name}' is locked by another run ({owner})")
                self._claim(study)
            if known is None:
                study.set_user_attr("identity", identity)
        with whole_file(mark) as partial:
            partial.write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")
        return study

    @property
    def _named(self) -> Path | str:
        """What errors call the place that holds the study."""
        return self.folder / JOURNAL if self._journal is not None else "the storage"

    def sign(self, study: optuna.Study) -> None:
        """Say, at most every `SIGN_S`, that this run has the study, and is alive.

        Raises:
            InputError: if it is another run's by now: this one was silent for too long.
        """
        if self._owner is not None and time.time() - self._owner.time >= SIGN_S:
            with database_errors():
                self._require_own(study)
                self._claim(study)

    def _claim(self, study: optuna.Study) -> None:
        self._owner = _Owner.now()
        study.set_user_attr(_OWNER, asdict(self._owner))
        self._require_own(study)  # of two at once, the later one has it

    def _require_own(self, study: optuna.Study) -> None:
        owner = _owner_of(study)
        if owner != self._owner:
            raise InputError(
                f"study '{study.study_name}' is another run's by now ({owner or 'it has ended'}): "
                "this one adds nothing more to it"
            )

    @contextmanager
    def together(self, study: optuna.Study) -> Iterator[None]:
        """Write to a journal at once what happens inside; databases write as they do, if the study
        is still this run's."""
        self.sign(study)
        with database_errors():
            if self._journal is None:
                yield
            else:
                with self._journal.together():
                    yield

    def entered(self, study: optuna.Study) -> int:
        """How many trials a study had when it was opened."""
        if self._outline is not None:
            return self._outline.trials[study._study_id]
        return len(study.get_trials(deepcopy=False))

    @contextmanager
    def entry(self, study: optuna.Study) -> Iterator[optuna.Study]:
        """A study to add trials to, at once. With an outline they are then in the journal alone."""
        with self.together(study), quiet():
            if self._outline is None:
                yield study
            else:
                backend = JournalStorage(self._outline.copy())
                yield optuna.load_study(study_name=study.study_name, storage=backend)

    def whole(self, study: optuna.Study) -> optuna.Study:
        """A study with all of its trials."""
        if self._outline is None:
            return study
        with damage_named(self.folder / JOURNAL), quiet():
            backend = JournalStorage(Journal(self.folder / JOURNAL))
            return optuna.load_study(study_name=study.study_name, storage=backend)

    def close(self, study: optuna.Study | None = None) -> None:
        """Let others have it."""
        try:
            # What is written is written; the sign goes stale by itself.
            with suppress(Exception):
                if study is not None and self._owner is not None:
                    self._require_own(study)
                    study.set_user_attr(_OWNER, None)
        finally:
            os.close(self._lock)

    def _leave_nothing(self) -> None:
        """Remove the lock and the folders that were not there, if they hold nothing else."""
        for place in self._made:
            with suppress(OSError):
                place.rmdir() if place.is_dir() else place.unlink()

    def _opened(self, url: str, outline: bool) -> BaseStorage:
        if url == MEMORY:
            return InMemoryStorage()
        if url:
            return _database(url)
        path = self.folder / JOURNAL
        with damage_named(path), quiet():
            mend(path)
            self._journal = Journal(path)
            self._outline = Outline(self._journal) if outline else None
            return JournalStorage(self._outline or self._journal)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from telling of every study and trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # A killed run may have noted constraints of a trial and not told of it.
            warnings.filterwarnings("ignore", "The constraint value is ignored", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _database(url: str) -> BaseStorage:
    from optuna.storages import get_storage

    if not is_utf8(url):
        raise InputError(f"the storage {public_url(url)} is {NOT_UTF8}")
    try:
        with database_errors(), quiet():
            return get_storage(url)
    except ValueError as error:
        raise InputError(f"the storage {public_url(url)} cannot be used: {error}") from error
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or error
        raise InputError(f"the storage {public_url(url)} needs a package: {missing}") from error


@contextmanager
def database_errors() -> Iterator[None]:
    """Say in a sentence what is wrong with a database.

    Raises:
        InputError: if it fails inside.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0].rstrip(".")
        if "locked" in str(error) or "locked" in reason:
            raise InputError(f"the storage is locked by another run: {reason}") from error
        raise InputError(f"the storage cannot be used: {reason}") from error


def public_url(url: str) -> str:
    """A storage's URL without the user and the password in it, wherever they stand."""
    scheme, separator, rest = url.partition("://")
    place = rest.rpartition("@")[2]
    shown = re.sub(r"(?i)((?:user|pass|pwd)\w*=)[^&]*", r"\1...", place)
    return f"{scheme}{separator}{shown}" if separator else url


def _check_same(known: dict[str, Any], wanted: dict[str, Any], what: str, remedy: str) -> None:
    different = sorted(key for key in wanted if known.get(key) != wanted[key])
    if different:
        raise InputError(f"{what} was made with another {', '.join(different)}: {remedy}")


def _owner_of(study: optuna.Study) -> _Owner | None:
    """The run that has a study, if one has."""
    said = study.user_attrs.get(_OWNER)
    return None if said is None else typed(_Owner, said, f"study '{study.study_name}'")
