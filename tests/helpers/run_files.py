"""A record of a run, as `run_experiment` leaves it, made up."""

from __future__ import annotations

from typing import Any

from dfs_hw.training.config import TrainConfig, plain

SHARES = {"accuracy": 0.9, "validation_accuracy": 0.8}


def variant(name: str, kind: str, precision: str = "") -> dict[str, Any]:
    """One way to run a network."""
    costs = {"bitops": 5e6, "energy_j": 2.5e-5, "latency_s": 1e-5}
    return {"name": name, "kind": kind, "precision": precision, **SHARES, **costs}


def run_record() -> dict[str, Any]:
    """Everything that ``run.json`` holds."""
    return {
        "config": plain(TrainConfig(choices="skip,2,8")),
        "versions": {"python": "3.11.7", "dfs-hw": "0.2.0"},
        "commit": "none: installed package",
        "platform": "Linux",
        "created": "2026-11-29T10:23:48+00:00",
        "seconds": 252.9,
        "classes": ["zero", "one"],
        "cost_table": "0123456789abcdef",
        "policy": {"prefetch": "none", "guess": None, "batch": 1},
        "budget": {"metric": "energy", "text": "0.5", "target": 2e-5, "reached": 2.1e-5},
        "validation": {"accuracy": 0.9, "price": None, "feasibility": {"kept": True}},
        "best_static": "2 bit everywhere",
        "variants": [
            variant("2 bit everywhere", "static", "2"),
            variant("8 bit everywhere (highest)", "static", "8"),
            variant("adaptive (DFS)", "adaptive"),
            variant("frozen choices", "frozen"),
            variant("shuffled decisions", "shuffled"),
        ],
    }
