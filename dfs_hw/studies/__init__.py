"""Long studies, cell by cell: what a TOML file asks for, one trained network at a time."""

from dfs_hw.studies.cells import Cell, cells_of, named_cells, run_cell
from dfs_hw.studies.definition import StudyDefinition
from dfs_hw.studies.page import study_page
from dfs_hw.studies.priced import PricedStudy, priced_studies

__all__ = [
    "Cell",
    "PricedStudy",
    "StudyDefinition",
    "cells_of",
    "named_cells",
    "priced_studies",
    "run_cell",
    "study_page",
]
