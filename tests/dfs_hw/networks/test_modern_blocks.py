"""Blocks of modern networks made dynamic: squeezed, concatenated, normalised, and of attention."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from models import IMAGE, decisive, images, lived_in, logits_of
from modern import KINDS
from torch import Tensor, nn
from torch.nn import functional

from accel_models import load_accelerator, simulate
from accel_models.precision import highest
from accel_models.replay import replay
from accel_models.trace import GateTrace, TraceHeader
from dfs_hw import load_checkpoint, save_checkpoint, workload_of
from dfs_hw.data import Dataset
from dfs_hw.networks import DynamicNetwork, make_dynamic
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
    made, plain = workload_of(network(kind)), workload_of(_model(kind), torch.empty(1, *IMAGE))
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
    workload = workload_of(made)
    always = highest(made.choices)
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
