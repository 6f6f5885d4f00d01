"""Networks whose blocks are skipped or run at a width chosen per input."""

from accel_models.workloads.cifar_resnet import WIDTHS
from dfs_hw.networks.build import NETWORKS, build_network, register_network
from dfs_hw.networks.cifar_resnet import CifarResNet
from dfs_hw.networks.design import FAULTS, Design
from dfs_hw.networks.dynamic import DynamicNetwork, Outcome
from dfs_hw.networks.make_dynamic import make_dynamic

__all__ = [
    "FAULTS",
    "NETWORKS",
    "WIDTHS",
    "CifarResNet",
    "Design",
    "DynamicNetwork",
    "Outcome",
    "build_network",
    "make_dynamic",
    "register_network",
]
