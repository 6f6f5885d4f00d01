"""A record of a comparison, as `compare` leaves it as far as reports state it, made up."""

from __future__ import annotations

from typing import Any

from dfs_hw.baselines.writing import FORMAT
from dfs_hw.report.sources.comparison_file import SPREADS
from dfs_hw.training.config import TrainConfig, plain

POINTS = {"mean": 0.02, "low": 0.01, "high": 0.03, "by_seed": {"0": 0.01, "1": 0.03}}
NAMES = {"static-8": "8 bit everywhere", "dfs": "DFS"}
FIGURES = {"accuracy": 0.9, "energy_j": 2e-5, "latency_s": 1e-5, "bitops": 5e6, "share": 0.9}


def comparison_record() -> dict[str, Any]:
    """A static network and one that decides, of two seeds."""
    row = {"variant": "as trained", "target": 1.0, "price": None, "met": 2, "over": 0, "n": 2}
    spreads = {name: {"mean": FIGURES[name], "deviation": 0.0, "n": 2} for name in SPREADS}
    record = {"variant": "as trained", "target": 1.0, "validation_accuracy": 0.9, **FIGURES}
    verdict = {
        **{"contender": "dfs", "target": 1.0, "as_trained": True, "share": 0.9, "accuracy": 0.9},
        "against_static": {"than": "static-8", "points": POINTS},
        "against_shuffled": {"than": "shuffled", "points": POINTS},
        "saving": {"than": "static-8", "share": POINTS, "points": POINTS},
        **{"earned": True, "sentence": "DFS earned its keep."},
    }
    return {
        "format": FORMAT,
        "study": {
            "seeds": [0, 1],
            "config": {k: v for k, v in plain(TrainConfig()).items() if k != "seed"},
        },
        "budget": {"text": "0.5", "metric": "energy", "amount": 2e-5, "unit": "J"},
        "contenders": [
            {"name": name, "title": title, "family": name.split("-")[0]}
            for name, title in NAMES.items()
        ],
        "left_out": {"knob": "it is not finished"},
        "records": [
            {**record, "contender": name, "seed": seed, "fixed": ""}
            for name in NAMES
            for seed in (0, 1)
        ],
        "rows": [{**row, "contender": name, "figures": spreads, "fixed": []} for name in NAMES],
        "best_static": "static-8",
        "verdicts": [verdict],
        "headroom": None,
    }
