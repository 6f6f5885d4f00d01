"""What can go wrong, in sentences meant for people."""

from __future__ import annotations

from collections.abc import Iterable


class DfsHwError(ValueError):
    """Base of every error this project raises on purpose: one sentence that names the culprit."""


class InputError(DfsHwError):
    """A file, name or option that cannot be used as given."""


class InfeasibleError(DfsHwError):
    """A layer that a machine cannot run at the asked precision, and why."""


def listed(items: Iterable[object]) -> str:
    """Items as an error names them."""
    return ", ".join(map(str, items))
