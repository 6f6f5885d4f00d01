"""Eyeriss: row-stationary processing elements of one fixed width (Chen et al., JSSC 2017).

A processing element (PE) keeps one row of a kernel and slides it along one row of the input, which
takes ``kernel columns x output columns`` steps. A *set* of kernel rows x output rows elements
computes a whole convolution of one input channel for one output channel: kernel rows run along the
array's rows, output rows along its columns. On an array of R x C elements, a tile of oh x ow
outputs, ic input and oc output channels, and a kernel of KH x KW takes, for each input of a batch::

    KH_folds = ceil(KH / R)                  parts of a kernel too tall for the array
    slots    = max(1, floor(R / KH))         sets on top of each other
    folds    = ceil(oh / C)                  parts of a map too tall for the array ...
    stacked  = min(slots, folds)             ... of which so many lie on top of each other
    beside   = max(1, floor(C / oh))         sets beside each other, for other output channels
    spare    = floor(slots / stacked)        sets on top of each other, for other channels

    steps = KW * ow * KH_folds * ceil(folds / stacked)
            * min over a in 1..spare of  ceil(ic / a) * ceil(oc / (floor(spare / a) * beside))

where a input channels are summed, and floor(spare / a) more output channels computed, at once. The
rule is that of nn_dataflow (Gao et al., ASPLOS 2017, ``MapStrategyEyeriss``), which the figures
released with Bit Fusion follow, with a tile in place of its map, and with splits that leave a few
sets empty allowed.

Of the 61 convolutions and linear layers in ``data/eyeriss_published.csv``, which ran on 16 x 16
elements, 56 take exactly these steps; the other five (AlexNet fc3, CIFAR10 conv5, RESNET-18
conv5_1_b and conv5_2_b, LSTM) took 1.0 to 1.6 % more, at another a.

The chip of 12 x 14 elements at 200 MHz would run AlexNet's convolutions at 44 and VGG-16's at 2.2
inputs a second if nothing but these steps took time. It was measured at 35 (batch 4) and 0.7
(batch 3). So the steps are a bound, 1.3 times too fast for AlexNet and 3 times for VGG-16, and no
overhead of one constant for each pass through the array explains both.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from accel_models.accelerators.arrays.array import Array, Datapath, LaneRule, StatedFigures
from accel_models.accelerators.arrays.operands import refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import ArrayFigures
from accel_models.precision import Precision
from accel_models.source import In
from accel_models.workloads.workload import Layer


@register_family
class Eyeriss(Array):
    """Row-stationary elements whose time and energy do not depend on the operands' widths."""

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("row-stationary",)

    family: Literal["eyeriss"]
    word_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Width of the multipliers: narrower operands are multiplied as if they had it."""
    stated: StatedFigures
    """Figures of one element, and of one multiplication with its accesses to the element's
    registers."""

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, self.word_bits)
        return Datapath(rows=self.rows, columns=self.columns, fill=self.rows)

    def buffered(self, widths: Precision) -> Precision:
        return Precision(self.word_bits, self.word_bits)

    @property
    def operations_per_cycle(self) -> int:
        return self.rows * self.columns

    def figures(self) -> ArrayFigures:
        return self.stated.stated(self.rows * self.columns, self.operations_per_cycle)


class ElementSets(NamedTuple):
    """How one pass through the array is made up, and how many of them a tile takes."""

    kernel_folds: int
    row_folds: int
    """Passes that a map's rows take."""
    in_channels: int
    """Input channels side by side in one pass, and summed."""
    out_channels: int
    """Output channels side by side in one pass."""


def row_stationary_sets(
    rows: int,
    columns: int,
    kernel_rows: int,
    out_rows: int,
    in_channels: int,
    out_channels: int,
) -> ElementSets:
    """The sets of a tile on an array of rows x columns elements, by the rule of this module.

    Among splits of equal time, the one of most input channels: it revisits fewest partial sums.
    """
    slots = max(1, rows // kernel_rows)
    folds = _ceil_div(out_rows, columns)
    stacked = min(slots, folds)
    beside = max(1, columns // out_rows)
    spare = slots // stacked
    splits = [(a, spare // a * beside) for a in range(1, spare + 1)]
    summed, others = min(
        splits,
        key=lambda split: (
            _ceil_div(in_channels, split[0]) * _ceil_div(out_channels, split[1]),
            -split[0],
        ),
    )
    return ElementSets(_ceil_div(kernel_rows, rows), _ceil_div(folds, stacked), summed, others)


def row_stationary_steps(
    rows: int,
    columns: int,
    kernel_rows: int,
    kernel_columns: int,
    out_rows: int,
    out_columns: int,
    in_channels: int,
    out_channels: int,
) -> int:
    """Steps of one tile for one input of the batch, by the rule of this module."""
    sets = row_stationary_sets(rows, columns, kernel_rows, out_rows, in_channels, out_channels)
    passes = (
        sets.kernel_folds
        * sets.row_folds
        * _ceil_div(in_channels, sets.in_channels)
        * _ceil_div(out_channels, sets.out_channels)
    )
    return kernel_columns * out_columns * passes


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)
