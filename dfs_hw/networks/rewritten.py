"""Layers written otherwise than PyTorch's convolutions and linear layers, as those they equal."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SWITCHED_OFF = (
    *("gradient_checkpointing", "grad_checkpointing", "use_checkpoint", "with_cp"),
    *("memory_efficient", "use_nested_tensor"),
)
"""What transformers, timm, Swin's authors, OpenMMLab and torchvision call the computing of a block
again, and PyTorch the packing of what is padded."""


def rewritten(module: nn.Module) -> nn.Module:
    """A module whose weights lie in layers of PyTorch's own, in place; itself if it is none.

    Rewritten are transformers' ``Conv1D``, a linear layer whose weights are transposed, and
    `torch.nn.MultiheadAttention`. What computes the same in less memory, or keeps what it computed
    for the next token, does neither any more: branches run it again at other precisions.
    """
    made = _in_layers(module, Counter(id(x) for one in module.modules() for x in _own(one)))
    for part in made.modules():
        for name in SWITCHED_OFF:
            if getattr(part, name, False) is True:
                setattr(part, name, False)
        config = getattr(part, "config", None)
        if getattr(config, "use_cache", False) is True:
            config.use_cache = False  # type: ignore[union-attr]
    return made


def _own(module: nn.Module) -> list[Tensor]:
    return list(module.parameters(recurse=False))


def _in_layers(model: nn.Module, holders: Counter[int]) -> nn.Module:
    """The module itself, or what replaces it. One that has hooks, or shares
    its weights, stays as it is."""
    made: dict[nn.Module, nn.Module] = {}
    for module in list(model.modules()):
        hooked = module._forward_hooks or module._forward_pre_hooks
        if hooked or any(holders[id(x)] > 1 for x in _own(module)):
            continue
        if type(module).__name__ == "Conv1D" and isinstance(getattr(module, "nf", None), int):
            made[module] = _linear(module)
        elif type(module) is nn.MultiheadAttention and _reads_one(module):
            made[module] = SelfAttention(module)
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child in made:
                module._modules[name] = made[child]
    return made.get(model, model)


def _linear(conv: Any) -> nn.Linear:
    """The linear layer that transformers' ``Conv1D`` is."""
    return _layer(conv.weight.detach().t().contiguous(), conv.bias, conv.weight.requires_grad)


def _layer(weight: Tensor, bias: Tensor | None, learns: bool) -> nn.Linear:
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().clone(), learns)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
    return linear


def _reads_one(attention: nn.MultiheadAttention) -> bool:
    """Whether queries, keys and values can be of one tensor, and are not joined by others."""
    return (
        attention._qkv_same_embed_dim
        and attention.bias_k is None
        and attention.bias_v is None
        and not attention.add_zero_attn
    )


class SelfAttention(nn.Module):
    """`torch.nn.MultiheadAttention` of one tensor, with its projections as layers.

    Args:
        theirs: whose weights it takes.
    """

    in_proj_bias = None
    """What keeps `torch.nn.TransformerEncoderLayer` from computing past its layers."""
    _qkv_same_embed_dim = True

    def __init__(self, theirs: nn.MultiheadAttention) -> None:
        super().__init__()
        weight, out = theirs.in_proj_weight, theirs.out_proj
        self.in_proj = _layer(weight, theirs.in_proj_bias, weight.requires_grad)
        self.out_proj = _layer(out.weight, out.bias, out.weight.requires_grad)
        self.embed_dim, self.num_heads = theirs.embed_dim, theirs.num_heads
        self.dropout, self.batch_first = theirs.dropout, theirs.batch_first
        self.train(theirs.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """What PyTorch documents, of tokens [N, T, C], or [T, N, C] if the batch is not first."""
        if key is not query or value is not query:
            raise NotImplementedError(
                "MultiheadAttention of several tensors cannot be taken apart into layers: write "
                "its projections as Linear"
            )
        x = query if self.batch_first or query.ndim == 2 else query.transpose(0, 1)
        parts = self.in_proj(x).unflatten(-1, (3, self.num_heads, -1)).unbind(-3)
        queries, keys, values = (part.transpose(-2, -3) for part in parts)
        causal = is_causal and key_padding_mask is None and not need_weights
        mask = None if causal else self._added(attn_mask, key_padding_mask, queries)
        drops = self.dropout if self.training else 0.0
        chances = None
        if need_weights:
            scores = (queries / math.sqrt(queries.shape[-1])) @ keys.mT
            scores = scores if mask is None else scores + mask
            chances = functional.dropout(scores.softmax(-1), drops)
            mixed = chances @ values
        else:
            mixed = functional.scaled_dot_product_attention(
                queries, keys, values, mask, drops, causal
            )
        out = self.out_proj(mixed.transpose(-2, -3).flatten(-2))
        if not (self.batch_first or query.ndim == 2):
            out = out.transpose(0, 1)
        if chances is not None and average_attn_weights:
            chances = chances.mean(-3)
        return out, chances

    def _added(self, mask: Tensor | None, padding: Tensor | None, queries: Tensor) -> Tensor | None:
        """What is added to scores [N, heads, T, T]: nothing, or minus infinity where a mask says
        so."""
        added = None if mask is None else _as_added(mask, queries)
        if added is not None and added.ndim == 3:
            added = added.unflatten(0, (-1, self.num_heads))
        if padding is None:
            return added
        hidden = _as_added(padding, queries)[..., None, None, :]
        hidden = hidden.expand(*hidden.shape[:-3], self.num_heads, -1, -1)
        return hidden if added is None else added + hidden


def _as_added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return like.new_zeros(()).expand(mask.shape).masked_fill(mask, -math.inf)


__all__ = ["SelfAttention", "rewritten"]
