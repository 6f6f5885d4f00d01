"""The record of a finished run, ``run.json``, read field by field."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_models.documents import CLOSED, check_seal, read_json, typed
from accel_models.errors import InputError
from accel_models.precision import Precision
from dfs_hw.experiment import BudgetVerdict, Variant
from dfs_hw.training.config import TrainConfig

COSTS = ("bitops", "energy_j", "latency_s")
SHARES = ("accuracy", "validation_accuracy")
KINDS = ("static", "adaptive", "frozen", "shuffled")


@dataclass(frozen=True)
class RunFile:
    """What `run_experiment` leaves of a run, as its file has it.

    Raises:
        InputError: if what it says of variants or budget cannot be.
    """

    __pydantic_config__ = CLOSED
    config: dict[str, Any]
    """Settings of training, as `TrainConfig` has them."""
    versions: dict[str, str]
    commit: str
    platform: str
    created: str
    seconds: float
    classes: tuple[str, ...]
    cost_table: str
    """Key of the cost table that the run was priced by."""
    policy: dict[str, Any]
    budget: BudgetVerdict
    validation: dict[str, Any]
    best_static: str
    """Name of one of the static variants."""
    variants: tuple[Variant, ...]
    families: dict[str, Any] = field(default_factory=dict)
    """Families of arrays from outside the package, and where they came from."""
    digest: str = ""
    """Digest of all else; files of version 0.1 have none."""

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        for number, variant in enumerate(self.variants):
            _check(variant, f"variants.{number}")
            if variant.name in names[:number]:
                raise InputError(f"variants.{number}.name must be its own, got '{variant.name}'")
        if sum(variant.kind == "adaptive" for variant in self.variants) != 1:
            raise InputError("variants must hold one that is adaptive")
        if self.best_static not in [v.name for v in self.variants if v.kind == "static"]:
            raise InputError(
                f"best_static must be the name of a static variant, got '{self.best_static}'"
            )
        if self.budget.target <= 0:
            raise InputError(f"budget.target must be above 0, got {self.budget.target}")

    @property
    def settings(self) -> TrainConfig:
        """The settings of training.

        Raises:
            InputError: if one is unknown, or makes no sense.
        """
        return TrainConfig.from_dict(self.config)


def read_run(path: Path) -> RunFile:
    """Read the record of a run; one of version 0.1, which has no digest, with a warning.

    Raises:
        InputError: if it is missing, or not what a run leaves: names the field.
    """
    said = read_json(path)
    run = typed(RunFile, said, str(path))
    try:
        run.settings  # noqa: B018 - refused here, with the name of the file
    except InputError as error:
        raise InputError(f"{path}: config: {error}") from error
    check_seal(said, str(path), "of version 0.1")
    return run


def _check(variant: Variant, where: str) -> None:
    """Refuse what no network can be, or cost."""
    if variant.kind not in KINDS:
        raise InputError(f"{where}.kind must be one of {', '.join(KINDS)}, got '{variant.kind}'")
    if variant.kind == "static":
        Precision.parse(variant.precision)
    elif variant.precision:
        raise InputError(f"{where}.precision is only for static ones, got '{variant.precision}'")
    for name in COSTS:
        if getattr(variant, name) <= 0:
            raise InputError(f"{where}.{name} must be above 0, got {getattr(variant, name)}")
    for name in SHARES:
        if not 0 <= getattr(variant, name) <= 1:
            raise InputError(f"{where}.{name} must be 0 to 1, got {getattr(variant, name)}")
