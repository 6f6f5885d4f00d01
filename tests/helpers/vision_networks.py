"""DenseNet and the vision transformer in the form that torchvision gives them, in few lines.

Layers of DenseNet are given a list of maps, and may compute their first half again rather than keep
it; blocks of the transformer have PyTorch's own attention.
"""

from __future__ import annotations

import torch
from models import CLASSES
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class _DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int, drop_rate: float, memory_efficient: bool) -> None:
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inputs, 2 * growth, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(2 * growth), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)
        self.drop_rate, self.memory_efficient = drop_rate, memory_efficient

    def narrow(self, *maps: Tensor) -> Tensor:
        return self.conv1(self.relu1(self.norm1(torch.cat(maps, 1))))

    def forward(self, given: Tensor | list[Tensor]) -> Tensor:
        maps = [given] if isinstance(given, Tensor) else given
        if self.memory_efficient and any(one.requires_grad for one in maps):
            narrow = checkpoint(self.narrow, *maps, use_reentrant=False)
        else:
            narrow = self.narrow(*maps)
        new = self.conv2(self.relu2(self.norm2(narrow)))
        return functional.dropout(new, self.drop_rate, self.training) if self.drop_rate else new


class _DenseBlock(nn.ModuleDict):
    def __init__(self, depth: int, inputs: int, growth: int, efficient: bool) -> None:
        super().__init__()
        for number in range(depth):
            layer = _DenseLayer(inputs + number * growth, growth, 0.1, efficient)
            self.add_module(f"denselayer{number + 1}", layer)

    def forward(self, first: Tensor) -> Tensor:
        maps = [first]
        for layer in self.values():
            maps.append(layer(maps))
        return torch.cat(maps, 1)


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            _DenseBlock(2, 8, 4, efficient=True),
            nn.AvgPool2d(2),
            _DenseBlock(2, 16, 4, efficient=False),
            nn.BatchNorm2d(24),
        )
        self.classifier = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps = functional.relu(self.features(x), inplace=True)
        return self.classifier(functional.adaptive_avg_pool2d(maps, 1).flatten(1))


class EncoderBlock(nn.Module):
    def __init__(self, width: int = 12, heads: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(dropout)
        )

    def forward(self, given: Tensor) -> Tensor:
        x = self.ln_1(given)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + given
        return x + self.mlp(self.ln_2(x))


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, 12, 8, 8)
        self.class_token = nn.Parameter(torch.randn(1, 1, 12))
        self.layers = nn.Sequential(*(EncoderBlock() for _ in range(3)))
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.conv_proj(x).flatten(2).mT
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches], 1)
        return self.head(self.layers(tokens)[:, 0])


class Reader(nn.Module):
    """PyTorch's own encoder, of sequences in which the number 0 fills up."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 12)
        layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.encoder(self.embedding(tokens), src_key_padding_mask=tokens == 0)
        return self.head(x[:, -1])
