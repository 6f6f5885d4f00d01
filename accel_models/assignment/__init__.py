"""The best static assignment of widths for a machine, exactly."""

from accel_models.assignment.assignment import Assignment, best_assignment, pareto_assignments

__all__ = [
    "Assignment",
    "best_assignment",
    "pareto_assignments",
]
