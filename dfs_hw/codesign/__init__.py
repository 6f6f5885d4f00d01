"""Machine and gates chosen for each other."""

from dfs_hw.codesign.alternation import Codesign, codesign

__all__ = ["Codesign", "codesign"]
