"""A metric that is registered can be a budget, and the command line offers it."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from networks import gated_pair

from accel_models import InputError, cost_table, load_accelerator
from accel_models.metrics import Metric, Product, Sum, registered
from dfs_hw.baselines.study import Study
from dfs_hw.budgets.budget import Budget
from dfs_hw.budgets.hardware_cost import HardwareCost
from dfs_hw.training.config import TrainConfig

SLOWNESS = Metric("slow", "slow", "cycles", "cycles", "cycles", Sum(lambda done: done.cycles))
BOTH = Metric("both", "both", "cycles x energy", "cycles J", "both", Product(("slow", "energy")))


def test_a_registered_metric_is_a_budget() -> None:
    table = cost_table(gated_pair(), load_accelerator("bitfusion"))
    with registered(SLOWNESS), registered(BOTH):
        cost = HardwareCost(table, "slow")
        choices = torch.tensor([[3, 3], [0, 0], [1, 2]])
        fixed, units = table.costs("slow")
        expected = [fixed + units[0, a] + units[1, b] for a, b in choices.tolist()]
        np.testing.assert_allclose(cost.of_choices(choices) * cost.reference, expected, rtol=1e-6)
        middle = (cost.floor + cost.ceiling) / 2
        budget = Budget.parse(f"{middle * cost.reference / 1e3}kcycles@p95", cost)
        assert budget.fraction == pytest.approx(middle)
        both = HardwareCost(table, "both")
        energy = HardwareCost(table, "energy")
        assert both.reference == pytest.approx(cost.reference * energy.reference)
        with pytest.raises(InputError, match="both is mean slow times mean energy, and has no"):
            Budget.parse("0.5@p95", both)
        Study(TrainConfig(metric="slow"), (0,))
        with pytest.raises(InputError, match=r"energy, latency, bitops or slow .* not in both"):
            Study(TrainConfig(metric="both"), (0,))
    with pytest.raises(InputError, match="unknown metric 'slow'"):
        HardwareCost(table, "slow")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "offered"),
    [
        ("train", "energy, latency, edp, bitops, slow or paper"),
        ("compare", "energy, latency, edp, bitops, slow or paper"),
        ("cross", "energy, latency, p95, edp or slow"),
    ],
)
def test_the_command_line_offers_a_registered_metric(command: str, offered: str) -> None:
    code = (
        "from accel_models.metrics import Metric, Sum, register;"
        "register(Metric('slow', 'slow', '', 'cycles', 'cycles', Sum(lambda done: done.cycles)));"
        "from dfs_hw.cli import main; main()"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=True
    )
    assert offered in " ".join(re.findall(r"[^\s│]+", shown.stdout))
