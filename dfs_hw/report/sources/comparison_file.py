"""What ``compare.json`` holds, as far as a report states it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_models.documents import read_json, typed
from accel_models.errors import InputError, quoted
from dfs_hw.baselines.judgement.verdicts import Verdict
from dfs_hw.baselines.tabulation import Row
from dfs_hw.baselines.writing import FORMAT
from dfs_hw.headroom import Headroom


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


@dataclass(frozen=True)
class CompareFile:
    """A comparison, as its file has it."""

    study: dict[str, Any]
    budget: dict[str, Any]
    contenders: tuple[ComparedContender, ...]
    records: tuple[ComparedRecord, ...]
    rows: tuple[Row, ...]
    best_static: str | None
    verdicts: tuple[Verdict, ...]
    sentences: tuple[str, ...]
    headroom: Headroom | None
    left_out: dict[str, str]

    @property
    def titles(self) -> dict[str, str]:
        """Titles of contenders by name."""
        return {one.name: one.title for one in self.contenders}

    def contender(self, name: str) -> ComparedContender:
        """The contender of a name."""
        return next(one for one in self.contenders if one.name == name)


def read_comparison(path: Path) -> CompareFile:
    """Read ``compare.json``.

    Raises:
        InputError: if it is missing, of another version, or no such file: names the field.
    """
    data = read_json(path)
    if not isinstance(data, dict) or "verdicts" not in data:
        raise InputError(f"{path} is no comparison that `dfs-hw compare` wrote")
    if data.get("format") != FORMAT:
        raise InputError(
            f"{path} is of format {quoted(data.get('format'))}, and reports are made of format "
            f"{FORMAT}: run `dfs-hw compare` again, which keeps what was trained"
        )
    verdicts = [dict(one) for one in data["verdicts"]]
    sentences = [one.pop("sentence", "") for one in verdicts]
    return typed(CompareFile, {**data, "verdicts": verdicts, "sentences": sentences}, str(path))
