"""Networks as the machines see them: layers, their tensors, and which are decided together."""

from accel_models.workloads.layer_csv import read_layers
from accel_models.workloads.workload import Layer, Workload

__all__ = [
    "Layer",
    "Workload",
    "read_layers",
]
