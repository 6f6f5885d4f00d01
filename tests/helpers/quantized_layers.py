"""Layers of a trained network as integers, for those who compute with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from accel_models import Layer, Precision
from dfs_hw.data import load_digits
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.quantize import QuantizedConv2d, QuantizedLinear
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.run import train_static

WIDTHS = (2, 4, 8)
"""Of the three blocks; what comes before and after them computes in 8 bits."""


class Seen(NamedTuple):
    """A quantised layer of a network at work: its operands as integers, their scale, its output
    without the bias."""

    layer: Layer
    widths: Precision
    inputs: np.ndarray
    weights: np.ndarray
    scale: float
    output: Tensor
    signed_inputs: bool


def quickly_trained(folder: Path) -> DynamicNetwork:
    """A network trained on digits for two epochs, its blocks at 2, 4 and 8 bits."""
    config = TrainConfig(
        network="resnet8",
        widths=(4, 8, 16),
        first_block=True,
        choices="2,4,8",
        budget="0.9",
        backbone_epochs=1,
        joint_epochs=1,
        batch=32,
    )
    return train_static(config, WIDTHS, folder, progress=False).network.eval()


def seen_layers(network: DynamicNetwork, batch: int) -> list[Seen]:
    """Run some images through a network and note what its layers compute."""
    layers = {layer.name: layer for layer in workload_of(network).layers}
    found: list[Seen] = []

    def note(layer: Layer) -> Callable[..., None]:
        def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            index = module.dial.index
            x, x_scale = module.activations(inputs[0], index)
            w, w_scale = module.weights(module.weight, index)
            bits = 8 if module.reads_image else module.precisions[index].activation_bits
            widths = Precision(module.precisions[index].weight_bits, bits)
            scale = (x_scale * w_scale).item()
            bare = output if module.bias is None else output - module.bias
            found.append(Seen(layer, widths, map4(x), map4(w), scale, bare, module.reads_image))

        return hook

    for path, module in network.model.named_modules():
        if isinstance(module, QuantizedConv2d | QuantizedLinear):
            module.register_forward_hook(note(layers[path.replace(".block.", ".")]))
    images, _ = next(load_digits().test.batches(batch))
    with torch.no_grad():
        network(images, network.assign(WIDTHS))
    return found


def map4(values: Tensor) -> np.ndarray:
    """Whole numbers in a float type as integers, with the two dimensions of a map."""
    return values.reshape(*values.shape, *[1] * (4 - values.ndim)).long().numpy()
