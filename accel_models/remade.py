"""Frozen classes with arrays that nobody can write to, in copies of them either."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


class Remade:
    """Base of frozen dataclasses whose pickles and deep copies are made anew from their fields, so
    that what making them forbids holds for these too."""

    def __reduce__(self) -> tuple[Any, ...]:
        own: Any = self
        return type(self), tuple(getattr(self, one.name) for one in fields(own))
