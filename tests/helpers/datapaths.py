"""Layers given to the datapath, and what they should come to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn import functional

from accel_models import Layer, Precision, load_accelerator
from accel_models.accelerators.accelerator import Accelerator
from accel_models.mapping.problem import ACTIONS, LOOPS, NEVER, Found, Mapping
from accel_models.mapping.problem_of import Tensors, problem_of
from accel_models.mapping.search import search
from accel_models.reference_machine.datapath.datapath import Computed, compute
from accel_models.workloads.workload import Ends

WHOLE = (NEVER, NEVER, NEVER)


def values(bits: int, signed: bool) -> np.ndarray:
    """Every operand of a width; one signed bit is a sign."""
    if not signed:
        return np.arange(2**bits)
    return np.array([-1, 1]) if bits == 1 else np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1))


def products(
    machine: Accelerator, x: np.ndarray, w: np.ndarray, widths: Precision, signs: tuple[bool, bool]
) -> Computed:
    """Every input times every weight: a layer of one input, as many outputs as there are weights,
    and a batch of as many images as there are inputs."""
    layer = Layer("products", 1, len(w))
    rule = machine.mapping.lane_rules[0]
    mapping = Mapping((len(x), 1, 1, 1, len(w)), LOOPS, "output", rule, WHOLE)
    return compute(
        *(layer, machine, widths, mapping, x.reshape(-1, 1, 1, 1), w.reshape(-1, 1, 1, 1)),
        signed_inputs=signs[0],
        signed_weights=signs[1],
    )


OPERATIONS = ACTIONS.index("array_operations")


def operands(
    layer: Layer, widths: Precision, batch: int, signs: tuple[bool, bool], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random ones, with the extremes among them."""
    rng = np.random.default_rng(seed)

    def some(bits: int, signed: bool, shape: tuple[int, ...]) -> np.ndarray:
        low, high = values(bits, signed)[[0, -1]]
        if signed and bits == 1:
            return rng.choice([-1, 1], shape)
        drawn = rng.integers(low, high + 1, shape)
        return np.where(rng.random(shape) < 0.1, rng.choice([low, high], shape), drawn)

    x = some(widths.activation_bits, signs[0], (batch, layer.in_channels, *layer.in_size))
    per_group = layer.in_channels // layer.groups
    w = some(widths.weight_bits, signs[1], (layer.out_channels, per_group, *layer.kernel))
    return x, w


def convolved(layer: Layer, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """torch's convolution of 64-bit integers, of maps with or without depth."""
    sides = list(zip(layer.padding[::2], layer.padding[1::2], strict=True))
    inner_first = [side for both in reversed(sides) for side in both]
    how = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    # torch reflects and replicates floating point only: these integers are exact in it.
    padded = functional.pad(torch.from_numpy(x).double(), inner_first, how)
    convolution = functional.conv3d if len(layer.kernel) == 3 else functional.conv2d
    out = convolution(
        padded.long(),
        torch.from_numpy(w),
        stride=layer.stride,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    return out.numpy()


def agrees(
    machine: Accelerator, layer: Layer, widths: Precision, found: Found, computed: Computed,
    expected: np.ndarray,
) -> None:  # fmt: skip
    assert (computed.outputs == expected).all()
    assert computed.issue_cycles == found.compute_cycles
    assert computed.operations == found.counts[OPERATIONS]
    data = machine.array.datapath(layer, widths)
    crossing = (
        data.rows + data.columns - 2 if machine.array.family in ("bit_fusion", "bitblade") else 0
    )
    assert computed.fill_cycles == crossing == data.fill


def small_machine(name: str, draw: st.DrawFn) -> Accelerator:
    """A machine so small that layers need many tiles of it."""
    machine = load_accelerator(name).configured(
        array__rows=draw(st.integers(1, 5)),
        array__columns=draw(st.integers(1, 5)),
        buffers__weight_bytes=draw(st.sampled_from((48, 256, 65536))),
        buffers__input_bytes=draw(st.sampled_from((128, 512, 65536))),
        buffers__output_bytes=draw(st.sampled_from((128, 512, 16384))),
    )
    if "windows" in type(machine.array).model_fields:
        machine = machine.configured(array__windows=draw(st.sampled_from((1, 3, 16))))
    return machine


def searched(
    machine: Accelerator, layer: Layer, widths: Precision, batch: int, prices: Iterable[float]
) -> Found:
    task = problem_of(layer, widths, Tensors(Ends(), 8), batch, machine)
    return search(task, [*prices], 1)
