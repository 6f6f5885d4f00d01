"""The CIFAR ResNets of He et al. (2016) by name, as layers alone: no network is built for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from accel_models.errors import InputError, quoted
from accel_models.workloads.workload import Layer, Workload

DEPTHS = (8, 14, 20, 32, 38, 44, 56, 74, 110)  # resnet152 is ImageNet's
WIDTHS = (16, 32, 64)
"""Channels of the three stages."""
MOST_CHANNELS = 2**14
"""Channels of a stage, at most: those of a 3 x 3 convolution are then 2.4e9 weights."""
NAMES = {f"resnet{depth}": depth for depth in DEPTHS}
"""Depth by name."""


def checked_widths(widths: Sequence[int]) -> None:
    """Refuse channels of stages that no memory would hold the weights of.

    Raises:
        InputError: if one is not 1 to `MOST_CHANNELS`.
    """
    if not all(1 <= width <= MOST_CHANNELS for width in widths):
        raise InputError(
            f"widths must be 1 to {MOST_CHANNELS} channels each, got {quoted(tuple(widths))}"
        )


def stages(depth: int, widths: Sequence[int] = WIDTHS) -> list[tuple[int, int, int]]:
    """Input channels, output channels and stride of each block, in the order of execution.

    Args:
        depth: 6n+2 for n blocks in each of the three stages.
        widths: channels of the stages.

    Raises:
        InputError: if there is no such depth.
    """
    per_stage, rest = divmod(depth - 2, 6)
    if rest or per_stage < 1:
        raise InputError(f"a CIFAR ResNet is 6n+2 layers deep, and {depth} is not")
    return [
        (before if block == 0 else width, width, 2 if stage and block == 0 else 1)
        for stage, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False))
        for block in range(per_stage)
    ]


def cifar_resnet(
    depth: int,
    *,
    classes: int = 10,
    in_channels: int = 3,
    image_size: tuple[int, ...] = (32, 32),
    widths: Sequence[int] = WIDTHS,
) -> Workload:
    """A CIFAR ResNet without gates: the layers that `dfs_hw.workload_of` finds in the network of
    this name, whose blocks can be skipped, all but the first.

    Args:
        depth: 6n+2 for n blocks in each of the three stages.
        classes: outputs of the classifier.
        in_channels: of the images.
        image_size: height and width of the images.
        widths: channels of the stages.

    Raises:
        InputError: if there is no such depth, or widths are out of their range.
    """
    checked_widths(widths)
    size = image_size
    layers = [_conv("stem", in_channels, widths[0], 3, 1, size)]
    layers[0] = replace(layers[0], reads_image=True)
    edges, last = [], "stem"
    for number, (before, width, stride) in enumerate(stages(depth, widths), start=1):
        block = _block(f"block{number}", before, width, stride, size, decided=number > 1)
        side, first, second = ([last] + [layer.name for layer in block])[-3:]
        edges += [(last, layer.name) for layer in block[:-1]]
        edges += [(first, second), (side, second)]
        layers += block
        size, last = block[-1].out_size, second
    layers.append(Layer("classifier", widths[-1], classes))
    return Workload(f"resnet{depth}", tuple(layers), (*edges, (last, "classifier")))


def _block(
    name: str, before: int, width: int, stride: int, size: tuple[int, ...], decided: bool
) -> list[Layer]:
    """The shortcut, where the shape changes, and two convolutions."""
    first = _conv(f"{name}.conv1", before, width, 3, stride, size)
    block = [first, _conv(f"{name}.conv2", width, width, 3, 1, first.out_size)]
    if decided:
        block = [replace(layer, role="body", unit=name) for layer in block]
    if stride == 1 and before == width:
        return block
    side = _conv(f"{name}.shortcut.0", before, width, 1, stride, size)
    return [replace(side, role="shortcut", unit=name) if decided else side, *block]


def _conv(
    name: str, inputs: int, outputs: int, kernel: int, stride: int, size: tuple[int, ...]
) -> Layer:
    """A convolution padded so that its stride alone makes its output smaller."""
    return Layer(
        name,
        inputs,
        outputs,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=(kernel // 2, kernel // 2),
        in_size=size,
    )
