"""Running statistics of a network, moved once for every training step, after it.

Forward passes note what they saw (see `Observer`), so it does not matter in which order or groups
the inputs of a step ran. The step is over when an optimizer that holds weights of the network has
stepped: that is so in any loop, with gradients accumulated over several passes, under
`torch.compile` and in several processes, all of which step together. Passes that no step follows
count when the network goes over to evaluation.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from dfs_hw.distributed import all_summed
from dfs_hw.quantize.observer import Observer

_Seen = list[tuple["weakref.ref[Tensor]", int]]

_UNDER_WAY: weakref.WeakKeyDictionary[nn.Module, _Seen] = weakref.WeakKeyDictionary()
"""Networks in the middle of a step: tensors of inputs that they have seen in it, and how many
inputs each has. Kept outside of the networks, which are copied and pickled."""


@torch.compiler.disable
def note_inputs(network: nn.Module, x: Tensor) -> None:
    """Count the inputs of a forward pass towards the step, unless they have been counted.

    Args:
        network: in training.
        x: the inputs [N, ...]; a tensor that runs again, at another precision, counts once.
    """
    seen = _UNDER_WAY.setdefault(network, [])
    if not any(tensor() is x for tensor, _ in seen):
        seen.append((weakref.ref(x), len(x)))


@torch.no_grad()
def settle(network: nn.Module) -> None:
    """Take over what was noted since statistics moved last, if anything was.

    Over several processes, the inputs of all of them count: all have to call it.
    """
    seen = _UNDER_WAY.pop(network, None)
    if seen is None:
        return
    observers = [module for module in network.modules() if isinstance(module, Observer)]
    joined = all_summed(torch.cat([observer.pending.flatten() for observer in observers]))
    total = all_summed(joined.new_full((1,), sum(inputs for _, inputs in seen)))
    parts = joined.split([observer.pending.numel() for observer in observers])
    for observer, part in zip(observers, parts, strict=True):
        pending = part.view_as(observer.pending)
        observer.absorb(pending, (pending[:, 0] / total).clamp_max(1))
        observer.pending.zero_()


def _after_step(optimizer: Optimizer, *_: Any) -> None:
    stepped = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    for network in list(_UNDER_WAY):
        if any(id(weight) in stepped for weight in network.parameters()):
            settle(network)


register_optimizer_step_post_hook(_after_step)
