"""Blocks that take more than one tensor, or drop some of it at random, decided for each input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from models import SMALL, Plain, PlainBlock, images, lived_in, logits_of
from modern import TAKERS, TOKENS
from torch import Tensor, nn
from torch.nn import functional

from dfs_hw import make_dynamic, workload_of
from dfs_hw.networks import Design
from dfs_hw.networks.rewritten import SelfAttention
from dfs_hw.quantize.layers import PrecisionNorm

LONG = ("bert", "segformer", "gpt2")


def inputs(size: tuple[int, ...], count: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    if len(size) == 3:
        return torch.randn(count, *size, generator=generator)
    return torch.randint(50, (count, *size), generator=generator)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in LONG)) for kind in TAKERS]
)
def test_each_input_runs_what_was_chosen_for_it(kind: str) -> None:
    torch.manual_seed(0)
    (build, size), x = TAKERS[kind], inputs(TAKERS[kind].size, 6)
    model = lived_in(build()).eval()
    made = make_dynamic(model, "skip,4,full", image=size)
    made.calibrate([x])
    made.eval()
    with torch.no_grad():
        full = made(x, made.uniform("full")).logits
        assert torch.allclose(full, logits_of(model, x), rtol=1e-5, atol=1e-6)
        choices = torch.arange(6)[:, None].expand(-1, len(made.units)) % 3
        together = made(x, choices).logits
        alone = [made(x[n : n + 1], choices[n]).logits for n in range(6)]
    assert torch.allclose(torch.cat(alone), together, atol=1e-5)
    assert not torch.allclose(together[1::3], full[1::3], rtol=1e-3, atol=0)  # 4 bits are not full
    bare, plain = workload_of(made).without_gates(), workload_of(model, x[:1])
    assert [replace(layer, role="fixed", unit="") for layer in bare.layers] == list(plain.layers)
    assert set(bare.edges) == set(plain.edges)
    made.train().normalize_by_batch(False)
    functional.cross_entropy(made(x).logits, torch.arange(6) % 5).backward()
    assert all(head.weight.grad.any() for head in made.gate.heads())  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@torch.no_grad()
def test_a_model_may_ask_its_first_block_for_attributes() -> None:
    """As `torch.nn.TransformerEncoder` asks whether its layers have the batch first."""
    torch.manual_seed(0)
    model, x = TAKERS["encoder"].build().eval(), inputs(TOKENS, 3)
    made = make_dynamic(model, "skip,full", image=TOKENS, design=Design(first_block=True)).eval()
    assert len(made.units) == 6
    full = made(x, made.uniform("full")).logits
    assert torch.allclose(full, model(x), rtol=1e-5, atol=1e-6)


class Dropping(PlainBlock):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(super().forward(x), 0.5, self.training)


@torch.no_grad()
def test_blocks_drop_in_training_and_not_in_evaluation() -> None:
    torch.manual_seed(0)
    made = make_dynamic(Plain(Dropping), "skip,4,full", image=SMALL, blocks=Dropping)
    made.calibrate([images(4, SMALL)])
    left: list[float] = []
    made.blocks[-1].register_forward_hook(
        lambda unit, given, put_out: left.append(float((put_out != 0).float().mean()))
    )
    for mode in (False, True):
        made.train(mode)(images(8, SMALL), made.uniform("full"))
    assert 0.4 < left[1] / left[0] < 0.6


class DoublesInTraining(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if self.training else x


class OnTheTrunk(nn.Module):
    """Something that acts in training alone stands behind its first sum, as dropout may."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.both = nn.LayerNorm(12), nn.Linear(12, 24)
        self.out, self.after = nn.Linear(12, 12), DoublesInTraining()
        self.mlp = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.both(self.norm(x)).chunk(2, 2)
        x = self.after(x + self.out((query @ key.mT).softmax(-1) @ key))
        return x + self.mlp(x)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.block, self.head = nn.Conv2d(3, 12, 4, 4), OnTheTrunk(), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.patches(x).flatten(2).mT).mean(1))


def test_what_stands_between_two_halves_runs_once() -> None:
    torch.manual_seed(0)
    model, x = Tokens().train(), images(4, SMALL)
    made = make_dynamic(model, "skip,full", image=SMALL, blocks="block")
    assert len(made.units) == 2
    found = made(x, made.uniform("full")).logits
    assert torch.allclose(found, model(x), rtol=1e-4, atol=1e-5)


HIDDEN = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [True] + [False] * 4])
ASKED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "weights": {"need_weights": True},
    "weights of each head": {"need_weights": True, "average_attn_weights": False},
    "padding": {"key_padding_mask": HIDDEN},
    "causal": {"attn_mask": torch.ones(5, 5).triu(1).bool(), "is_causal": True},
    "a mask of each head": {"attn_mask": torch.linspace(-1, 1, 150).view(6, 5, 5)},
    "both": {"key_padding_mask": HIDDEN[:1].expand(3, -1), "attn_mask": torch.eye(5).bool()},
}


@pytest.mark.parametrize("asked", ASKED)
@torch.no_grad()
def test_attention_in_layers_is_pytorchs_own(asked: str) -> None:
    torch.manual_seed(0)
    options = {"need_weights": False, **ASKED[asked]}
    for batch_first in (True, False):
        theirs = nn.MultiheadAttention(12, 2, batch_first=batch_first).train()
        nn.init.normal_(theirs.in_proj_bias)
        x = torch.randn(3, 5, 12) if batch_first else torch.randn(5, 3, 12)
        found, weights = SelfAttention(theirs)(x, x, x, **options)
        wanted, their_weights = theirs(x, x, x, **options)
        assert torch.allclose(found, wanted, atol=1e-6)
        assert (weights is None) == (their_weights is None)
        assert weights is None or torch.allclose(weights, their_weights, atol=1e-6)


@torch.no_grad()
def test_full_precision_keeps_the_statistics_that_a_model_came_with() -> None:
    torch.manual_seed(0)
    model, x = lived_in(Plain()).eval(), images(4, SMALL)
    made = make_dynamic(model, "skip,4,full", image=SMALL, blocks=PlainBlock)
    made.calibrate([3 * x] * 3)
    found = made.eval()(x, made.uniform("full")).logits
    assert torch.allclose(found, model(x), rtol=1e-5, atol=1e-6)
    norms = [norm for norm in made.blocks[0].modules() if isinstance(norm, PrecisionNorm)]
    assert all(not torch.equal(norm.mean[0], norm.mean[1]) for norm in norms)  # 4 bits have moved
    fresh = make_dynamic(Plain(), "skip,4,full", image=SMALL, blocks=PlainBlock)
    fresh.calibrate([x])
    norms = [norm for norm in fresh.modules() if isinstance(norm, PrecisionNorm)]
    assert all(norm.has_seen(index) for norm in norms for index in range(len(norm.mean)))
