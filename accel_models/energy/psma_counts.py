"""What a precision-scalable array is built of, counted from its place in the taxonomy.

The taxonomy is that of Ibrahim, Mei and Verhelst, "Survey and Benchmarking of Precision-Scalable
MAC Arrays for Embedded DNN Processing" (arXiv 2108.04773); registers and words are counted as in
the RTL released with it (KULeuven-MICAS/PSMA-benchmark at 94913e3, helper.sv, L1_mult.sv to
top_L4_mac.sv). Every array has 4 x 4 L3 units of 4 x 4 L2 units of 4 x 4 multipliers of 2 x 2 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, prod

from accel_models.precision import Precision

PRECISIONS = {
    "FU": (Precision(8, 8), Precision(4, 8), Precision(2, 8), Precision(4, 4), Precision(2, 2)),
    "SWU": (Precision(8, 8), Precision(4, 4), Precision(2, 2)),
}
"""Precisions that the arrays were built for, by unrolling, the widest first."""
L2_UNITS = 256
"""Units that multiply 8 by 8 bits once in a cycle (bit-serial ones: 16 times in 16 cycles)."""
BRICKS = 16
"""Multipliers of 2 x 2 bits in an L2 unit, and units of a level in one of the level above."""
SIDE = 4
HEADROOM = 4
"""Bits that an accumulator has above the widest sum that enters it."""
SERIAL_BITS = 20
"""Width of what a bit-serial L2 unit shifts its product together in; the headroom is in it."""


@dataclass(frozen=True)
class PsmaLevels:
    """Where an array joins its bit groups and what each of its levels shares, with no check.

    A level's two digits say what the units along its weights' and its activations' axis do: 1 add
    to one output, each with an input of its own, 0 take one input, each with an output of its own.
    So ``00`` shares inputs (IS), ``10`` is hybrid (HS), ``11`` shares outputs (OS).
    """

    bg: str
    """Level that shifts and adds bit groups to products: ``L2``, ``L3``, or ``BS``, over cycles."""
    l4: str
    """Sharing of the array: ``00``, ``10`` or ``11``."""
    l3: str
    """Sharing within a unit of 16 L2 units: ``00``, ``10`` or ``11``."""
    l2: str
    """Sharing within a unit of 16 multipliers: ``00``, ``10`` or ``11``."""
    unrolling: str = "FU"
    """Fully unrolled (``FU``: all multipliers work at every precision) or subwords (``SWU``: at 4
    bits half of them, at 2 bits a quarter)."""

    @property
    def join(self) -> str | None:
        """Sharing of the level where bit groups join; None where they join over cycles."""
        return {"L2": self.l2, "L3": self.l3}.get(self.bg)

    @property
    def trees(self) -> tuple[str, ...]:
        """Names of the levels that only add, from the multipliers on."""
        return ("l4",) if self.bg == "L3" else ("l3", "l4")

    @property
    def input_bits(self) -> int:
        """Bits of input registers: a byte for each input that its units do not share."""
        total = 0
        for axis in (0, 1):
            sharing = (self.l4, self.l3, *((self.l2,) if self.unrolling == "FU" else ()))
            own = [SIDE if level[axis] == "1" else 1 for level in sharing]
            total += 8 * SIDE * SIDE * prod(own)
        return total

    @property
    def output_bits(self) -> int:
        """Bits of accumulators: room for the most outputs, and for the widest set of them."""
        precisions = PRECISIONS[self.unrolling]
        most = max(self.outputs(precision) for precision in precisions)
        widest = max(self.outputs(precision) * self.width(precision) for precision in precisions)
        return most * (ceil(widest / most) + (0 if self.bg == "BS" else HEADROOM))

    @property
    def depth(self) -> int:
        """Additions in a row between input and output register, and a selection of operands where
        outputs are shared as bit groups join, which makes the operands depend on the precision."""
        adding = [self.l4, self.l3] if self.bg != "L3" else [self.l4, self.l2]
        joined = 2 if self.bg == "BS" else SIDE
        selects = self.unrolling == "FU" and self.join not in (None, "00")
        return joined + sum(_stages(_fan_in(level)) for level in adding) + selects

    def macs_per_cycle(self, precision: Precision) -> int:
        """MACs that the whole array finishes in a cycle."""
        return L2_UNITS * self.products(precision)

    def products(self, precision: Precision) -> int:
        """Products of 16 multipliers, in a cycle; a bit-serial unit's over as many as it takes."""
        across = 8 // precision.activation_bits
        return across * (8 // precision.weight_bits) if self.unrolling == "FU" else across

    def active(self, precision: Precision) -> float:
        """Share of the multipliers that work."""
        return self.products(precision) * bricks(precision) / BRICKS

    def words(self, precision: Precision) -> int:
        """Outputs of one set of 16 bit groups where these join: products that are not added."""
        if self.join is None:
            return 1
        widths = (precision.weight_bits, precision.activation_bits)
        if self.unrolling == "SWU":
            widths = (precision.weight_bits, 8)
        return prod(
            1 if axis == "1" else 8 // width for axis, width in zip(self.join, widths, strict=True)
        )

    def outputs(self, precision: Precision) -> int:
        """Outputs of the whole array."""
        others = [self.l4, self.l2 if self.bg == "L3" else self.l3]
        return self.words(precision) * prod(BRICKS // _fan_in(level) for level in others)

    def width(self, precision: Precision) -> int:
        """Width of the sum that enters an accumulator, in bits."""
        adding = [self.l4, self.l2 if self.bg == "L3" else self.l3]
        grown = sum(_stages(_fan_in(level)) for level in adding)
        if self.bg == "BS":
            return SERIAL_BITS + grown
        product = precision.activation_bits + precision.weight_bits
        return product + _stages(self.products(precision) // self.words(precision)) + grown

    def adder_bits(self, level: str, precision: Precision) -> int:
        """Bits of the adders that one of `trees` uses in the whole array, by pairs, each pair's
        sum a bit wider; none where the level shares no outputs."""
        fan_in = _fan_in(getattr(self, level))
        # All that was added before: what enters is as wide as what leaves less this level's growth.
        above = _fan_in(self.l4) if level == "l3" else 1
        entering = self.width(precision) - _stages(fan_in) - _stages(above)
        leaving = self.outputs(precision) * above
        pairs, width, total = fan_in // 2, entering + 1, 0
        while pairs:
            total += pairs * width
            pairs, width = pairs // 2, width + 1
        return leaving * total


def bricks(precision: Precision) -> int:
    """Multipliers of 2 x 2 bits, or cycles of a bit-serial unit, that a product takes."""
    return (precision.activation_bits // 2) * (precision.weight_bits // 2)


def join_stages(precision: Precision) -> int:
    """Additions in a row from multipliers to a product: as many as glitches pass on the way."""
    return _stages(bricks(precision))


def _fan_in(sharing: str) -> int:
    return SIDE ** sharing.count("1")


def _stages(number: int) -> int:
    return int(log2(number))
