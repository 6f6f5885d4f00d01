"""Setups of many contenders, without loading the same data and building the same network again."""

from __future__ import annotations

from dfs_hw.budgets.hardware_cost import RelativeCost
from dfs_hw.data import Splits
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.start import PricedNetwork, check_device, fresh_network, load, priced


class ContenderSetups:
    """What `TrainingSetup.of` would give; keeps data and networks to start from, of one seed.

    Configurations must be of one study: they differ in seed, budget, network, widths, choices and
    design alone.

    Args:
        device: to train on.
        progress: show bars on stderr.
    """

    def __init__(self, device: str = "cpu", progress: bool = False) -> None:
        self.device, self.progress = device, progress
        self._loaded: tuple[int, Splits] | None = None
        """Seed and data."""
        self._starts: list[tuple[TrainConfig, PricedNetwork]] = []
        """Networks of that seed, each with the configuration it was first built for."""

    def of(self, config: TrainConfig) -> TrainingSetup:
        """The setup of a configuration.

        Raises:
            InputError: if anything in it cannot be used, such as its budget.
        """
        splits, start = self._splits(config), self._start(config)
        return TrainingSetup.assembled(
            config, splits, start, device=self.device, progress=self.progress
        )

    def cost(self, config: TrainConfig) -> RelativeCost:
        """What the choices of a configuration cost, be its budget within their reach or not."""
        return self._start(config).cost

    def start(self, config: TrainConfig) -> DynamicNetwork:
        """The network of a configuration before any training, on the CPU."""
        return self._start(config).network

    def _splits(self, config: TrainConfig) -> Splits:
        if self._loaded is None or self._loaded[0] != config.seed:
            check_device(self.device)
            self._loaded = config.seed, load(config, self.device, self.progress)
            self._starts = []
        return self._loaded[1]

    def _start(self, config: TrainConfig) -> PricedNetwork:
        splits = self._splits(config)
        for known, start in self._starts:
            if same_start(known, config):
                return start
        start = priced(config, fresh_network(config, splits), splits, self.device)
        self._starts.append((config, start))
        return start


def same_trunk(first: TrainConfig, second: TrainConfig) -> bool:
    """Whether two configurations train the same network before exits, should they have any."""
    return same_start(first.without_exits(), second.without_exits())


def same_start(first: TrainConfig, second: TrainConfig) -> bool:
    """Whether two configurations of a study and a seed start from the same network."""
    same = all(
        getattr(first, name) == getattr(second, name) for name in ("network", "widths", "choices")
    )
    return same and first.design() == second.design()
