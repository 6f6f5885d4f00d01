"""Networks that chips were measured on, as their papers have them: convolutions only."""

from __future__ import annotations

from accel_models.workloads.workload import Layer, Workload


def alexnet_convolutions() -> Workload:
    """AlexNet's five convolutions (Krizhevsky et al., NIPS 2012), two of them in two groups:
    666 million MACs for an image of 227 x 227."""
    return Workload.chain(
        "AlexNet convolutions",
        [
            Layer("conv1", 3, 96, (11, 11), in_size=(227, 227), stride=(4, 4), reads_image=True),
            Layer("conv2", 96, 256, (5, 5), in_size=(27, 27), padding=(2, 2), groups=2),
            Layer("conv3", 256, 384, (3, 3), in_size=(13, 13), padding=(1, 1)),
            Layer("conv4", 384, 384, (3, 3), in_size=(13, 13), padding=(1, 1), groups=2),
            Layer("conv5", 384, 256, (3, 3), in_size=(13, 13), padding=(1, 1), groups=2),
        ],
    )


def vgg16_convolutions() -> Workload:
    """VGG-16's thirteen convolutions (Simonyan and Zisserman, ICLR 2015): 15.3 billion MACs for an
    image of 224 x 224."""
    sides = {1: (224, (3, 64, 64)), 2: (112, (64, 128, 128)), 3: (56, (128, 256, 256, 256))}
    sides |= {4: (28, (256, 512, 512, 512)), 5: (14, (512, 512, 512, 512))}
    return Workload.chain(
        "VGG-16 convolutions",
        [
            Layer(
                f"conv{block}_{number}",
                channels[number - 1],
                channels[number],
                (3, 3),
                in_size=(side, side),
                padding=(1, 1),
                reads_image=channels[number - 1] == 3,
            )
            for block, (side, channels) in sides.items()
            for number in range(1, len(channels))
        ],
    )
