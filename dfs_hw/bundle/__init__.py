"""Networks that decide, written as files that a runtime of fifty lines can execute.

`MarkedNetwork` runs all that inputs may choose in one pass with marks in it, PyTorch exports that
pass as one graph, and `Cutting` cuts it at the marks into an ONNX file each.
"""

from __future__ import annotations

from dfs_hw.bundle.export import export_bundle
from dfs_hw.bundle.manifest import (
    BundledFile,
    BundledGate,
    BundledInput,
    BundledUnit,
    GateSetting,
    Manifest,
    read_manifest,
)

__all__ = [
    "BundledFile",
    "BundledGate",
    "BundledInput",
    "BundledUnit",
    "GateSetting",
    "Manifest",
    "export_bundle",
    "read_manifest",
]
