"""Benches of many contenders, without loading the same data and building the same network again."""

from __future__ import annotations

from dataclasses import replace

from dfs_hw.budgets.budget import Budget
from dfs_hw.budgets.hardware_cost import HardwareCost, RelativeCost
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.setup import Bench, fresh_network, price_list


class Benches:
    """What `Bench.of` would give; keeps the data and the networks to start from of one seed.

    Configurations must be of one study: they differ in seed, budget, choices and design alone.
    """

    def __init__(self, device: str = "cpu", progress: bool = False) -> None:
        self.device, self.progress = device, progress
        self._kept: list[Bench] = []

    def of(self, config: TrainConfig) -> Bench:
        """The bench of a configuration.

        Raises:
            InputError: if anything in it cannot be used, such as its budget.
        """
        if not self._kept or self._kept[0].config.seed != config.seed:
            self._kept = [Bench.of(config, device=self.device, progress=self.progress)]
        bench = self._alike(config)
        return replace(bench, config=config, budget=Budget.parse(config.budget, bench.cost))

    def cost(self, config: TrainConfig) -> RelativeCost:
        """What the choices of a configuration cost, be its budget within their reach or not; its
        seed must be the last that was asked for."""
        return self._alike(config).cost

    def _alike(self, config: TrainConfig) -> Bench:
        """A bench that differs in its configuration and budget alone."""
        for bench in self._kept:
            if same_start(bench.config, config):
                return bench
        kept = self._kept[0]
        start = fresh_network(config, kept.splits)
        table = price_list(config, start, kept.splits)
        cost = HardwareCost(table, config.metric, start.offered).to(self.device)
        bench = replace(kept, config=config, start=start, cost=cost, asked=table)
        self._kept.append(bench)
        return bench


def same_start(first: TrainConfig, second: TrainConfig) -> bool:
    """Whether two configurations of a study and a seed start from the same network."""
    return first.choices == second.choices and first.design() == second.design()
