"""How each family of arrays multiplies at given widths, and what one of your own is made of."""

# Importing a family registers it.
from accel_models.accelerators.arrays import (  # noqa: F401
    bismo,
    bit_fusion,
    bitblade,
    colonnade,
    dadiannao,
    eyeriss,
    loom,
    neureka,
    psma,
    stripes,
    systolic,
    unpu,
)
from accel_models.accelerators.arrays.array import (
    LANE_RULES,
    NO_PASS,
    Array,
    Banks,
    BankShape,
    Datapath,
    StatedFigures,
)
from accel_models.accelerators.arrays.operands import is_linear, refuse_wider
from accel_models.accelerators.arrays.registry import FAMILIES, register_family
from accel_models.energy.array import ArrayFigures, array_figures

__all__ = [
    "FAMILIES",
    "LANE_RULES",
    "NO_PASS",
    "Array",
    "ArrayFigures",
    "BankShape",
    "Banks",
    "Datapath",
    "StatedFigures",
    "array_figures",
    "is_linear",
    "refuse_wider",
    "register_family",
]
