"""Quantisers, the layers that compute on their integers, and running statistics."""

from dfs_hw.quantize.layers import Dial, PrecisionNorm, QuantizedConv2d, QuantizedLinear
from dfs_hw.quantize.observer import Observer
from dfs_hw.quantize.quantizers import QUANTIZER_FAULTS, QUANTIZERS, Family, family
from dfs_hw.quantize.rounding import Levels, normal_step, quantize, step_of

__all__ = [
    "QUANTIZERS",
    "QUANTIZER_FAULTS",
    "Dial",
    "Family",
    "Levels",
    "Observer",
    "PrecisionNorm",
    "QuantizedConv2d",
    "QuantizedLinear",
    "family",
    "normal_step",
    "quantize",
    "step_of",
]
