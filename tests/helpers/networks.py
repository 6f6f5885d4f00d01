"""Layer lists the tests share: figures for them are published."""

from accel_models import Layer, Workload


def cifar_resnet38() -> Workload:
    """ResNet-38 for 32 x 32 images (He et al. 2016), 83.28 million MACs, without gates."""
    layers = [Layer("stem", 3, 16, (3, 3), (32, 32), padding=(1, 1), reads_image=True)]
    channels = 16
    for group, (width, side) in enumerate(((16, 32), (32, 16), (64, 8)), start=1):
        for block in range(1, 7):
            name, step = f"group{group}.block{block}", 2 if width > channels else 1
            half = {"kernel": (3, 3), "padding": (1, 1)}
            down = {"in_size": (side * step,) * 2, "stride": (step, step)}
            layers.append(Layer(f"{name}.conv1", channels, width, **down, **half))
            layers.append(Layer(f"{name}.conv2", width, width, in_size=(side, side), **half))
            if step == 2:
                layers.append(Layer(f"{name}.shortcut", channels, width, **down))
            channels = width
    return Workload.chain("resnet38", [*layers, Layer("classifier", 64, 10)])


def gated_pair() -> Workload:
    """A small network with two decision units, the second with a shortcut, and their gates."""
    conv = {"kernel": (3, 3), "out_size": (8, 8), "padding": (1, 1)}
    down = {"in_size": (8, 8), "stride": (2, 2)}
    return Workload.chain(
        "pair",
        [
            Layer("stem", 3, 16, reads_image=True, **conv),
            Layer("a.gate", 16, 4, role="gate", unit="a"),
            Layer("a.conv", 16, 16, role="body", unit="a", **conv),
            Layer("b.gate", 16, 4, role="gate", unit="b"),
            Layer("b.conv", 16, 40, (3, 3), padding=(1, 1), role="body", unit="b", **down),
            Layer("b.shortcut", 16, 40, role="shortcut", unit="b", **down),
            Layer("head", 40, 10),
        ],
    )
