"""Have kernels compiled by using them once, before several processes of tests each do so.

python tests/helpers/compile_kernels.py search replay datapath blocks
"""

from __future__ import annotations

import sys

import numpy as np
from networks import gated_pair

from accel_models import CostTable, Precision, cost_table, list_accelerators
from accel_models import load_accelerator as load
from accel_models.mapping.problem import ACTIONS
from accel_models.mapping.problem_of import Tensors, problem_of
from accel_models.mapping.search import search
from accel_models.precision import highest, parse_choices
from accel_models.reference_machine.datapath.datapath import compute
from accel_models.reference_machine.events.timeline import timeline
from accel_models.replay import Policy, replay
from accel_models.trace import GateTrace, TraceHeader
from accel_models.workloads.workload import Ends

CHOICES = parse_choices("8,skip,2,4")
POLICIES = Policy.off(), Policy("modal"), Policy(batching="grouped", batch=2)


def main() -> None:
    for name in sys.argv[1:]:
        {"search": searches, "replay": replays, "datapath": datapaths, "blocks": blocks}[name]()


def searches() -> None:
    for name in list_accelerators():
        table_on(name)


def table_on(name: str) -> CostTable:
    return cost_table(gated_pair(), load(name), CHOICES, max_group=2)


def replays() -> None:
    """Replays, and the timeline that they are held against."""
    table = table_on("bitfusion")
    chosen = np.array([[0, 1], [1, 0], [2, 3]], np.uint8)
    header = TraceHeader(
        *("pair", "none", table.workload, table.choices, highest(CHOICES), "bitfusion", 0, "0")
    )
    zeros = np.zeros(len(chosen), int)
    trace = GateTrace(header, np.arange(len(chosen)), zeros, zeros, chosen)
    for policy in POLICIES:
        replay(trace, table, policy)
    timeline(table, chosen[0], Policy.off())


def datapaths() -> None:
    layer, widths = gated_pair().layers[2], Precision(8, 8)
    images = np.ones((1, layer.in_channels, *layer.in_size), int)
    weights = np.ones((layer.out_channels, layer.in_channels, *layer.kernel), int)
    for name in ("bitfusion", "stripes-published", "loom-1b-published", "unpu-published"):
        task = problem_of(layer, widths, Tensors(Ends(), 8), 1, load(name))
        found = search(task, [1.0] * len(ACTIONS), 1)
        compute(layer, load(name), widths, found.mapping, images, weights)


def blocks() -> None:
    """The blocks of a network, trained and evaluated."""
    import torch
    from dfs_pairing import adopt_statistics, spread_choices

    from dfs_hw.networks import build_network

    for quantizer in ("minmax", "lsq"):
        design, widths = {"quantizer": quantizer, "first_block": True}, (16, 32, 48)
        network = build_network("resnet8", "skip,4,full", 5, widths=widths, design=design)
        images = torch.randn(12, 3, 32, 32)
        spread_choices(network, images)
        adopt_statistics(network, images)
        network.normalize_by_batch(False)
        network(images).logits.sum().backward()
        with torch.no_grad():
            network.eval()(images)


if __name__ == "__main__":
    main()
