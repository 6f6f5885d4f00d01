"""Training the contenders of a comparison. The test split is not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from accel_models.files import whole_file
from accel_models.precision import Precision
from dfs_hw.baselines.contenders import Contender
from dfs_hw.baselines.kept import kept as kept_or_made
from dfs_hw.baselines.static_search import StaticSearch
from dfs_hw.networks.checkpoint import digest
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import spelled, train_fixed, train_supernet
from dfs_hw.training.stages.calibration import start_all_widths
from dfs_hw.training.stages.exits import settle_thresholds
from dfs_hw.training.stages.joint import train_joint
from dfs_hw.training.stages.results import Trained


@dataclass(frozen=True)
class Ready:
    """A contender trained from one seed."""

    contender: Contender
    folder: Path
    """Folder for what is measured of it."""
    stages: Path
    """Folder of the contender, where everything that was trained lies."""
    setup: TrainingSetup
    trained: Trained
    fixed: tuple[Precision, ...] = ()
    """Choice of each block of a static network; empty for one that decides."""

    @property
    def kept(self) -> tuple[Precision, ...]:
        """Choice of each block that runs, for all inputs, of a network of one width; else empty."""
        return one_choice(self.contender, self.setup)

    @property
    def seed(self) -> int:
        """Seed of its training."""
        return self.setup.seed


def prepare(
    contender: Contender, setup: TrainingSetup, folder: Path, relatives: Iterable[Path] = ()
) -> Ready:
    """Train a contender, or the rest of it, or find it trained.

    Args:
        setup: of the contender's configuration and a seed.
        folder: for everything it leaves.
        relatives: folders of contenders that start from the same network: this one goes on from
            their backbone, supernet and gates of stage 2, where it has none of its own.
    """
    for name in shared(contender):
        _borrow(name, folder, relatives)
    kept = one_choice(contender, setup)
    if contender.adaptive:
        trained = settle_thresholds(setup, folder, kept) if kept else train_joint(setup, folder)
        return Ready(contender, folder, folder, setup, trained)
    fixed = kept or best_per_block(setup, folder)
    trained = train_fixed(setup, fixed, folder)
    return Ready(contender, folder, folder, setup, trained, fixed)


def one_choice(contender: Contender, setup: TrainingSetup) -> tuple[Precision, ...]:
    """Choice of each block of a network of one width; empty for others."""
    if not contender.choice:
        return ()
    return (Precision.parse(contender.choice),) * len(setup.start.units)


def best_per_block(setup: TrainingSetup, folder: Path) -> tuple[Precision, ...]:
    """The choice of each block that loses least within the budget, the same for all inputs.

    It is searched for in the supernet, which has trained all choices; where training has none, in
    the backbone after its widths have seen training images.
    """
    network = train_supernet(setup, folder).network

    def search() -> list[str]:
        if not setup.has_supernet:
            start_all_widths(setup, network)
        found = StaticSearch(setup, network.eval()).run()
        return [str(setup.table.choices[choice]) for choice in found]

    made_from = {
        "search": "joint loss",
        "network": digest(network),
        "start": setup.fingerprint,
        "cost_table": setup.table.digest,
        "budget": setup.budget.text,
    }
    found = kept_or_made(folder / "assignment.json", made_from, search, list[str])
    return tuple(Precision.parse(choice) for choice in found)


def shared(contender: Contender) -> Iterator[str]:
    """What others that start from the same network may have of it, in the order of training."""
    yield "backbone.safetensors"
    if contender.choice:
        if contender.adaptive:
            yield f"static-{spelled([Precision.parse(contender.choice)])}.safetensors"
        return
    yield "supernet.safetensors"
    if contender.adaptive:
        yield "gates.safetensors"


def _borrow(name: str, folder: Path, relatives: Iterable[Path]) -> None:
    """Copy a stage's result from the first relative that has it. Training itself finds out whether
    it is of the right settings, and does not use it otherwise."""
    wanted = folder / name
    if wanted.exists():
        return
    for relative in relatives:
        if (relative / name).is_file():
            with whole_file(wanted) as partial:
                partial.write_bytes((relative / name).read_bytes())
            return
