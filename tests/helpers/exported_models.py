"""Small models of many kinds of layers, which PyTorch exports as ONNX."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """A residual block with a gate on channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=4)

    def forward(self, maps: Tensor) -> Tensor:
        inner = torch.relu(self.norm1(self.conv1(maps)))
        return torch.relu(self.conv2(inner * self.squeeze(inner)) + maps)


class Tokens(nn.Module):
    """Self-attention on places, and a pool over them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, maps: Tensor) -> Tensor:
        rows = self.norm(maps.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(rows).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        chances = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        mixed = (chances @ v).transpose(1, 2).flatten(2)
        return (rows + self.out(mixed)).mean(1)


def layers_of_many_kinds() -> nn.Module:
    """Layers of many kinds, one after the other."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same"),
        nn.Hardswish(),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        Block(),
        nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1),
        nn.GELU(),
        nn.Upsample(scale_factor=0.5),
        nn.GroupNorm(2, 8),
        Tokens(),
        nn.Linear(8, 10),
    ).eval()


class Ready(nn.Module):
    """Attention in PyTorch's own words, with a mask, shared keys and a cause."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")

    def forward(self, rows: Tensor) -> Tensor:
        mask = torch.zeros(5, 5)
        mask[0, 3:] = -torch.inf
        rows = rows + self.attention(rows, rows, rows, attn_mask=mask, need_weights=False)[0]
        heads = rows.unflatten(-1, (4, 2)).transpose(1, 2)
        shared = functional.scaled_dot_product_attention(
            heads, heads[:, :2], heads[:, 2:], is_causal=True, enable_gqa=True
        )
        return self.last(rows + shared.transpose(1, 2).flatten(2)).mean(1)


__all__ = ["Ready", "layers_of_many_kinds"]
