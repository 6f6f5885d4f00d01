"""Why a machine costs what it does: its data sheet, one layer taken apart, departures."""

from accel_models.explain.comparison import compare_machines
from accel_models.explain.data_sheet import spec_sheet
from accel_models.explain.departures import effects
from accel_models.explain.equal import equalised
from accel_models.explain.layer import explain, pareto_set
from accel_models.explain.operators import placements
from accel_models.explain.ranking import ranking

__all__ = [
    "compare_machines",
    "effects",
    "equalised",
    "explain",
    "pareto_set",
    "placements",
    "ranking",
    "spec_sheet",
]
