"""Output on any terminal, also where an encoding lacks our signs or the place takes nothing."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
import warnings
from contextlib import suppress
from typing import Any

from accel_models.errors import inert, printable

SPELLINGS = {
    "µ": "u",
    "μ": "u",
    "ρ": "rho",
    "²": "2",
    "³": "3",
    "·": "*",
    "×": "x",
    "±": "+-",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}
"""What stands for a sign that an encoding lacks; letters lose their accents instead, and what is
left is written as Python escapes it."""
PLAIN = "dfs-hw-plain"
"""Name of the error handler that spells so."""


def open_closed_streams() -> None:
    """Have what is printed go nowhere where a parent closed the place that it would go to."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def use_plain_spellings() -> None:
    """Have standard output and errors spell what their encoding lacks in other ways."""
    codecs.register_error(PLAIN, _spelled)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PLAIN)


def use_short_warnings() -> None:
    """Have warnings that are meant for users be one sentence each, said once, and those for
    programmers, which quote names out of files as well, say nothing that a terminal acts upon."""
    plain, said = warnings.formatwarning, set[str]()

    def formatted(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
        if not issubclass(category, UserWarning | FutureWarning):
            return inert(plain(message, category, *where, **more))
        sentence = printable(str(message))
        # Python forgets what it has shown whenever a library changes what is to be shown.
        if sentence in said:
            return ""
        said.add(sentence)
        return f"dfs-hw: warning: {sentence}\n"

    warnings.formatwarning = formatted


def turn_off() -> None:
    """Drop what standard output still holds, which would fail once more as Python ends."""
    with suppress(OSError, ValueError):  # a stream without a file has nothing that could fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_spelling(letter) for letter in letters), error.end


def _spelling(letter: str) -> str:
    if letter in SPELLINGS:
        return SPELLINGS[letter]
    bare = "".join(c for c in unicodedata.normalize("NFKD", letter) if c.isascii())
    return bare or letter.encode("ascii", "backslashreplace").decode("ascii")
