"""What an exploration leaves for people: tables, records and pages, one HTML file each, which needs
no other and no network."""

from accel_models.exploration.report.cross_page import write_cross_table

__all__ = ["write_cross_table"]
