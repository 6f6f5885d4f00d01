"""What any gate could win: oracles that choose by one network and are judged by another."""

from dfs_hw.headroom.oracle import Headroom
from dfs_hw.headroom.study import HeadroomStudy, headroom

__all__ = ["Headroom", "HeadroomStudy", "headroom"]
