"""Published results, recomputed."""

from accel_models.validation.eyeriss import compare_with_eyeriss
from accel_models.validation.neureka import compare_with_neureka
from accel_models.validation.psma import compare_with_psma
from accel_models.validation.published_rows import validate_table

__all__ = [
    "compare_with_eyeriss",
    "compare_with_neureka",
    "compare_with_psma",
    "validate_table",
]
