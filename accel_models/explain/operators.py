"""Which operators run where on a machine: on its array, on its vector unit, or not at all."""

from __future__ import annotations

from typing import Any, NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.simulator import simulate
from accel_models.errors import InfeasibleError
from accel_models.workloads.operators import ACTIVATIONS, UPSAMPLING, VECTOR_OPERATORS
from accel_models.workloads.workload import Layer, Workload

ARRAY, VECTOR_UNIT = "array", "vector unit"
_MAP: dict[str, Any] = {"in_size": (8, 8)}
_SAMPLES: dict[str, dict[str, Any]] = {
    "convolution": {"kernel": (3, 3), "padding": 1, **_MAP},
    "strided or dilated": {"kernel": (3, 3), "stride": (2, 2), "dilation": (2, 2), **_MAP},
    "grouped, depthwise": {"kernel": (3, 3), "padding": 1, "groups": 16, **_MAP},
    "1-d convolution": {"kernel": (1, 3), "in_size": (1, 64)},
    "3-d convolution": {"kernel": (3, 3, 3), "padding": 1, "in_size": (4, 8, 8)},
    "transposed convolution": {
        **{"kernel": (2, 2), "stride": (2, 2), "operator": "transposed_conv"},
        **_MAP,
    },
    "linear, over sequences too": {"in_size": (64, 1)},
    "product of activations": {"groups": 2, "operator": "matmul", "in_size": (64, 1)},
    "relu, relu6 as outputs leave: rounding": {"activation": "relu", **_MAP},
    "other activations as outputs leave": {"activation": "gelu", **_MAP},
    **{
        name: {"operator": name, **_MAP, **({"out_size": (16, 16)} if name in UPSAMPLING else {})}
        for name in VECTOR_OPERATORS
    },
}
"""A small layer of each kind."""


class Placed(NamedTuple):
    """Where a machine runs an operator; "" and why, if it does not."""

    operator: str
    where: str
    why_not: str = ""


def placements(machine: Accelerator, precision: str = "8") -> tuple[Placed, ...]:
    """Where a machine runs each kind of layer, found by running a small one.

    Args:
        machine: the machine.
        precision: at which it is tried.
    """
    found = []
    for kind, shape in _SAMPLES.items():
        layer = Layer("sample", 16, 16, **shape)
        try:
            simulate(Workload(kind, (layer,)), machine, precision)
        except InfeasibleError as error:
            found.append(Placed(kind, "", str(error).partition(": ")[2]))
        else:
            on_array = layer.on_array and not ACTIVATIONS.get(layer.activation, 0)
            found.append(Placed(kind, ARRAY if on_array else VECTOR_UNIT))
    return tuple(found)
