"""What families of arrays ask about operands and layers before they multiply."""

from __future__ import annotations

import math

from accel_models.errors import InfeasibleError
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer


def refuse_wider(widths: Precision, widest_bits: int) -> None:
    """Do nothing if both operands have at most `widest_bits`.

    Raises:
        InfeasibleError: naming the operand that is wider.
    """
    for operand, bits in (("weights", widths.weight_bits), ("activations", widths.activation_bits)):
        if bits > widest_bits:
            raise InfeasibleError(
                f"{bits}-bit {operand} are wider than the array's {widest_bits} bits"
            )


def is_linear(layer: Layer) -> bool:
    """Whether every input has one output position only, so that no weight is used twice."""
    return math.prod(layer.kernel) == 1 and math.prod(layer.out_size) == 1
