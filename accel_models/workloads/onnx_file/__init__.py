"""ONNX files read as a `Workload`: sizes and operators, with or without weights.

`loading` opens a file and settles its sizes, `reader` walks its nodes with one small function an
operator (`array_nodes`, `vector_nodes`, `elementwise`, `views`), `contents` says what follows from
sizes alone, and `widths` what quantisers state.
"""

from accel_models.workloads.onnx_file.loading import read_onnx

__all__ = ["read_onnx"]
