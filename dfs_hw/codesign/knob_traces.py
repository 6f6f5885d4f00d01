"""Networks with a knob, and what they decide at each price: recorded when asked for, then kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.table_cache import table_key
from accel_models.errors import InputError
from accel_models.precision import highest
from accel_models.trace import GateTrace
from accel_models.workloads.workload import Workload
from dfs_hw.data import Dataset, Splits, load_dataset
from dfs_hw.experiment import trace_header
from dfs_hw.networks.checkpoint import Checkpoint, load_checkpoint
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.recording import record
from dfs_hw.training.config import TrainConfig


@dataclass(frozen=True)
class Network:
    """A trained network with a knob, and what it is looked at with."""

    name: str
    digest: str
    checkpoint: Checkpoint
    config: TrainConfig
    splits: Splits

    @property
    def price(self) -> float:
        """Price of cost at which training left it."""
        return self.checkpoint.price or 0.0

    @cached_property
    def workload(self) -> Workload:
        """Layers of the network on images of its data; tracing it takes longer than a trace."""
        return workload_of(self.checkpoint.network, self.splits.test.image_size)

    @classmethod
    def load(cls, path: Path, name: str) -> Network:
        """Read a checkpoint of joint training.

        Raises:
            InputError: if it is none, or its network has no knob.
        """
        checkpoint = load_checkpoint(path)
        if checkpoint.facts.get("kind") != "joint" or checkpoint.price is None:
            raise InputError(f"{path} holds no network with a knob: train one with --set knob=true")
        config = TrainConfig.from_dict(checkpoint.facts["config"])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        return cls(name, digest, checkpoint, config, load_dataset(config.data, config.seed))


@dataclass(frozen=True)
class Recorder:
    """Traces by network, price and machine: recorded when first asked for, then kept."""

    folder: Path

    def trace(self, network: Network, price: float, machine: Accelerator, split: str) -> GateTrace:
        """What a network decides at a price of cost, for the inputs of a split."""
        dataset: Dataset = getattr(network.splits, split)
        dynamic, workload = network.checkpoint.network, network.workload
        always = highest(dynamic.choices)
        key = table_key(workload, machine, dynamic.choices, always, 1)
        path = self.folder / f"{network.digest}-{split}-{price:.12g}-{key}.parquet"
        if not path.is_file():
            header = trace_header(
                workload,
                dynamic.choices,
                split,
                data=network.config.data,
                accelerator=network.config.accelerator,
                plugin=network.checkpoint.facts.get("plugin", ""),
                seed=network.config.seed,
            )
            record(dynamic, dataset, path, header, price=price)
        return GateTrace.read(path)
