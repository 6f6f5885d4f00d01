"""SRAM banks at 45 nm from CACTI, read between its rows and never beyond them; register files.

``data/sram_cacti45.csv`` holds banks from CACTI 7 (45 nm, itrs-hp, 360 K): 64 bytes to 256 KiB by
powers of two, words of 1 to 32 bytes, at least 32 words deep. Every bank has a read port and a
write port; half of the rows have a shared port besides.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import log

import numpy as np
from numpy.typing import NDArray

from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError, listed

BankFigures = NDArray[np.float64]
"""One bank: the columns `FIGURES`, in their units; energies are those of a whole access."""
Rows = Mapping[tuple[int, int], BankFigures]
"""Figures by (bytes, word bits)."""

FIGURES = ("read_energy_nJ", "write_energy_nJ", "leak_mW", "area_mm2", "access_ns")
ENERGIES = 2
"""The first so many figures grow with the word as well as with the size."""


@dataclass(frozen=True)
class SramBank:
    """One bank: pJ per bit moved, leakage in mW, area in mm², ns from address to data."""

    read_pj_per_bit: float
    write_pj_per_bit: float
    leakage_mw: float
    area_mm2: float
    access_ns: float


@dataclass(frozen=True)
class LeftOutError:
    """How far one figure is off at rows that were left out, in percent of the row's own value."""

    along: str
    """The neighbours used: those in ``size`` or those in word ``width``."""
    figure: str
    rows: int
    median_percent: float
    p90_percent: float
    max_percent: float


def sram_bank(
    size_bytes: int, word_bits: int, *, shared_port: bool = False, interpolate: bool = True
) -> SramBank:
    """The CACTI 45 nm figures of one bank with a read and a write port.

    A row of the table is returned as it stands. Any other bank lies between rows and is
    interpolated linearly in the logarithms of size, word width and figure: along the size for the
    next narrower and the next wider word of the table, then between these two. Linear, because
    this keeps order in both directions where curves through the points would not.

    CACTI picks the organisation of every bank anew, so a few rows are out of order: two reads
    cost less than those of the same bank with half the word (8 KiB with 64-bit words by 6.8 %,
    16 KiB with 16-bit words by 5.1 %), one read of a bank with a shared port does (8 KiB with
    128-bit words, 3.2 %), one write costs less than that of a bank of half the size (128 KiB with
    256-bit words, 0.4 %), and one access is faster (1.2 %). Between rows, each figure is taken
    half way (in its logarithm) between the greatest of all smaller banks and the least of all
    larger ones: the ordered figures with the least largest departure from the rows, at most 3.6 %,
    and none at rows in order. So energies per access never fall as a bank or its word grows, nor
    do leakage, area and access time as a bank of one width grows, except at the rows out of order
    themselves. Leakage, area and access time do fall and rise with the width, as CACTI has them;
    between two widths of the table they go from one to the other.

    Args:
        size_bytes: capacity of the bank.
        word_bits: width of one access; need not be whole bytes.
        shared_port: one more port that reads and writes, as output buffers have.
        interpolate: False accepts rows of the table only.

    Raises:
        InputError: if the bank is no row of the table, nor between rows.
    """
    rows = _rows(shared_port)
    figures = rows.get((size_bytes, word_bits))
    if figures is None and interpolate:
        figures = _surface(shared_port).at(size_bytes, word_bits)
    if figures is None:
        raise InputError(_refusal(size_bytes, word_bits, _surface(shared_port), interpolate))
    read_nj, write_nj, leakage_mw, area_mm2, access_ns = map(float, figures)
    return SramBank(
        read_pj_per_bit=read_nj * 1e3 / word_bits,
        write_pj_per_bit=write_nj * 1e3 / word_bits,
        leakage_mw=leakage_mw,
        area_mm2=area_mm2,
        access_ns=access_ns,
    )


def register_file(size_bytes: int, word_bits: int) -> SramBank:
    """A bank too small for the CACTI rows, made of flip-flops: each bit one register.

    Energy and area are those of the 1-bit register of Aladdin (Shao et al., ISCA 2014) as tabled
    in the Accelergy plug-ins, at 40 nm (``data/register_file40.csv``). They hold for reads; a
    write is charged the same. Decoding and word lines are not in them. Leakage and access time
    have no source: both are 0, i.e. free and faster than any clock.

    Raises:
        InputError: if the bank is large enough for `sram_bank`, or no bank at all.
    """
    if word_bits <= 0:
        raise InputError(f"a register file's words must have at least 1 bit, got {word_bits}")
    limit = _surface(False).smallest(word_bits)
    if not 0 < size_bytes < limit:
        raise InputError(
            f"no register file of {size_bytes} bytes with {word_bits}-bit words: it must hold "
            f"1 to {limit - 1} bytes, larger banks are SRAM"
        )
    (bit,) = read_table("register_file40.csv")
    return SramBank(
        read_pj_per_bit=float(bit["pj_per_bit"]),
        write_pj_per_bit=float(bit["pj_per_bit"]),
        leakage_mw=0.0,
        area_mm2=float(bit["area_um2_per_bit"]) * 1e-6 * 8 * size_bytes,
        access_ns=0.0,
    )


def leave_one_out_errors() -> list[LeftOutError]:
    """What interpolation is worth: each row inside the table predicted without itself.

    ``size`` leaves out one row, ``width`` all rows of its word. The gap is then twice as wide as
    in use, so these errors are larger than those between the rows of the whole table. Measured:
    5 to 6 % in the median for energy, 18 to 22 % for one row in ten, 44 % at worst; leakage 0.4 to
    3 % and area 4 to 5 % in the median.
    """
    errors = []
    for along in ("size", "width"):
        off = np.array([row for port in (False, True) for row in _left_out(port, along)])
        for name, percent in zip(FIGURES, off.T, strict=True):
            median, p90, largest = map(float, np.quantile(percent, (0.5, 0.9, 1.0)))
            errors.append(LeftOutError(along, name, len(off), median, p90, largest))
    return errors


class _Surface:
    """Rows brought into order, as a function of size and word.

    Wider words need larger banks, so the sizes of a word are among those of any narrower one.
    """

    def __init__(self, rows: Rows) -> None:
        ordered = _in_order(rows)
        self.words = sorted({word for _, word in rows})
        self.sizes = {
            word: sorted(size for size, own in rows if own == word) for word in self.words
        }
        self._logs = {
            word: np.array([ordered[size, word] for size in self.sizes[word]])
            for word in self.words
        }

    def at(self, size: int, word: int) -> BankFigures | None:
        """Figures of a bank on or between the rows, None outside them."""
        around = self.around(word)
        if not around:
            return None
        narrow, wide = around
        if not self.sizes[wide][0] <= size <= self.sizes[wide][-1]:
            return None
        share = log(word / narrow) / log(wide / narrow) if narrow < wide else 0.0
        low, high = self._along_size(size, narrow), self._along_size(size, wide)
        return np.exp((1 - share) * low + share * high)

    def around(self, word: int) -> tuple[int, int] | None:
        """The widest word up to this one and the narrowest from this one on."""
        if not self.words[0] <= word <= self.words[-1]:
            return None
        above = bisect_left(self.words, word)
        exact = self.words[above] == word
        return self.words[above - (not exact)], self.words[above]

    def smallest(self, word: int) -> int:
        """Bytes from which on banks of this word, or of one about as wide, have figures."""
        above = min(bisect_left(self.words, word), len(self.words) - 1)
        return self.sizes[self.words[above]][0]

    def _along_size(self, size: int, word: int) -> BankFigures:
        known = np.log(self.sizes[word])
        return np.array([np.interp(log(size), known, figure) for figure in self._logs[word].T])


def _in_order(rows: Rows) -> dict[tuple[int, int], BankFigures]:
    """Logarithms of all figures, half way between the two tightest ordered bounds on them."""
    size, word = np.array(list(rows)).T
    logs = np.log(np.array(list(rows.values())))
    no_larger = size[:, None] <= size[None, :]
    ordered = np.empty_like(logs)
    for figure, values in enumerate(logs.T):
        narrower = word[:, None] <= word[None, :]
        before = no_larger & (narrower if figure < ENERGIES else narrower & narrower.T)
        greatest_before = np.where(before, values[:, None], -np.inf).max(axis=0)
        least_after = np.where(before, values[None, :], np.inf).min(axis=1)
        ordered[:, figure] = (greatest_before + least_after) / 2
    return dict(zip(rows, ordered, strict=True))


def _left_out(shared_port: bool, along: str) -> Iterator[BankFigures]:
    """Errors of all figures in percent, for each row with neighbours on both sides."""
    rows = _rows(shared_port)
    for (size, word), figures in rows.items():
        if along == "size":
            rest = {key: row for key, row in rows.items() if key != (size, word)}
        else:
            rest = {key: row for key, row in rows.items() if key[1] != word}
        guess = _Surface(rest).at(size, word)
        if guess is not None:
            yield 100 * np.abs(guess / figures - 1)


def _refusal(size: int, word: int, known: _Surface, interpolate: bool) -> str:
    text = f"no CACTI figures for a bank of {size} bytes with {word}-bit words: "
    around = known.around(word)
    if interpolate and around:
        text += f"known sizes are {listed(known.sizes[around[1]])} bytes and any between"
    elif interpolate:
        text += f"known words are {known.words[0]} to {known.words[-1]} bits wide"
    elif word in known.sizes:
        text += f"known sizes are {listed(known.sizes[word])} bytes"
    else:
        text += "no bank has such words"
    return text + "; smaller banks need a register file" * (size < known.smallest(word))


@cache
def _surface(shared_port: bool) -> _Surface:
    return _Surface(_rows(shared_port))


@cache
def _rows(shared_port: bool) -> Rows:
    return {
        (int(row["size_bytes"]), 8 * int(row["block_bytes"])): np.array(
            [float(row[name]) for name in FIGURES]
        )
        for row in read_table("sram_cacti45.csv")
        if (row["rw_ports"] == "1") == shared_port
    }
