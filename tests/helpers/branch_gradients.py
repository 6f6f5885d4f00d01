"""Gradients of a network that decides, by whichever branches run."""

import torch
from torch import Tensor

from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.passes import Branches


def gradients(network: DynamicNetwork, branches: Branches, x: Tensor) -> dict[str, Tensor]:
    """Of a loss of logits and gates, for all parameters and the images; None counts as 0."""
    network.zero_grad()
    x = x.clone().requires_grad_()
    network.branches = branches
    made = network(x)
    logits, gates = made.logits, made.gates
    prices = torch.linspace(-1, 1, gates[0].numel()).view_as(gates[0])
    scores = torch.linspace(1, -1, logits.shape[1])
    (logits.log_softmax(1) @ scores + (gates * prices).sum((1, 2))).sum().backward()
    found = {"images": x.grad, "logits": logits.detach()}
    for name, parameter in network.named_parameters():
        found[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return found


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """To float tolerance relative to each tensor's largest entry; sums run in another order."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        worst = (found[name] - value).abs().max()
        assert worst <= 2e-5 * value.abs().max() + 1e-9, name
