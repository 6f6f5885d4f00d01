"""What ``compare.json`` holds, as far as a report states it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_models.documents import check_seal, read_json, typed
from accel_models.errors import InputError, listed, quoted
from accel_models.metrics import METRICS
from dfs_hw.baselines.judgement.verdicts import Verdict
from dfs_hw.baselines.tabulation import Row
from dfs_hw.baselines.writing import FORMAT
from dfs_hw.headroom import Headroom
from dfs_hw.training.config import TrainConfig

SPREADS = ("accuracy", "energy_j", "latency_s", "bitops", "share")
"""Figures that every row has."""


@dataclass(frozen=True)
class ComparedStudy:
    """What was asked."""

    seeds: tuple[int, ...]
    config: dict[str, Any]
    """Settings of training, as `TrainConfig` has them, without the seed."""

    @property
    def settings(self) -> TrainConfig:
        """The settings of training, at the first seed.

        Raises:
            InputError: if one is unknown, or makes no sense.
        """
        return TrainConfig.from_dict({**self.config, "seed": self.seeds[0]})


@dataclass(frozen=True)
class ComparedBudget:
    """What an input might cost."""

    text: str
    metric: str
    amount: float
    """Cost allowed, in the metric's SI unit."""
    unit: str


@dataclass(frozen=True)
class ComparedContender:
    """A contender by name, as tables show it, and what it is one of."""

    name: str
    title: str
    family: str


@dataclass(frozen=True)
class ComparedRecord:
    """A contender of one seed, run in one way."""

    contender: str
    seed: int
    variant: str
    accuracy: float
    bitops: float
    energy_j: float
    latency_s: float
    share: float
    target: float
    validation_accuracy: float | None
    fixed: str


@dataclass(frozen=True, kw_only=True)
class ComparedVerdict(Verdict):
    """A verdict, and what it is in words."""

    sentence: str


@dataclass(frozen=True)
class ComparedDraws:
    """How often constants were drawn from their ranges, and which."""

    draws: int
    constants: tuple[str, ...]
    not_drawn: tuple[str, ...]


@dataclass(frozen=True)
class CompareFile:
    """A comparison, as its file has it.

    Raises:
        InputError: if it speaks of somebody who is not among its contenders, or of what cannot be.
    """

    study: ComparedStudy
    budget: ComparedBudget
    contenders: tuple[ComparedContender, ...]
    records: tuple[ComparedRecord, ...]
    rows: tuple[Row, ...]
    best_static: str | None
    verdicts: tuple[ComparedVerdict, ...]
    headroom: Headroom | None
    left_out: dict[str, str]
    drawn: ComparedDraws | None = None
    digest: str = ""
    """Digest of all else; files written before there was one have none."""

    def __post_init__(self) -> None:
        if not self.study.seeds:
            raise InputError("study.seeds must name a seed, got none")
        for number, contender in enumerate(self.contenders):
            if not contender.title:
                raise InputError(f"contenders.{number}.title must not be empty")
        if len(self.titles) < len(self.contenders):
            raise InputError("contenders must differ in their names")
        if len(set(self.titles.values())) < len(self.contenders):
            raise InputError("contenders must differ in their titles")
        for number, row in enumerate(self.rows):
            if missing := [name for name in SPREADS if row.figures.get(name) is None]:
                raise InputError(f"rows.{number}.figures must have {listed(missing)}")
        for number, verdict in enumerate(self.verdicts):
            if verdict.earned and verdict.against_static is None:
                raise InputError(
                    f"verdicts.{number}.earned must not be true where against_static is null"
                )
        if self.headroom is not None and self.headroom.metric not in METRICS:
            raise InputError(
                f"headroom.metric must be one of {', '.join(METRICS)}, "
                f"got {quoted(self.headroom.metric)}"
            )
        for where, name in self._mentions().items():
            if name not in self.titles:
                raise InputError(f"{where} must be the name of a contender, got {quoted(name)}")

    @property
    def titles(self) -> dict[str, str]:
        """Titles of contenders by name."""
        return {one.name: one.title for one in self.contenders}

    def contender(self, name: str) -> ComparedContender:
        """The contender of a name."""
        return next(one for one in self.contenders if one.name == name)

    def _mentions(self) -> dict[str, str]:
        """Names that must be contenders', by where they stand."""
        found = {f"records.{at}.contender": one.contender for at, one in enumerate(self.records)}
        found |= {f"rows.{at}.contender": one.contender for at, one in enumerate(self.rows)}
        if self.best_static is not None:
            found["best_static"] = self.best_static
        for at, one in enumerate(self.verdicts):
            found[f"verdicts.{at}.contender"] = one.contender
            if one.against_static is not None:
                found[f"verdicts.{at}.against_static.than"] = one.against_static.than
            if one.saving is not None:
                found[f"verdicts.{at}.saving.than"] = one.saving.than
        return found


def read_comparison(path: Path) -> CompareFile:
    """Read ``compare.json``; one without a digest, with a warning.

    Raises:
        InputError: if it is missing, damaged, of another version, or no such file: names the field.
    """
    said = read_json(path)
    if not isinstance(said, dict) or "verdicts" not in said:
        raise InputError(f"{path} is no comparison that `dfs-hw compare` wrote")
    if said.get("format") != FORMAT:
        raise InputError(
            f"{path} is of format {quoted(said.get('format'))}, and reports are made of format "
            f"{FORMAT}: run `dfs-hw compare` again, which keeps what was trained"
        )
    found = typed(CompareFile, said, str(path))
    try:
        found.study.settings  # noqa: B018 - refused here, with the name of the file
    except InputError as error:
        raise InputError(f"{path}: study.config: {error}") from error
    check_seal(said, str(path), "of before comparisons were sealed,")
    return found
