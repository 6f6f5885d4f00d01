"""What every part of a machine has in common, and where its numbers come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

OWN = "own"
"""Status of a number that a user's file states without a source."""
STATUSES = ("measured", "published", "assumed", OWN)


class Source(NamedTuple):
    """Where a constant comes from: `status` is one of measured, published, assumed or own.

    `low` and `high` bound the constant where its range is known.
    """

    status: str
    text: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class In:
    """Unit of a number in a machine's file: ``weight_bytes: Annotated[int, In("bytes")]``."""

    unit: str


class Part(BaseModel):
    """A table of a machine's file: typed fields, none unknown, none changed afterwards.

    A docstring under a field is what lists of fields say about it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        strict=True,
        use_attribute_docstrings=True,
    )
