"""Running statistics that change between training steps, never inside a forward pass.

A forward pass only notes what it saw. When the training step is over, the notes of all passes are
joined, also across processes, and the statistics move once. So what a step computes depends on the
state before it alone, whatever the order in which inputs, or groups of inputs, went through.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EMA_MOMENTUM = 0.1
"""Weight of a batch that ran at one precision as a whole."""


class Observer(nn.Module):
    """Base of modules that gather statistics of their input, for each of several precisions.

    A subclass calls `observe` in its forward pass when it is `observing`, and moves its statistics
    in `absorb`. Nothing here waits for the device.

    Args:
        precisions: how many the module can run at.
        sums: how many figures are added up over the inputs.
    """

    pending: Tensor
    """Float32 [precisions, 1 + sums]: inputs seen in this step, then the sums over them."""

    def __init__(self, precisions: int, sums: int) -> None:
        super().__init__()
        pending = torch.zeros(precisions, 1 + sums, dtype=torch.float32)
        self.register_buffer("pending", pending, persistent=False)
        self._settled = [False] * precisions

    @property
    def observing(self) -> bool:
        """Whether passes are noted: in training with gradients; one that is repeated without them
        leaves no trace."""
        return self.training and torch.is_grad_enabled()

    @torch.no_grad()
    def observe(self, index: int, inputs: int, sums: Tensor) -> None:
        """Note what one pass saw.

        Args:
            index: of the precision it ran at.
            inputs: how many it processed.
            sums: [sums] over these inputs.
        """
        self.pending[index, 0] += inputs
        self.pending[index, 1:] += sums

    @torch.no_grad()
    def observe_each(self, seen: Tensor) -> None:
        """Note what passes at all precisions saw, in rows as those of `pending`."""
        self.pending += seen

    def settled(self, index: int, statistics: Tensor) -> bool:
        """Whether there are statistics for a precision: once seen, there are from then on.

        Asks the device as long as there are none, so that later passes need not wait for it.

        Args:
            index: of the precision.
            statistics: NaN if there are none.
        """
        if not self._settled[index]:
            self._settled[index] = not bool(statistics.isnan().any())
        return self._settled[index]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._settled = [False] * len(self._settled)

    def absorb(self, pending: Tensor, share: Tensor) -> None:
        """Move the statistics at the end of a training step.

        Args:
            pending: [precisions, 1 + sums], as the buffer, added up over all processes.
            share: [precisions] of the step's inputs that were seen at each precision; 1 also for a
                layer that ran several times, as those that all units share.
        """
        raise NotImplementedError


def means(pending: Tensor) -> Tensor:
    """Means over the inputs [precisions, sums] of `pending`; NaN at precisions that saw none."""
    return pending[:, 1:] / pending[:, :1]


def moving_average(
    old: Tensor, batch: Tensor, share: Tensor, momentum: float = EMA_MOMENTUM
) -> Tensor:
    """Exponential moving average that a batch moves as far as its share of the inputs goes.

    The first batch that is seen at a precision becomes its average as it is.

    Args:
        old: [precisions, ...]; NaN where nothing was seen yet.
        batch: as `old`; disregarded where the share is 0.
        share: [precisions] of the inputs that were seen at each precision.
        momentum: weight of a batch with share 1.
    """
    share = share.view(-1, *[1] * (old.ndim - 1))
    batch = torch.where(share > 0, batch, old)
    return torch.where(old.isnan(), batch, torch.lerp(old, batch, momentum * share))
