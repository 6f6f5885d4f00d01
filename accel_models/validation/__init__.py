"""Published results, recomputed."""

from accel_models.validation.claims import compare_with_claims
from accel_models.validation.eyeriss import compare_with_eyeriss
from accel_models.validation.neureka import compare_with_neureka
from accel_models.validation.psma import compare_with_psma
from accel_models.validation.published_rows import validate_table
from accel_models.validation.silicon import compare_with_silicon

__all__ = [
    "compare_with_claims",
    "compare_with_eyeriss",
    "compare_with_neureka",
    "compare_with_psma",
    "compare_with_silicon",
    "validate_table",
]
