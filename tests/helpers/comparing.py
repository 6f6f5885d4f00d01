"""A small comparison, as the tests ask for it."""

from collections.abc import Iterator
from dataclasses import replace

from accel_models import load_accelerator, simulate
from accel_models.precision import Precision, highest
from dfs_hw.baselines.findings import Findings
from dfs_hw.baselines.records import Record
from dfs_hw.baselines.setups import ContenderSetups
from dfs_hw.baselines.study import Study
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.setup import TrainingSetup

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
    families=("static", "best-static", "smaller", "dfs", "knob", "cascade"),
    points=(),
    prices=(0.0, 0.5, 1.0),
    shuffles=2,
    smaller=("x0.5",),
    grid=(0.9, 1.25),
)
AS_WORDS = [
    *("compare", "--network", "resnet8", "--choices", "skip,2,8", "--budget", "0.95"),
    *("--set", "widths=4,8,8", "--set", "supernet_epochs=1", "--epochs", "1", "--seeds", "0,1"),
    *("--contenders", ",".join(STUDY.families), "--points", "", "--shuffles", "2", "--quiet"),
    *("--smaller", "x0.5", "--grid", "0.9,1.25"),
]
"""The same study, but for its prices, as asked for on the command line."""


def setup_of(
    setups: dict[int, ContenderSetups], findings: Findings, record: Record
) -> TrainingSetup:
    config = findings.contender(record.contender).config
    return setups[record.seed].of(replace(config, seed=record.seed))


def adaptive(findings: Findings, variant: str) -> Iterator[Record]:
    """Records of networks that were trained to decide, run in one way, seed by seed."""
    for record in findings.records:
        one = findings.contender(record.contender)
        if (
            (record.variant, record.target) == (variant, one.target)
            and one.adaptive
            and one.trained
        ):
            yield record


def costs(record: Record) -> tuple[float, ...]:
    return record.energy_j, record.latency_s, record.bitops, record.share


def simulated(setup: TrainingSetup, choices: str) -> tuple[float, float, float]:
    """Energy, latency and BitOps of the bare network at choices written as records have them."""
    precisions = [Precision.parse(word) for word in choices.split()]
    bare = setup.table.workload.without_gates()
    machine = load_accelerator(setup.accelerator)
    by_unit = dict(zip(setup.table.units, precisions, strict=True))
    run = simulate(bare, machine, by_unit, always=highest(setup.start.choices))
    return run.energy_j, run.latency_s, float(run.bitops)
