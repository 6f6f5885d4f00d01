"""DFS as its equations say it, without any part of this project: a slow, plain reference.

"Fractional Skipping" (Shen et al., AAAI 2020, arXiv 2001.00705) on a CIFAR ResNet. Every block runs
at every precision for every input, and a mask from the gate adds the results up. As in the released
code the mask is made by numpy, the extremes of a tensor become Python numbers, and rounding goes
over the tensor once for each of its operations: this is what a faster step is measured against,
too. What the released code does beside its evident intent is switched on by name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BITS = (8, 10, 12, 14, 16, None)
"""What a block can run at, None for floating point; option 0 of a gate is to skip it."""
COSTS = (0.0, *((bits or 32) ** 2 / 32**2 for bits in BITS))
FULL = BITS.index(None)

FAULTS = (
    "stochastic-activations",
    "inverted-ema",
    "untrained-ranges",
    "shared-norm",
    "free-shortcut",
    "ties-run-both",
)
EPS = 1e-5


class Round(torch.autograd.Function):
    """q = clamp(round((x - low) / s), 0, 2^b - 1), s = (high - low) / (2^b - 1); x ~ q s + low.

    The gradient is the identity, also of what was clipped.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int, low: float, high: float, dither: bool) -> Tensor:
        largest = 2**bits - 1
        step = max((high - low) / largest, 1e-8)
        rounded = x.clone()
        rounded.sub_(low).div_(step)
        if dither:
            rounded.add_(torch.empty_like(x).uniform_(-0.5, 0.5))
        return rounded.round_().clamp_(0, largest).mul_(step).add_(low)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        return grads[0], None, None, None, None


class Convolution(nn.Conv2d):
    """Rounds its weights between their extremes, and its input between those of a batch.

    The batch's range is the mean of its inputs' extremes, and a moving average of it is for
    evaluation. One range serves all precisions, moved once a step by the mean of what they saw.
    Released ("inverted-ema"): moved at every pass, and 0.1 of it is the old one, not 0.9.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, faults: Collection[str]
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.normal_(self.weight, std=math.sqrt(2 / (kernel * kernel * outputs)))
        start = 0.0 if "untrained-ranges" in faults else math.nan
        self.register_buffer("low", torch.tensor(start))
        self.register_buffer("high", torch.tensor(start))
        self.dither = "stochastic-activations" in faults
        self.inverted = "inverted-ema" in faults
        self.by_batch = True
        self.passes: list[tuple[float, float]] = []

    def forward(self, x: Tensor, bits: int | None = None) -> Tensor:
        weight = self.weight
        if bits is not None:
            low, high = self.range_of(x.detach())
            x = Round.apply(x, bits, low, high, self.dither)
            extremes = float(weight.detach().min()), float(weight.detach().max())
            weight = Round.apply(weight, bits, *extremes, False)
        return functional.conv2d(x, weight, None, self.stride, self.padding)

    def range_of(self, x: Tensor) -> tuple[float, float]:
        if not (self.training and self.by_batch):
            return float(self.low), float(self.high)
        each = x.flatten(1)
        seen = float(each.min(1).values.mean()), float(each.max(1).values.mean())
        if self.inverted:
            self.move(seen, 0.9)
        else:
            self.passes.append(seen)
        return seen

    def end_step(self) -> None:
        if self.passes:
            lows, highs = zip(*self.passes, strict=True)
            self.move((sum(lows) / len(lows), sum(highs) / len(highs)), 0.1)
            self.passes.clear()

    def move(self, seen: tuple[float, float], new: float) -> None:
        for known, value in zip((self.low, self.high), seen, strict=True):
            old = float(known)
            known.fill_(value if math.isnan(old) else (1 - new) * old + new * value)


class Norm(nn.Module):
    """A batch norm for each precision. Released ("shared-norm"): one, moved by each in turn."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, precisions: int, shared: bool) -> None:
        super().__init__()
        rows = 1 if shared else precisions
        self.weight = nn.Parameter(torch.ones(rows, channels))
        self.bias = nn.Parameter(torch.zeros(rows, channels))
        self.register_buffer("mean", torch.zeros(rows, channels))
        self.register_buffer("variance", torch.ones(rows, channels))
        self.shared, self.by_batch = shared, True

    def forward(self, x: Tensor, precision: int = 0, again: bool = False) -> Tensor:
        """`again` says that this precision sees these inputs for a second time."""
        row = 0 if self.shared else precision
        return functional.batch_norm(
            x,
            self.mean[row],
            self.variance[row],
            self.weight[row],
            self.bias[row],
            training=self.training and self.by_batch,
            momentum=0.0 if again and not self.shared else 0.1,
            eps=EPS,
        )


class Block(nn.Module):
    """conv-norm-ReLU-conv-norm, shortcut, ReLU; the shortcut is a 1x1 conv where shapes change.

    Skipped, it is that shortcut at full precision and the ReLU. Released ("free-shortcut"): without
    the ReLU. Neither is charged.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, precisions: int, faults: Collection[str]
    ) -> None:
        super().__init__()
        shared = "shared-norm" in faults
        self.free = "free-shortcut" in faults
        self.conv1 = Convolution(inputs, outputs, 3, stride, faults)
        self.norm1 = Norm(outputs, precisions, shared)
        self.conv2 = Convolution(outputs, outputs, 3, 1, faults)
        self.norm2 = Norm(outputs, precisions, shared)
        self.changes = stride > 1
        if self.changes:
            self.conv3 = Convolution(inputs, outputs, 1, stride, faults)
            self.norm3 = Norm(outputs, precisions, shared)

    def forward(self, z: Tensor, bits: int | None = None, precision: int = 0) -> Tensor:
        side = self.norm3(self.conv3(z, bits), precision) if self.changes else z
        x = functional.relu(self.norm1(self.conv1(z, bits), precision))
        return functional.relu(self.norm2(self.conv2(x, bits), precision) + side)

    def skip(self, z: Tensor) -> Tensor:
        if not self.changes:
            return z
        z = self.norm3(self.conv3(z), FULL, again=True)
        return z if self.free else functional.relu(z)


class Gate(nn.Module):
    """Pool, a 1x1 conv of the block's own, an LSTM and a linear layer that all blocks share."""

    def __init__(self, channels: Sequence[int], ties: bool) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Conv2d(width, 10, 1) for width in channels)
        self.lstm = nn.LSTM(10, 10)
        self.head = nn.Linear(10, len(COSTS))
        self.ties = ties

    def forward(self, block: int, z: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Mask [N, options] for the block after number `block`, which put out `z`."""
        pooled = functional.avg_pool2d(z, z.shape[-1])
        embedded = self.embed[block](pooled).flatten(1)
        hidden, state = self.lstm(embedded[None], state)
        p = self.head(hidden[0]).softmax(1)
        return self.one_hot(p) - p.detach() + p, state

    def one_hot(self, p: Tensor) -> Tensor:
        """Released ("ties-run-both"): wherever p is the largest, so twice if two are."""
        values = p.detach().cpu().numpy()
        if self.ties:
            hard = values == values.max(1, keepdims=True)
        else:
            hard = np.arange(values.shape[1]) == values.argmax(1)[:, None]
        return torch.from_numpy(hard.astype(values.dtype)).to(p.device)


def run_all(block: Block, z: Tensor, mask: Tensor) -> Tensor:
    """Every option for every input, added up by the mask [N, options]."""
    mixed = mask[:, 0, None, None, None] * block.skip(z)
    for option, bits in enumerate(BITS, start=1):
        mixed = mixed + mask[:, option, None, None, None] * block(z, bits, option - 1)
    return mixed


class Result(NamedTuple):
    logits: Tensor
    masks: Tensor
    """[N, gated blocks, options]."""


class DFS(nn.Module):
    """DFS-ResNet of depth 6n+2. The first block always runs, in floating point.

    Args:
        widths: channels of the three groups of n blocks.
        faults: names out of `FAULTS`.
    """

    def __init__(
        self,
        depth: int = 38,
        classes: int = 10,
        widths: Sequence[int] = (16, 32, 64),
        faults: Collection[str] = (),
    ) -> None:
        super().__init__()
        assert set(faults) <= set(FAULTS)
        self.stem = Convolution(3, widths[0], 3, 1, faults)
        self.stem_norm = Norm(widths[0], 1, True)
        self.blocks = nn.ModuleList()
        outputs = [width for width in widths for _ in range((depth - 2) // 6)]
        for number, width in enumerate(outputs):
            before = outputs[number - 1] if number else widths[0]
            stride, precisions = 2 if before != width else 1, len(BITS) if number else 1
            self.blocks.append(Block(before, width, stride, precisions, faults))
        self.gate = Gate(outputs, "ties-run-both" in faults)
        self.classifier = nn.Linear(widths[-1], classes)
        for layer in self.modules():  # as the release does
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.weight.numel()))

    def normalize_by_batch(self, wanted: bool) -> None:
        """Whether norms and ranges are those of the batch in training, as in DFS, or the running
        ones, which then stay as they are."""
        for module in self.modules():
            if isinstance(module, Norm | Convolution):
                module.by_batch = wanted

    def forward(self, x: Tensor) -> Result:
        first, *gated = cast(list[Block], list(self.blocks))
        z = first(functional.relu(self.stem_norm(self.stem(x))))
        mask, state = self.gate(0, z, None)
        masks = []
        for number, block in enumerate(gated, start=1):
            masks.append(mask)
            z = run_all(block, z, mask)
            mask, state = self.gate(number, z, state)  # that of the last block decides nothing
        return Result(self.classifier(z.mean((2, 3))), torch.stack(masks, 1))

    def end_step(self) -> None:
        """Move what moves once a step."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.end_step()


def energy(masks: Tensor) -> Tensor:
    """E: what was chosen, summed over inputs, blocks and options, at (b/32)^2 each."""
    return (masks * torch.tensor(COSTS, dtype=masks.dtype, device=masks.device)).sum()


def percentage(masks: Tensor) -> float:
    """cp: E of the batch, in per cent of all gated blocks at full precision."""
    return 100 * float(energy(masks.detach())) / (masks.shape[0] * masks.shape[1])


def loss(result: Result, labels: Tensor, target: float, beta: float = 1e-5) -> Tensor:
    """Mean cross entropy + r beta E, r = -1 if cp is at the target (in per cent) or under it."""
    sign = -1 if percentage(result.masks) <= target else 1
    entropy = functional.cross_entropy(result.logits, labels)
    return entropy + sign * beta * energy(result.masks)
