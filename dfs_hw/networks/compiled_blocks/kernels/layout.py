"""What the compiled kernels and those that call them agree on."""

from __future__ import annotations

WIDTH = 16
"""Numbers that kernels compute on at once; channels are a multiple of it."""

SKIPPED = -1
"""Stand-in for a precision: the block is not run."""

FIRST, SECOND, SIDE = range(3)
"""Convolutions of a block, the last being the shortcut's."""
