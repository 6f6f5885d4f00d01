"""Amounts as people read them."""

from __future__ import annotations

import math

_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
    (1e-15, "f"),
)


def apart(before: float, after: float, unit: str) -> tuple[str, str, str, str]:
    """Two amounts, what lies between them, and that in percent, which all agree as they are
    printed: ``apart(4.504e-5, 3.01e-5, "J")`` is ``45.0 µJ``, ``30.1 µJ``, ``14.9 µJ``,
    ``−33.1 %``."""
    largest = max(abs(before), abs(after))
    scale, prefix = next((one for one in _PREFIXES if largest >= 0.9995 * one[0]), (1.0, ""))
    digits = max(0, 2 - math.floor(math.log10(largest / scale * 1.0005))) if largest else 0
    first, second = round(before / scale, digits), round(after / scale, digits)
    share = second / first - 1 if first else 0.0
    texts = (f"{amount:.{digits}f} {prefix}{unit}".rstrip() for amount in (first, second))
    between = f"{abs(first - second):.{digits}f} {prefix}{unit}".rstrip()
    return *texts, between, f"{share:+.1%}".replace("-", "−").replace("%", " %")  # type: ignore[return-value]


def si(value: float, unit: str) -> str:
    """``si(4.5e-5, "J")`` is ``45.0 µJ``: three digits and a prefix."""
    if value == 0:
        return f"0 {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:#.3g}".rstrip(".") + f" {prefix}{unit}"
    return f"{value:.3g} {unit}"
