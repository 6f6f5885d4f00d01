"""What can go wrong, in sentences meant for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from reprlib import Repr

LONGEST_WORD, LONGEST_SENTENCE, LONGEST_VALUE = 200, 1000, 80
"""Characters that an error shows of one word, in all, and of one value that it quotes."""


def printable(text: str) -> str:
    """Text as an error shows it: one line, nothing that a terminal would act upon, cut where it is
    long. What files and other libraries say can be anything."""
    line = inert(re.sub(r"[\t\n\r\v\f]", " ", text[: 100 * LONGEST_SENTENCE]))
    line = re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: _cut(word[0], LONGEST_WORD), line)
    return _cut(line.strip(), LONGEST_SENTENCE)


def inert(text: str) -> str:
    """Text of any number of lines, in full, with nothing that a terminal would act upon: what is
    not printable is written as Python escapes it."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in text
    )


def quoted(value: object) -> str:
    """A value as an error quotes it: as Python writes it, cut where it is long or deep."""
    return _SHORT.repr(value)


class DfsHwError(ValueError):
    """Base of every error this project raises on purpose: one sentence that names the culprit."""

    def __init__(self, sentence: object = "") -> None:
        super().__init__(printable(str(sentence)))


class InputError(DfsHwError):
    """A file, name or option that cannot be used as given."""


class InfeasibleError(DfsHwError):
    """A layer that a machine cannot run at the asked precision, and why."""


def listed(items: Iterable[object]) -> str:
    """Items as an error names them."""
    return ", ".join(map(str, items))


def decimal_comma(text: object) -> str:
    """What is to be said, at the end of a sentence, of text that was to be a number and has a
    comma; "" of any other."""
    comma = isinstance(text, str) and re.fullmatch(r"[+-]?\d*,\d+", text.strip())
    return " (numbers have a decimal point, no comma)" if comma else ""


def reason_of(error: BaseException) -> str:
    """What an error of another library says, as the end of a sentence: its first line."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


def _cut(text: str, longest: int) -> str:
    """Both ends of a text that is too long."""
    tail = longest // 4
    return text if len(text) <= longest else f"{text[: longest - tail - 1]}…{text[-tail:]}"


class _Short(Repr):
    """Python's own way of cutting values, at our lengths."""

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to spell out integers of thousands of digits.
        return repr(x) if abs(x) < 10**self.maxlong else f"a whole number of {x.bit_length()} bits"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = LONGEST_VALUE
_SHORT.maxlong = LONGEST_VALUE // 2
