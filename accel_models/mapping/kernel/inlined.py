"""Compiled: how functions of the search become part of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Function compiled into its callers, for what neither allocates nor returns an array.

    A problem is some sixty numbers, which calls would hand on and on. And each function counts
    references to all arrays that it is given, which took half of the time of a search; what keeps
    none and makes none can leave that to its caller.
    """
    compiled: Function = njit(cache=True, forceinline=True, _nrt=False)(function)  # type: ignore[call-overload]
    return compiled
