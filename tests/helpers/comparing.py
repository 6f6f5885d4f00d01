"""A small comparison, as the tests ask for it."""

from dfs_hw.baselines.study import Study
from dfs_hw.training.config import TrainConfig

CONFIG = TrainConfig(
    network="resnet8",
    widths=(4, 8, 8),
    choices="skip,2,8",
    budget="0.95",
    backbone_epochs=1,
    supernet_epochs=1,
    joint_epochs=1,
)
STUDY = Study(
    CONFIG,
    seeds=(0, 1),
    families=("static", "best-static", "dfs", "knob"),
    points=(),
    prices=(0.0, 0.5, 1.0),
    shuffles=2,
)
AS_WORDS = [
    *("compare", "--network", "resnet8", "--choices", "skip,2,8", "--budget", "0.95"),
    *("--set", "widths=4,8,8", "--set", "supernet_epochs=1", "--epochs", "1", "--seeds", "0,1"),
    *("--contenders", ",".join(STUDY.families), "--points", "", "--shuffles", "2", "--quiet"),
]
"""The same study, but for its prices, as asked for on the command line."""
