"""Pages of an exploration: one HTML file each, which needs no other and no network."""

from accel_models.explore.page.cross import write_cross_page
from accel_models.explore.page.study import write_study_page

__all__ = ["write_cross_page", "write_study_page"]
