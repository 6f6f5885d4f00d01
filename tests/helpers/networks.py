"""Layer lists the tests share: figures for them are published."""

from typing import Any

from accel_models import Layer, Workload
from accel_models.workloads.operators import OPERATORS, TAKES_OTHERS, UPSAMPLING


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


def every_operator() -> Workload:
    """One layer of each operator, and a convolution of maps with depth: 8 channels on 6 x 6 and
    12 x 12 maps."""
    small: dict[str, Any] = {"in_size": (6, 6)}
    twice: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2)}
    layers = [
        Layer("words", 50, 8, out_size=(6, 6), operator="embedding"),
        Layer("stem", 3, 8, (3, 3), (6, 6), padding=(1, 1), reads_image=True),
        Layer("deep", 3, 8, (2, 3, 3), (3, 4, 4), reads_image=True),
        Layer("up", 8, 8, padding=(1, 0, 1, 0), operator="transposed_conv", **twice, **small),
        Layer(
            "max_pool", 8, 8, padding=(0, 1, 0, 1), operator="max_pool", **twice, out_size=(6, 6)
        ),
    ]
    edges = [("stem", "up", "input"), ("up", "max_pool", "input")]
    before = "max_pool"
    known = {layer.operator for layer in layers}
    for operator in OPERATORS:
        if operator in known:
            continue
        size = small
        if operator in UPSAMPLING:
            size = small | {"out_size": (12, 12)}
        if operator == "avg_pool":
            size = small | {"kernel": (2, 2)}
        heads = {"groups": 2} if operator in ("matmul", "softmax") else {}
        layers.append(Layer(operator, 8, 8, operator=operator, **size, **heads))
        if operator in ("matmul", *TAKES_OTHERS):
            edges.append(("words", operator, "other"))
        if operator in (*UPSAMPLING, "avg_pool"):  # beside the chain: its map has another size
            edges.append((before, operator, "input"))
            continue
        edges.append((before, operator, "input"))
        before = operator
    return Workload("every operator", tuple(layers), tuple(edges))
