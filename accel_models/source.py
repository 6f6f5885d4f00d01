"""What every part of a machine has in common, and where its numbers come from."""

from __future__ import annotations

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


class Part(BaseModel):
    """A table of a machine's file: typed fields, none unknown, none changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
