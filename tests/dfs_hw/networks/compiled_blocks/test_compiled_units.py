"""Decision units on compiled kernels do what they do layer by layer."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import traceback
from collections.abc import Collection

import pytest
import torch
from dfs_pairing import adopt_statistics, spread_choices
from torch import Tensor

from dfs_hw.networks import Design, DynamicNetwork, build_network
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.compiled_blocks.autograd import serves
from dfs_hw.networks.statistics import note_inputs, settle
from dfs_hw.quantize import PrecisionNorm
from dfs_hw.quantize.observer import Observer

CHOICES = "skip,20,22,24,full"
"""Of so many bits that it does not matter where single precision puts a number to the other side of
a tie; `test_fused_convolutions` has rounding itself. What tells them apart is their norms."""
WIDTHS, SIZE = (16, 32, 48), (13, 10)
pytestmark = pytest.mark.usefixtures("one_thread")


def trained(
    quantizer: str = "minmax", faults: Collection[str] = (), choices: str = CHOICES, batch: int = 12
) -> DynamicNetwork:
    """A network that goes by running statistics, in training mode; the first block is decided."""
    torch.manual_seed(0)
    design = Design(quantizer=quantizer, first_block=True, faults=tuple(faults))
    network = build_network("resnet8", choices, 5, image_size=SIZE, widths=WIDTHS, design=design)
    images = pictures(batch)
    spread_choices(network, images)
    adopt_statistics(network, images)
    network.normalize_by_batch(False)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, PrecisionNorm):
                for parameter in (module.weight, module.bias):
                    parameter += 0.3 * torch.randn(parameter.shape)
    return network


def pictures(count: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def layered(network: DynamicNetwork) -> DynamicNetwork:
    """A copy that runs layer by layer."""
    twin = copy.deepcopy(network)
    for unit in twin.blocks:
        unit.fused = None
    return twin


def inputs_of(network: DynamicNetwork, unit: int, count: int, seed: int) -> Tensor:
    """What a unit could read: not negative, and with zeros."""
    shape = (16, 13, 10), (16, 13, 10), (32, 7, 5)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *shape[unit], generator=generator).relu()
    return x.contiguous(memory_format=torch.channels_last)


def step(
    unit: GatedUnit, x: Tensor, gate: Tensor, tried: Tensor | None, upstream: Tensor
) -> dict[str, Tensor]:
    """Output, gradients and statistics of a unit's training pass."""
    unit.zero_grad()
    observers = {name: m for name, m in unit.named_modules() if isinstance(m, Observer)}
    for observer in observers.values():
        observer.pending.zero_()
    x, gate = x.clone().requires_grad_(), gate.clone().requires_grad_()
    out = unit.run_gated(x, gate, tried)
    out.backward(upstream)
    assert x.grad is not None
    assert gate.grad is not None
    found = {"out": out.detach(), "x": x.grad, "gate": gate.grad}
    for name, parameter in unit.named_parameters():
        found[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return found | {f"{name} saw": each.pending.clone() for name, each in observers.items()}


def assert_alike(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        worst = (found[name].double() - value.double()).abs().max()
        assert worst <= tolerance * value.abs().max() + 1e-9, (name, float(worst))


@pytest.fixture(
    scope="module",
    params=[(), ("shared-norm",), ("free-shortcut",), ("inverted-ema", "shared-norm")],
    ids=lambda faults: "+".join(faults) or "none",
)
def network(request: pytest.FixtureRequest) -> DynamicNetwork:
    return trained(faults=request.param)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("draws", [False, True], ids=["exact", "drawn"])
@pytest.mark.parametrize("number", range(3))
def test_a_training_pass_is_the_same(
    network: DynamicNetwork, number: int, draws: bool, seed: int
) -> None:
    unit, twin = network.blocks[number], layered(network).double().blocks[number]
    generator = torch.Generator().manual_seed(seed)
    made = torch.randint(5, (int(torch.randint(1, 20, (), generator=generator)),))
    x = inputs_of(network, number, len(made), seed)
    assert unit.fused is not None
    assert serves(unit.fused, x)
    gate, tried = torch.eye(5)[made], None
    if draws:
        tried = 3 * torch.rand(gate.shape, generator=generator)
        tried[tried < 1.5] = 0
    with torch.no_grad():
        shape = unit.run(x, 4).shape
    upstream = torch.randn(shape, generator=generator)
    found = step(unit, x, gate, tried, upstream)
    tried = None if tried is None else tried.double()
    wanted = step(twin, x.double(), gate.double(), tried, upstream.double())
    assert_alike(found, wanted, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["normal", "lsq", "nested", "minmax"])
def test_an_evaluation_is_the_same(quantizer: str) -> None:
    network = trained(quantizer, choices="skip,2,4/8,8,full").eval()
    twin = layered(network)
    made = torch.arange(15).remainder(5)
    for number in range(3):
        x = inputs_of(network, number, len(made), seed=7)
        with torch.no_grad():
            found, wanted = (each.blocks[number].run_chosen(x, made) for each in (network, twin))
        # Few bits now: of a thousand pixels one may read another level; and a weight of 8 bits at
        # the edge between two may take the other, which moves its channel by a thousandth.
        off = (found - wanted).abs() > 2e-3 * wanted.abs().max()
        assert off.float().mean() <= 1e-3
        assert (found - wanted).abs().max() <= 0.1 * wanted.abs().max()


def test_an_image_does_not_depend_on_the_others_nor_on_threads() -> None:
    network = trained().eval()
    made = torch.arange(12).remainder(5)
    for number, unit in enumerate(network.blocks):
        x = inputs_of(network, number, 12, seed=3)
        with torch.no_grad():
            together = unit.run_chosen(x, made)
            alone = [unit.run_chosen(x[i : i + 1], made[i : i + 1]) for i in range(12)]
            assert torch.equal(together, torch.cat(alone))
            torch.set_num_threads(3)
            assert torch.equal(together, unit.run_chosen(x, made))
            torch.set_num_threads(1)


def test_threads_find_the_same_gradients() -> None:
    unit = trained().blocks[2]
    x, gate = inputs_of(trained(), 2, 12, seed=4), torch.eye(5)[torch.arange(12).remainder(5)]
    upstream = torch.randn(12, 48, 4, 3, generator=torch.Generator().manual_seed(4))
    wanted = step(unit, x, gate, None, upstream)
    torch.set_num_threads(3)
    found = step(unit, x, gate, None, upstream)
    torch.set_num_threads(1)
    assert_alike(found, wanted, 1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    unit, x = trained().eval().blocks[2], inputs_of(trained(), 2, 8, seed=3)
    made = torch.arange(8).remainder(5)
    torch.set_num_threads(2)
    with torch.no_grad():
        unit.run_chosen(x, made)
        child = os.fork()
        if not child:
            signal.alarm(20)  # ends it, should it wait for a thread
            status = 1
            try:
                unit.run_chosen(x, made)
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
    torch.set_num_threads(1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_was_laid_out_is_laid_out_anew_when_it_changes() -> None:
    unit = trained().eval().blocks[0]
    x, made = inputs_of(trained(), 0, 4, seed=5), torch.tensor([1, 2, 3, 4])
    with torch.no_grad():
        before = unit.run_chosen(x, made)
        unit.block.conv1.weight.data[3] *= 2  # leaves no trace in the version of the parameter
        after = unit.run_chosen(x, made)
        assert not torch.equal(before, after)
        unit.fused = None
        torch.testing.assert_close(after, unit.run_chosen(x, made), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["minmax", "normal", "lsq", "nested"])
def test_what_did_not_change_is_laid_out_once(quantizer: str) -> None:
    unit = trained(quantizer, choices="skip,4,full").eval().blocks[0]
    x, made = inputs_of(trained(), 0, 3, seed=5), torch.tensor([0, 1, 2])
    assert unit.fused is not None
    with torch.no_grad():
        unit.run_chosen(x, made)
        first = unit.fused.last
        unit.run_chosen(x, made)
        assert first is not None
        assert unit.fused.last is first


def test_copies_and_pickles_go_without_what_was_laid_out() -> None:
    unit = trained().eval().blocks[0]
    x, made = inputs_of(trained(), 0, 4, seed=5), torch.tensor([0, 1, 2, 4])
    size = len(pickle.dumps(unit))
    with torch.no_grad():
        wanted = unit.run_chosen(x, made)
        assert len(pickle.dumps(unit)) == size
        for twin in (copy.deepcopy(unit), pickle.loads(pickle.dumps(unit))):
            assert twin.fused is not None
            assert twin.fused.last is None
            assert twin.fused.convolutions[0] is twin.block.conv1
            assert torch.equal(twin.run_chosen(x, made), wanted)


def test_what_is_not_a_number_is_passed_on() -> None:
    unit = trained().eval().blocks[1]
    unit.block.conv2.weight.data[5, 0, 1, 1] = torch.nan
    x = inputs_of(trained(), 1, 2, seed=6)
    with torch.no_grad():
        out = unit.run_chosen(x, torch.tensor([4, 0]))
    assert out[0, 5].isnan().all()
    assert not out[1].isnan().any()


def test_what_is_not_a_number_stays_at_its_precision() -> None:
    network = trained()
    x, upstream = inputs_of(network, 0, 5, seed=6), torch.ones(5, 16, 13, 10)
    x[4] = torch.nan
    gate = torch.eye(5)[torch.arange(5)]
    found, wanted = (
        step(each.blocks[0], x, gate, None, upstream) for each in (network, layered(network))
    )
    for name in found:
        if "norm" in name or "saw" in name:
            assert torch.equal(found[name].isnan(), wanted[name].isnan()), name


@pytest.mark.slow
def test_what_a_backward_pass_cannot_do_is_refused() -> None:
    network = trained()
    unit, x = network.blocks[0], inputs_of(network, 0, 4, seed=8).requires_grad_()
    made = torch.tensor([1, 2, 3, 4])
    squares = unit.run_chosen(x, made).square().sum()
    (grad,) = torch.autograd.grad(squares, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.square().sum().backward()
    out = unit.run_chosen(x, made).sum()
    note_inputs(network, x)
    settle(network)  # moves the statistics
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_a_backward_pass_under_autocast_is_in_single_precision() -> None:
    unit, x = trained().blocks[0], inputs_of(trained(), 0, 4, seed=8)
    out = unit.run_chosen(x, torch.tensor([1, 2, 3, 4])).sum()
    weight = unit.block.conv1.weight
    (wanted,) = torch.autograd.grad(out, weight, retain_graph=True)
    with torch.autocast("cpu"):
        (found,) = torch.autograd.grad(out, weight)
    assert torch.equal(found, wanted)


def test_frozen_parts_get_no_gradient() -> None:
    unit = trained().blocks[0]
    unit.block.conv1.weight.requires_grad_(False)
    x = inputs_of(trained(), 0, 3, seed=8)
    unit.run_chosen(x, torch.tensor([1, 2, 3])).sum().backward()
    assert unit.block.conv1.weight.grad is None
    assert unit.block.conv2.weight.grad is not None
    assert x.grad is None


def test_layers_run_where_the_kernels_cannot() -> None:
    network = trained()
    unit, x = network.blocks[0], inputs_of(network, 0, 2, seed=9)
    assert unit.fused is not None
    assert serves(unit.fused, x)
    assert not serves(unit.fused, x.double())
    with torch.autocast("cpu"):
        assert not serves(unit.fused, x)
    network.normalize_by_batch(True)
    assert not serves(unit.fused, x)
    network.normalize_by_batch(False)
    for part in (unit.block, unit.block.conv1, unit.block.norm2, unit.block.activation):
        seen: list[Tensor] = []
        handle = part.register_forward_hook(lambda _, inputs, out, to=seen: to.append(out))
        unit.run(x, 1)
        handle.remove()
        assert len(seen) == 1
    unit.block.norm2.eval()  # as if frozen: it must not observe
    assert not serves(unit.fused, x)
    unit.block.norm2.train()
    assert serves(unit.fused, x)
    assert not serves(unit.fused, x[:0])
    assert not serves(unit.fused, x[:, :8])
    with pytest.raises(RuntimeError, match="16 channels"):
        unit.run(x[:, :8], 1)

    learned = trained("lsq").blocks[0]
    assert learned.fused is not None
    assert not serves(learned.fused, x)
    with torch.no_grad():
        assert serves(learned.fused, x)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_unit_can_be_traced_and_exported() -> None:
    network = trained().eval().requires_grad_(False)
    unit, x = network.blocks[1], inputs_of(network, 1, 3, seed=9)
    other = inputs_of(network, 1, 3, seed=10)
    wanted = unit(other)
    traced = torch.jit.trace(unit, x, check_trace=False)
    torch.testing.assert_close(traced(other), wanted, rtol=0, atol=1e-4)
    exported = torch.export.export(unit, (x,)).module()
    torch.testing.assert_close(exported(other), wanted, rtol=0, atol=1e-4)


def test_dither_runs_layer_by_layer() -> None:
    design = Design(quantizer="minmax", faults=("stochastic-activations",))
    network = build_network("resnet8", CHOICES, 5, image_size=SIZE, widths=WIDTHS, design=design)
    assert [unit.fused for unit in network.blocks] == [None, None]


def test_ranges_that_start_at_zero_round_all_to_about_nothing() -> None:
    design = Design(quantizer="minmax", first_block=True, faults=("untrained-ranges",))
    network = build_network("resnet8", "skip,8", 5, image_size=SIZE, widths=WIDTHS, design=design)
    unit, x = network.eval().blocks[0], inputs_of(network, 0, 4, seed=2)
    assert unit.fused is not None
    assert serves(unit.fused, x)
    with torch.no_grad():
        torch.testing.assert_close(unit.run(x, 1), x, rtol=0, atol=1e-4)
