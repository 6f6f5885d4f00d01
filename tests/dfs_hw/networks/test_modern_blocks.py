"""Blocks of modern networks made dynamic: squeezed, concatenated, normalised, and of attention."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from branch_gradients import assert_close, gradients
from models import IMAGE, MODELS, decisive, images, lived_in, logits_of
from modern import KINDS, TAKERS
from places import ROOT
from torch import Tensor, nn
from torch.nn import functional

from accel_models import Workload, load_accelerator, simulate
from accel_models.errors import InputError
from accel_models.precision import highest
from accel_models.replay import replay
from accel_models.trace import GateTrace, TraceHeader
from dfs_hw import load_checkpoint, save_checkpoint, workload_of
from dfs_hw.data import Dataset
from dfs_hw.networks import Design, DynamicNetwork, make_dynamic
from dfs_hw.networks.make_dynamic import RESIDUAL_BLOCKS
from dfs_hw.quantize import QuantizedConv2d, QuantizedLinear
from dfs_hw.recording import record


@cache
def _model(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return lived_in(KINDS[kind].build()).eval()


@cache
def _network(kind: str, choices: str) -> DynamicNetwork:
    torch.manual_seed(1)
    return make_dynamic(_model(kind), choices, image=IMAGE)


def network(kind: str, choices: str = "skip,4,8") -> DynamicNetwork:
    return copy.deepcopy(_network(kind, choices))


@cache
def _decisive(kind: str) -> DynamicNetwork:
    return decisive(network(kind), [contrasts(8, seed) for seed in range(2)], scale=30.0)


@cache
def _workload(kind: str) -> Workload:
    return workload_of(network(kind))


def contrasts(count: int, seed: int) -> Tensor:
    """Images that gates tell apart."""
    return images(count, seed=seed) * torch.linspace(0.1, 4.0, count).view(-1, 1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_at_full_precision_it_computes_what_its_model_does(kind: str) -> None:
    made, model, x = network(kind, "skip,4,full").eval(), _model(kind), images(3)
    expected = logits_of(model, x)
    logits = made(x, made.uniform("full")).logits
    assert torch.allclose(logits, expected, rtol=1e-5, atol=1e-5 * float(expected.std()))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_found_and_all_but_the_first_decided(kind: str) -> None:
    made, about = network(kind), KINDS[kind]
    assert len(made.units) == about.units
    assert int(made.offered[:, 0].sum()) == about.skippable
    layers = [m for m in _model(kind).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    kinds = (QuantizedConv2d, QuantizedLinear)
    converted = [module for module in made.model.modules() if isinstance(module, kinds)]
    assert len(converted) == len(layers)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_its_workload_is_that_of_its_model_with_units_and_gates(kind: str) -> None:
    made, plain = _workload(kind), workload_of(_model(kind), torch.empty(1, *IMAGE))
    bare = made.without_gates()
    assert [replace(layer, role="fixed", unit="") for layer in bare.layers] == list(plain.layers)
    assert set(bare.edges) == set(plain.edges)
    assert bare.macs == plain.macs
    assert made.assumed == plain.assumed == ()
    assert made.units == network(kind).units
    assert made.deciding_units == set(made.units)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_images_run_what_they_chose_and_nothing_else(kind: str) -> None:
    """Each image of a batch comes out as it does by itself, and as when its choices are forced."""
    made, x = _decisive(kind), contrasts(6, seed=9)
    outcome = made(x)
    assert len(outcome.choices.unique(dim=0)) > 1
    scale = float(outcome.logits.std())
    for number in range(len(x)):
        alone = made(x[number : number + 1])
        assert torch.equal(alone.choices[0], outcome.choices[number])
        assert torch.allclose(alone.logits[0], outcome.logits[number], atol=1e-4 * scale)
    assert torch.allclose(made(x, outcome.choices).logits, outcome.logits, atol=1e-4 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vit", "swin", "densenet", "regnet_y", "convnext"])
def test_training_on_chosen_branches_has_the_gradient_of_running_all(kind: str) -> None:
    made, x = copy.deepcopy(_decisive(kind)).train(), contrasts(7, seed=5)
    made.normalize_by_batch(False)
    assert len(made(x).choices.unique(dim=0)) > 1
    assert_close(gradients(made, "chosen", x), gradients(made, "all", x))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_gates_and_weights_learn(kind: str) -> None:
    made = network(kind)
    made.calibrate([images(6)])
    made.normalize_by_batch(False)
    functional.cross_entropy(made(images(6)).logits, torch.arange(6) % 5).backward()
    for head in made.gate.heads():
        assert head.weight.grad is not None
        assert head.weight.grad.any()
    layers = [m for m in made.model.modules() if isinstance(m, QuantizedConv2d | QuantizedLinear)]
    for layer in (layers[0], layers[-1]):
        assert layer.weight.grad is not None
        assert layer.weight.grad.any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_decisions_are_recorded_replayed_and_kept(kind: str, tmp_path: Path) -> None:
    made, machine = _decisive(kind), load_accelerator("bitfusion")
    workload, always = _workload(kind), highest(made.choices)
    header = TraceHeader(kind, "noise", workload, made.choices, always, "bitfusion", 0, "test")
    pixels = torch.randint(256, (8, *IMAGE), dtype=torch.uint8)
    data = Dataset("noise", pixels, torch.arange(8) % 5, torch.full((3,), 0.5), torch.ones(3))
    trace = GateTrace.read(record(made, data, tmp_path / "t.parquet", header))
    result = replay(trace, machine)
    assert np.isfinite(result.energy_j).all()
    full = simulate(workload, machine, always).energy_j
    assert (result.energy_j <= full * (1 + 1e-9)).all()
    saved = save_checkpoint(tmp_path / "n.safetensors", made, {})
    again = load_checkpoint(saved, network(kind)).network
    assert torch.equal(again(images(3)).logits, made(images(3)).logits)


class Twice(nn.Module):
    """An encoder block of a plain make: everything in one forward."""

    def __init__(self, width: int = 12, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.7))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).unbind(2)
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        scores = (query @ key.mT) * query.shape[-1] ** -0.5
        mixed = scores.softmax(-1) @ value
        x = x + self.scale * self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.narrow(functional.gelu(self.wide(self.norm2(x))))


class PostNormed(Twice):
    """Each sum is normalised, as in BERT (Devlin et al., 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).unbind(2)
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.narrow(functional.gelu(self.wide(x))))


class Reversed(Twice):
    """What it adds last is attention to what it read first: no half of it ends before the other
    begins."""

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).unbind(2)
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        mixed = (query @ key.mT).softmax(-1) @ value
        y = x + self.narrow(functional.gelu(self.wide(self.norm2(x))))
        return y + self.out(mixed.transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """Blocks on tokens made of patches."""

    def __init__(self, block: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, 8)
        self.layers = nn.ModuleList(block() for _ in range(2))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


PLAIN = [(Twice, ("qkv", "wide")), (PostNormed, ("qkv", "wide")), (Reversed, None)]


@pytest.mark.parametrize(("block", "halves"), PLAIN)
@torch.no_grad()
def test_encoder_blocks_of_any_make_fall_into_halves_where_they_can(
    block: type[nn.Module], halves: tuple[str, str] | None
) -> None:
    torch.manual_seed(3)
    model = Encoder(block).eval()
    design = Design(first_block=True)
    made = make_dynamic(model, "skip,4,full", image=IMAGE, blocks=[block], design=design).eval()
    blocks = [f"layers.{number}" for number in range(2)]
    names = [f"{name}.{half}" for name in blocks for half in halves] if halves else blocks
    assert made.units == tuple(names)
    x = images(3)
    logits = made(x, made.uniform("full")).logits
    assert torch.allclose(logits, model(x), rtol=1e-5, atol=1e-6)
    workload = workload_of(made)
    assert workload.units == made.units
    assert workload.without_gates().macs == workload_of(model, x[:1]).macs
    skipped = made(x, made.uniform("skip")).logits
    tokens = model.patches(x).flatten(2).mT
    assert torch.allclose(skipped, model.head(tokens.mean(1)), atol=1e-6)


@torch.no_grad()
def test_halves_that_are_skipped_alone_leave_the_other_half() -> None:
    torch.manual_seed(3)
    model = Encoder(Twice).eval()
    made = make_dynamic(model, "skip,full", image=IMAGE, blocks="layers.1").eval()
    assert made.units == ("layers.1.qkv", "layers.1.wide")
    x = images(2)
    before = model.layers[0](model.patches(x).flatten(2).mT)
    last = model.layers[1]
    mlp = before + last.narrow(functional.gelu(last.wide(last.norm2(before))))
    logits = made(x, made.assign(["skip", "full"])).logits
    assert torch.allclose(logits, model.head(mlp.mean(1)), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_products_of_attention_are_those_of_integers() -> None:
    """Scores at 4 bits, as products of whole numbers beside two scales."""
    made = network("vit", "4,8").eval()
    made.calibrate([images(8)])
    attention = made.model.vit.layers[1].block.attention
    products = attention.quantized_products
    products.dial.index = 0
    generator = torch.Generator().manual_seed(0)
    query, key = (
        torch.randn(2, 3, 17, 8, generator=generator) * quantizer.magnitude[0]
        for quantizer in (products.left[0], products.right[0])
    )
    left, right, step = products.rounded(0, query, key)
    assert max(left.abs().max(), right.abs().max()) <= 7
    assert torch.equal(left, left.round())
    assert torch.allclose(left @ right.mT, (left.long() @ right.long().mT).float())
    both = torch.stack([((left @ right.mT) * step).flatten(), (query @ key.mT).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.98
    chances = products.left[1]
    assert chances.levels[0].low == 0  # a softmax puts out nothing below 0


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("layers.*", ("layers.0.qkv", "layers.0.wide", "layers.1.qkv", "layers.1.wide")),
        ("Tw*", ("layers.0.qkv", "layers.0.wide", "layers.1.qkv", "layers.1.wide")),
        ([Twice], ("layers.1.qkv", "layers.1.wide")),
        (Twice, ("layers.1.qkv", "layers.1.wide")),
        (["layers.0", Twice], ("layers.0.qkv", "layers.0.wide", "layers.1.qkv", "layers.1.wide")),
    ],
)
def test_blocks_are_taken_by_class_and_pattern(asked: Any, found: tuple[str, ...]) -> None:
    assert make_dynamic(Encoder(Twice), "skip,8", image=IMAGE, blocks=asked).units == found


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"Encoder runs no block 'layer\.\*': choose from layers"):
        make_dynamic(Encoder(Twice), "skip,8", image=IMAGE, blocks="layer.*")


@pytest.mark.parametrize("size", [(3, 32), (), (3, 0, 4), (1.5,)])
def test_a_size_that_is_neither_an_image_nor_tokens_is_refused(size: Any) -> None:
    with pytest.raises(InputError, match="image is channels, height and width"):
        make_dynamic(Encoder(Twice), "skip,8", image=size, blocks=Twice)


def rows() -> dict[str, tuple[str, int, str]]:
    """The table of the page: class of the block, units, and what is left of a skipped one."""
    text = (ROOT / "docs" / "bring_your_own.md").read_text()
    found = re.findall(r"^\| `(\w+)`[^|]*\| `(\w+)` \| (\d) \| ([^|]*) \|$", text, re.MULTILINE)
    return {kind: (block, int(units), left) for kind, block, units, left in found}


def test_the_page_names_every_kind_that_is_tested() -> None:
    assert rows().keys() == (KINDS.keys() | MODELS.keys() | TAKERS.keys()) - {"plain"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", rows())
@torch.no_grad()
def test_blocks_are_what_the_page_says(kind: str) -> None:
    block, units, left = rows()[kind]
    builds = {name: about.build for name, about in (KINDS | TAKERS).items()}
    model = builds[kind]() if kind in builds else MODELS[kind][0]()
    blocks = [path for path, one in model.named_modules() if type(one).__name__ == block]
    assert block in RESIDUAL_BLOCKS
    made = make_dynamic(model, "skip,8", image=TAKERS[kind].size if kind in TAKERS else IMAGE)
    assert len(made.units) == units * len(blocks[1:])
    for unit, name in zip(made.blocks, made.units, strict=True):
        path = name if units == 1 else name.rpartition(".")[0]
        assert path in blocks
        if unit.skip_path is not None:
            kept = [part for part in unit.skip_path if "act" not in part]
            assert ("shortcut" in left) or not kept
            assert ("zeros" in left) == bool(unit.passage.appended)
