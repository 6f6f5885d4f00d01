"""Exact percentiles of more values than memory holds: several passes, a few bits of them each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

PERCENTILES = (50, 90, 95, 99)
DIGIT = 11
"""Bits of a value that one pass settles."""

Chunks = Callable[[], Iterable[Sequence[np.ndarray]]]
"""Begins a pass over the values: several amounts at a time, in chunks of each."""


def spread(amounts: np.ndarray) -> dict[str, float]:
    """Mean, percentiles and maximum of an amount [input]."""
    shares = {f"p{p}": float(np.percentile(amounts, p)) for p in PERCENTILES}
    return {"mean": float(amounts.mean()), **shares, "max": float(amounts.max())}


def spreads(chunks: Chunks, amounts: int) -> list[dict[str, float]]:
    """`spread` of several amounts, none below 0, in memory that does not grow with them.

    Empty for an amount without values.
    """
    number, total, most = np.zeros(amounts, dtype=np.int64), np.zeros(amounts), np.zeros(amounts)
    for chunk in chunks():
        for at, values in enumerate(chunk):
            if len(values):
                number[at] += len(values)
                total[at] += values.sum()
                most[at] = max(most[at], values.max())
    ranks = [[_neighbours(int(n), p) for p in PERCENTILES] if n else [] for n in number]
    wanted = [sorted({rank for pair in pairs for rank in pair[:2]}) for pairs in ranks]
    found = _ranked(chunks, wanted)
    return [
        {
            "mean": float(total[at] / number[at]),
            **{
                f"p{p}": _between(found[at][below], found[at][above], share)
                for p, (below, above, share) in zip(PERCENTILES, ranks[at], strict=True)
            },
            "max": float(most[at]),
        }
        if number[at]
        else {}
        for at in range(amounts)
    ]


def _neighbours(number: int, percentile: int) -> tuple[int, int, float]:
    """Ranks between which a percentile lies, and where (as `numpy.percentile` has it)."""
    place = (number - 1) * (percentile / 100)
    below = int(place)
    return below, min(below + 1, number - 1), place - below


def _between(low: float, high: float, share: float) -> float:
    step = high - low
    return high - step * (1 - share) if share >= 0.5 else low + step * share


def _ranked(chunks: Chunks, wanted: Sequence[Sequence[int]]) -> list[dict[int, float]]:
    """The values of some ranks of each amount. As bit patterns of floating-point numbers are in the
    order of the numbers, each pass settles the next bits of all of them."""
    # For each rank: the bits that are settled, and how many smaller values share them.
    settled = [{rank: (0, rank) for rank in ranks} for ranks in wanted]
    left = 64
    while left:
        digit = min(DIGIT, left)
        left -= digit
        counts = [
            {prefix: np.zeros(2**digit, dtype=np.int64) for prefix, _ in places.values()}
            for places in settled
        ]
        for chunk in chunks():
            for values, tables in zip(chunk, counts, strict=True):
                _count(values, tables, left, digit)
        settled = [
            {rank: _narrowed(*place, tables[place[0]], digit) for rank, place in places.items()}
            for places, tables in zip(settled, counts, strict=True)
        ]
    return [
        {
            rank: float(np.array([bits], dtype=np.uint64).view(np.float64)[0])
            for rank, (bits, _) in places.items()
        }
        for places in settled
    ]


def _count(values: np.ndarray, tables: dict[int, np.ndarray], left: int, digit: int) -> None:
    """Count the next digit of those values whose bits above are a prefix of interest."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64) >> np.uint64(left)
    above = bits >> np.uint64(digit)
    below = (bits & np.uint64(2**digit - 1)).astype(np.int64)
    for prefix, table in tables.items():
        here = below[above == np.uint64(prefix)]
        table += np.bincount(here, minlength=len(table))


def _narrowed(prefix: int, smaller: int, counts: np.ndarray, digit: int) -> tuple[int, int]:
    upto = np.cumsum(counts)
    at = int(np.searchsorted(upto, smaller, side="right"))
    return prefix << digit | at, smaller - int(upto[at] - counts[at])
