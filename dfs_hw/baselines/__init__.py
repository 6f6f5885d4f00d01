"""What a network that decides per input has to beat: the best that can be done for all at once."""

from dfs_hw.baselines.comparison import compare
from dfs_hw.baselines.study import Study
from dfs_hw.baselines.unit_sensitivity import sensitivity

__all__ = ["Study", "compare", "sensitivity"]
