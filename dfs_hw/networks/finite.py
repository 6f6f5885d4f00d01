"""Whether the weights of a network are numbers, or what a training that diverged left."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from dfs_hw.quantize.operands import ActivationQuantizer


def not_finite(network: nn.Module, tensors: Mapping[str, Tensor] | None = None) -> str:
    """Name of a tensor that holds what is no finite number; "" if none does.

    NaN in the statistics of activations is a number not seen yet, and counts as none of these.

    Args:
        tensors: a state of the network to look at, by default its own.
    """
    unseen = {
        f"{name}.{buffer}" if name else buffer
        for name, module in network.named_modules()
        if isinstance(module, ActivationQuantizer)
        for buffer, _ in module.named_buffers(recurse=False)
    }
    for name, tensor in (network.state_dict() if tensors is None else tensors).items():
        if bool(tensor.isinf().any()) or (name not in unseen and bool(tensor.isnan().any())):
            return name
    return ""


def why_not_finite(network: nn.Module) -> str:
    """Why a network gives outputs that are not finite, as the end of a sentence."""
    if name := not_finite(network):
        return f"its training diverged, '{name}' is not finite"
    return "a width it was asked to run at has not been trained"
