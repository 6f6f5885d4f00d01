"""Benches of many contenders, without loading the same data and building the same network again."""

from __future__ import annotations

from dataclasses import replace

from dfs_hw.budget import Budget
from dfs_hw.training.bench import Bench, fresh_network, relative_cost
from dfs_hw.training.config import TrainConfig


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
        for bench in self._kept:
            if same_start(bench.config, config):
                return replace(bench, config=config, budget=Budget.parse(config.budget, bench.cost))
        kept = self._kept[0]
        start = fresh_network(config, kept.splits)
        cost = relative_cost(config, start, kept.splits).to(self.device)
        bench = replace(kept, config=config, start=start, cost=cost)
        self._kept.append(bench)
        return replace(bench, budget=Budget.parse(config.budget, cost))


def same_start(first: TrainConfig, second: TrainConfig) -> bool:
    """Whether two configurations of a study and a seed start from the same network."""
    return first.choices == second.choices and first.design() == second.design()
