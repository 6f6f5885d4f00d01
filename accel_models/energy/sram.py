"""SRAM banks from CACTI, read between its rows and never beyond them; register files.

``data/sram_cacti.csv`` holds banks from CACTI 7 (HewlettPackard/cacti, as hwcomponents-cacti 1.0.40
bundles it), run with the settings of the released Bit Fusion simulator (``sweep.cfg``), whose eight
rows come out to every digit: 22, 28, 32, 45, 65 and 90 nm (28 is CACTI's own between 32 and 22);
cells and periphery of itrs-hp (high performance), -lop (low operating power) and -lstp (low standby
power); 360 K; 64 bytes to 256 KiB by powers of two, words of 1 to 32 bytes, at least 32 words deep.
Every bank has a read port and a write port; half of the rows have a shared port besides. Other
temperatures and voltages are `accel_models.energy.sram_process`'s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError, listed

BankFigures = NDArray[np.float64]
"""One bank: the columns `FIGURES`, in their units; energies are those of a whole access."""
Rows = Mapping[tuple[int, int], BankFigures]
"""Figures by (bytes, word bits)."""

Cell = Literal["hp", "lop", "lstp"]
"""Transistors of cells and periphery, as the ITRS names them."""
CELLS: tuple[Cell, ...] = get_args(Cell)
PUBLISHED_NM = 45.0
PUBLISHED_CELL: Cell = "hp"
"""Process of the released Bit Fusion simulator's rows, at 360 K."""

FIGURES = ("read_energy_nJ", "write_energy_nJ", "leak_mW", "area_mm2", "access_ns", "gate_leak_mW")
ENERGIES = 2
"""The first so many figures grow with the word as well as with the size."""
_LEAKAGES = [FIGURES.index("leak_mW"), FIGURES.index("gate_leak_mW")]


@dataclass(frozen=True)
class SramBank:
    """One bank: pJ per bit moved, leakage in mW, area in mm², ns from address to data.

    `gate_leakage_mw` comes on top of `leakage_mw`. The released Bit Fusion simulator leaves it out.
    """

    read_pj_per_bit: float
    write_pj_per_bit: float
    leakage_mw: float
    area_mm2: float
    access_ns: float
    gate_leakage_mw: float = 0.0


@dataclass(frozen=True)
class LeftOutError:
    """How far one figure is off at rows that were left out, in percent of the row's own value."""

    along: str
    """The neighbours used: those in ``size``, in word ``width`` or in ``node``."""
    figure: str
    rows: int
    median_percent: float
    p90_percent: float
    max_percent: float


def sram_bank(
    size_bytes: int,
    word_bits: int,
    *,
    shared_port: bool = False,
    interpolate: bool = True,
    node_nm: float = PUBLISHED_NM,
    cell: Cell = PUBLISHED_CELL,
) -> SramBank:
    """The CACTI figures of one bank with a read and a write port, at 360 K and CACTI's own supply.

    A row of the table is returned as it stands. Any other bank lies between rows and is
    interpolated linearly in the logarithms of size, word width, node and figure: along the size for
    the next narrower and the next wider word of the table, then between these two, then between the
    next smaller and the next larger node. Linear, because this keeps order where curves through the
    points would not. Between nodes, leakage itself is linear in the nanometres, as CACTI has the
    currents of transistors between its nodes.

    CACTI picks the organisation of every bank anew, so some rows are out of order. At 45 nm, hp:
    two reads cost less than those of the same bank with half the word (8 KiB with 64-bit words by
    6.8 %, 16 KiB with 16-bit words by 5.1 %), one read of a bank with a shared port does (8 KiB
    with 128-bit words, 3.2 %), one write costs less than that of a bank of half the size (128 KiB
    with 256-bit words, 0.4 %), and one access is faster (1.2 %). Between rows, each figure is taken
    half way (in its logarithm) between the greatest of all smaller banks and the least of all
    larger ones: the ordered figures with the least largest departure from the rows (`disorder`),
    and none at rows in order. So energies per access never fall as a bank or its word grows, nor
    do leakage, area and access time as a bank of one width grows, except at the rows out of order
    themselves. Leakage, area and access time do fall and rise with the width, as CACTI has them;
    between two widths of the table they go from one to the other.

    Args:
        size_bytes: capacity of the bank.
        word_bits: width of one access; need not be whole bytes.
        shared_port: one more port that reads and writes, as output buffers have.
        interpolate: False accepts rows of the table only.
        node_nm: process, 22 to 90 nm.
        cell: kind of transistors.

    Raises:
        InputError: if the bank is no row of the table, nor between rows.
    """
    below, above = _around_node(node_nm, cell)
    if below < above and not interpolate:
        nodes = listed(f"{nm:g}" for nm in _nodes())
        raise InputError(f"no CACTI figures at {node_nm:g} nm: known nodes are {nodes} nm")
    figures = _figures(size_bytes, word_bits, shared_port, interpolate, below, cell)
    if below < above:
        larger = _figures(size_bytes, word_bits, shared_port, interpolate, above, cell)
        figures = _between_nodes(node_nm, (below, figures), (above, larger))
    read_nj, write_nj, leakage_mw, area_mm2, access_ns, gate_mw = map(float, figures)
    return SramBank(
        read_pj_per_bit=read_nj * 1e3 / word_bits,
        write_pj_per_bit=write_nj * 1e3 / word_bits,
        leakage_mw=leakage_mw,
        area_mm2=area_mm2,
        access_ns=access_ns,
        gate_leakage_mw=gate_mw,
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
    limit = _surface(False, PUBLISHED_NM, PUBLISHED_CELL).smallest(word_bits)
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


def leave_one_out_errors(
    node_nm: float = PUBLISHED_NM, cell: Cell = PUBLISHED_CELL
) -> list[LeftOutError]:
    """What interpolation is worth at a tabled node: each row inside predicted without itself.

    ``size`` leaves out one row, ``width`` all rows of its word, ``node`` all rows of the node (none
    at the smallest and the largest). The gap is then twice as wide as in use, so these errors are
    larger than those between the rows of the whole table. `docs/machines.md` states them, as
    ``tests/accel_models/energy/test_sram.py`` holds them.
    """
    errors = []
    for along in ("size", "width", "node"):
        off = [row for port in (False, True) for row in _left_out(port, along, node_nm, cell)]
        for name, percent in zip(FIGURES, np.array(off).T, strict=True) if off else ():
            median, p90, largest = map(float, np.quantile(percent, (0.5, 0.9, 1.0)))
            errors.append(LeftOutError(along, name, len(off), median, p90, largest))
    return errors


def disorder(node_nm: float, cell: Cell) -> float:
    """The largest departure of ordered figures from the rows of a tabled node, in percent."""
    return max(
        float(np.abs(np.exp(ordered - np.log(rows[key])) - 1).max() * 100)
        for port in (False, True)
        for rows in (_rows(port, node_nm, cell),)
        for key, ordered in _in_order(rows).items()
    )


def node_around(node_nm: float, nodes: Iterable[float]) -> tuple[float, float]:
    """The largest known node up to this one and the smallest from this one on.

    Raises:
        InputError: outside them.
    """
    known = sorted(nodes)
    if not known[0] <= node_nm <= known[-1]:
        raise InputError(
            f"no SRAM figures at {node_nm:g} nm: the range is {known[0]:g} to {known[-1]:g} nm"
        )
    above = bisect_left(known, node_nm)
    return known[above - (known[above] != node_nm)], known[above]


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


def _left_out(shared_port: bool, along: str, node_nm: float, cell: Cell) -> Iterator[BankFigures]:
    """Errors of all figures in percent, for each row with neighbours on both sides."""
    rows = _rows(shared_port, node_nm, cell)
    nodes = _nodes()
    at = nodes.index(node_nm)
    for (size, word), figures in rows.items():
        if along == "node":
            if not 0 < at < len(nodes) - 1:
                continue
            below, above = (
                (nm, _rows(shared_port, nm, cell)[size, word])
                for nm in (nodes[at - 1], nodes[at + 1])
            )
            guess: BankFigures | None = _between_nodes(node_nm, below, above)
        elif along == "size":
            guess = _Surface({k: row for k, row in rows.items() if k != (size, word)}).at(
                size, word
            )
        else:
            guess = _Surface({k: row for k, row in rows.items() if k[1] != word}).at(size, word)
        if guess is not None:
            yield 100 * np.abs(guess / figures - 1)


def _figures(
    size: int, word: int, shared_port: bool, interpolate: bool, node_nm: float, cell: Cell
) -> BankFigures:
    """Figures of a bank at a tabled node."""
    figures = _rows(shared_port, node_nm, cell).get((size, word))
    if figures is None and interpolate:
        figures = _surface(shared_port, node_nm, cell).at(size, word)
    if figures is None:
        raise InputError(_refusal(size, word, _surface(shared_port, node_nm, cell), interpolate))
    return figures


def _between_nodes(
    nm: float, smaller: tuple[float, BankFigures], larger: tuple[float, BankFigures]
) -> BankFigures:
    """Figures between two nodes, each with a bank's own."""
    (below, low), (above, high) = smaller, larger
    share = log(nm / below) / log(above / below)
    figures = np.exp((1 - share) * np.log(low) + share * np.log(high))
    straight = (nm - below) / (above - below)
    figures[_LEAKAGES] = (1 - straight) * low[_LEAKAGES] + straight * high[_LEAKAGES]
    return figures


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


def _around_node(node_nm: float, cell: Cell) -> tuple[float, float]:
    if cell not in CELLS:
        raise InputError(f"unknown SRAM cell {cell!r}: known are {listed(CELLS)}")
    return node_around(node_nm, _nodes())


@cache
def _surface(shared_port: bool, node_nm: float, cell: Cell) -> _Surface:
    return _Surface(_rows(shared_port, node_nm, cell))


def _rows(shared_port: bool, node_nm: float, cell: Cell) -> Rows:
    return _table()[node_nm, cell, shared_port]


def _nodes() -> list[float]:
    return sorted({node for node, _, _ in _table()})


@cache
def _table() -> dict[tuple[float, str, bool], dict[tuple[int, int], BankFigures]]:
    """Rows by (node, cell, whether there is a shared port)."""
    table: dict[tuple[float, str, bool], dict[tuple[int, int], BankFigures]] = {}
    for row in read_table("sram_cacti.csv"):
        rows = table.setdefault((float(row["node_nm"]), row["cell"], row["shared_port"] == "1"), {})
        key = int(row["size_bytes"]), 8 * int(row["word_bytes"])
        rows[key] = np.array([float(row[name]) for name in FIGURES])
    return table
