"""Settings of a training run, and recipes known to work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from accel_models.errors import InputError


@dataclass(frozen=True)
class TrainConfig:
    """Everything that shapes a training run.

    Equal settings give identical networks on one CPU with one number of threads. The defaults are
    the recipe for the bundled digits, which takes a minute or two on two cores.
    """

    data: str = "digits"
    network: str = "resnet14"
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of the network's three stages."""
    choices: str = "skip,2,4,8"
    accelerator: str = "bitfusion"
    metric: str = "energy"
    budget: str = "0.5"
    """See `Budget.parse`."""
    backbone_epochs: int = 15
    gate_epochs: int = 1
    joint_epochs: int = 16
    """Of stage 3, and of static baselines."""
    backbone_lr: float = 0.1
    joint_lr: float = 0.03
    """Of all but the gates in stage 3, and of static baselines."""
    gate_lr: float = 0.1
    """Of the gates in stages 2 and 3. Learning rates fall to zero along a cosine."""
    beta: float = 0.3
    """Strength of the sign switch at first, in loss per unit of relative cost."""
    batch: int = 64
    weight_decay: float = 5e-4
    seed: int = 0
    """Drives splits, degradation of digits, initial weights, order and augmentation."""

    def __post_init__(self) -> None:
        counts = ("backbone_epochs", "gate_epochs", "joint_epochs", "batch")
        rates = ("backbone_lr", "joint_lr", "gate_lr", "beta")
        for name, least in (*((c, 1) for c in counts), ("seed", 0), ("weight_decay", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in rates:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")
        if len(self.widths) != 3 or min(self.widths) < 1:
            raise InputError(f"widths must be three numbers of channels, got {self.widths}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `dataclasses.asdict`, also by way of JSON.

        Raises:
            InputError: if a setting is unknown.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise InputError(
                f"no setting of training is called '{unknown[0]}': choose from "
                + ", ".join(sorted(known))
            )
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return cls(**values)


RECIPES: dict[str, dict[str, Any]] = {
    "digits": {},
    "cifar10": {
        "network": "resnet20",
        "backbone_epochs": 100,
        "joint_epochs": 60,
        "batch": 128,
        "weight_decay": 1e-4,
    },
}
"""What differs from the defaults of `TrainConfig`, by data set."""


def recipe(data: str, **changes: Any) -> TrainConfig:
    """Settings that suit a data set, with some of them changed.

    Raises:
        InputError: if there is no such data set, or no such setting.
    """
    if data not in RECIPES:
        raise InputError(f"no data set is called '{data}': choose from {', '.join(RECIPES)}")
    return TrainConfig.from_dict({"data": data, **RECIPES[data], **changes})
