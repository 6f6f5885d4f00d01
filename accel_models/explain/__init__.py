"""Why a machine costs what it does: its data sheet, one layer taken apart, departures."""

from accel_models.explain.data_sheet import compare_machines, spec_sheet
from accel_models.explain.departures import effects
from accel_models.explain.layer import explain, pareto_set
from accel_models.explain.operators import placements

__all__ = [
    "compare_machines",
    "effects",
    "explain",
    "pareto_set",
    "placements",
    "spec_sheet",
]
