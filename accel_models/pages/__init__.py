"""Pages for people: one HTML file each, which needs no other and no network, and its charts.

A `Chart` is data: a table and how to draw it. On a page one script draws it, with hover, filters,
zoom, keys, a table that sorts and a file to download; on paper `write_figure` does.
"""

from accel_models.pages.chart import Chart, ChartMark
from accel_models.pages.figure import write_figure
from accel_models.pages.frame import Column, Frame
from accel_models.pages.template import render

__all__ = ["Chart", "ChartMark", "Column", "Frame", "render", "write_figure"]
