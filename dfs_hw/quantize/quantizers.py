"""The families of quantisers, by name.

- ``normal``: steps of least squared error on a normal distribution; nothing to learn.
- ``lsq``: learned steps.
- ``nested``: low-bit weights are a prefix of the high-bit ones.
- ``minmax``: as in DFS, between the extremes of a tensor; the faults of its released code can be
  switched on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.quantize import minmax
from dfs_hw.quantize.lsq import LearnedStepActivations, LearnedStepWeights
from dfs_hw.quantize.minmax import MinMaxActivations, MinMaxWeights
from dfs_hw.quantize.nested import NestedWeights
from dfs_hw.quantize.normal import NormalActivations, NormalWeights
from dfs_hw.quantize.operands import ActivationQuantizer, WeightQuantizer


class Family(NamedTuple):
    """How the two operands of a layer are quantised."""

    weights: Callable[[tuple[int, ...], Tensor], WeightQuantizer]
    """Quantiser of weights, made from the widths, one for each precision of the layer, and its
    weight."""
    activations: Callable[[tuple[int, ...], bool], ActivationQuantizer]
    """Quantiser of activations, made from the widths, one for each precision of the layer, and
    whether inputs have a sign."""


QUANTIZERS = {
    "normal": Family(NormalWeights, NormalActivations),
    "lsq": Family(LearnedStepWeights, LearnedStepActivations),
    "nested": Family(NestedWeights, NormalActivations),
    "minmax": Family(MinMaxWeights, MinMaxActivations),
}

QUANTIZER_FAULTS: dict[str, str] = minmax.FAULTS
"""Faults of the code released with DFS that can be switched on, and what each does."""


def family(name: str, faults: frozenset[str] = frozenset()) -> Family:
    """The family called `name`, with the given faults.

    Raises:
        InputError: if there is no such family, or it has no such fault.
    """
    if name not in QUANTIZERS:
        raise InputError(f"'{name}' is no quantiser: choose one of {', '.join(QUANTIZERS)}")
    known = QUANTIZER_FAULTS if name == "minmax" else {}
    for fault in sorted(faults - known.keys()):
        raise InputError(
            f"the quantiser {name} has no fault '{fault}' to switch on: "
            f"it knows {', '.join(known) or 'none'}"
        )
    chosen = QUANTIZERS[name]
    if not faults:
        return chosen
    return chosen._replace(activations=partial(MinMaxActivations, faults=faults))
