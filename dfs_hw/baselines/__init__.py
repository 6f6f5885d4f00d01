"""What a network that decides per input has to beat: the best that can be done for all at once."""

from dfs_hw.baselines.sensitivity import sensitivity

__all__ = ["sensitivity"]
