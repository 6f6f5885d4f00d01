"""Long studies, cell by cell: what a TOML file asks for, one trained network at a time."""

from dfs_hw.studies.cells import Cell, cells_of, named_cells, run_cell
from dfs_hw.studies.definition import StudyDefinition
from dfs_hw.studies.finished_networks import FinishedNetworks
from dfs_hw.studies.page import study_page
from dfs_hw.studies.priced import PricedStudy, priced_on, priced_studies
from dfs_hw.studies.together import comparisons, measured_cells
from dfs_hw.studies.worth import Worth, check_space, worth_in, worth_on
from dfs_hw.studies.worth_page import WORTH_FILES, told_by, write_worth

__all__ = [
    "WORTH_FILES",
    "Cell",
    "FinishedNetworks",
    "PricedStudy",
    "StudyDefinition",
    "Worth",
    "cells_of",
    "check_space",
    "comparisons",
    "measured_cells",
    "named_cells",
    "priced_on",
    "priced_studies",
    "run_cell",
    "study_page",
    "told_by",
    "worth_in",
    "worth_on",
    "write_worth",
]
