"""Smaller networks of a kind: what a static network of less energy looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from accel_models.errors import InputError
from accel_models.workloads.cifar_resnet import NAMES
from dfs_hw.training.config import TrainConfig

FEWER_CHANNELS = ("x0.75", "x0.5")
"""Multiples of the channels that are tried where nobody says which."""
_MULTIPLE = re.compile(r"x(0?\.[0-9]{1,6})")


@dataclass(frozen=True)
class Size:
    """A network of fewer blocks or fewer channels."""

    name: str
    """Name as it is asked for, and of its contenders: ``resnet8``, or ``x0.5`` for channels."""
    title: str
    """Name that tables show."""
    config: TrainConfig
    """Settings of the larger network, but for what makes this one smaller. The budget is that of
    its highest precision, which it can reach: static networks are not trained for one."""

    @classmethod
    def of(cls, name: str, config: TrainConfig) -> Size:
        """A smaller network by name.

        Args:
            name: of a network; or ``x`` and a number below 1, by which the channels of every stage
                are multiplied, rounded, and at least 1.
            config: of the larger network.

        Raises:
            InputError: if the name is that of the larger network, or a multiple of no channels.
        """
        whole = replace(config, budget="1")
        if (found := _MULTIPLE.fullmatch(name)) and float(found[1]) > 0:
            widths = tuple(max(1, round(width * float(found[1]))) for width in config.widths)
            return cls(name, f"{float(found[1]):g} x channels", replace(whole, widths=widths))
        if name == config.network or (name.startswith("x") and name[1:2].isdigit()):
            raise InputError(
                f"a smaller network is another one than {config.network}, or a multiple of its "
                f"channels below 1 such as x0.5, got '{name}'"
            )
        return cls(name, name, replace(whole, network=name))


def usual_sizes(network: str) -> tuple[str, ...]:
    """What is smaller than a CIFAR ResNet, the largest first: every one of fewer blocks, and
    itself with fewer channels; nothing is known of other networks."""
    if network not in NAMES:
        return ()
    fewer = [name for name, depth in NAMES.items() if depth < NAMES[network]]
    return (*reversed(fewer), *FEWER_CHANNELS)
