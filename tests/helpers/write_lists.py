"""Layer lists of the package written again, from the networks of `zoo` as the tracer reads them.

python tests/helpers/write_lists.py [NAME ...]

The six that were counted by hand stay as they are: tests hold them against the tracer.
"""

from __future__ import annotations

import sys

from zoo import NETS, built

from accel_models.workloads.layer_csv import LISTS
from accel_models.workloads.write_csv import write_layers
from dfs_hw import workload_of

BY_HAND = ("mobilenet_v1", "mobilenet_v2", "resnet50", "vgg16", "vit_b_16", "vit_tiny")
TRACED = tuple(name for name in NETS if name not in BY_HAND)


def main() -> None:
    for name in sys.argv[1:] or TRACED:
        workload = workload_of(built(name), NETS[name].example(), name=name)
        write_layers(workload, LISTS / f"{name}.csv")
        print(name, len(workload.layers), workload.macs, *workload.assumed)


if __name__ == "__main__":
    main()
