"""A small space of machines, and traces to run on them, that the tests of exploration share."""

from __future__ import annotations

from typing import Any

import numpy as np
from networks import gated_pair

from accel_models import Layer, Workload
from accel_models.precision import highest, parse_choices
from accel_models.trace import GateTrace, TraceHeader

CHOICES = parse_choices("skip,2,4/8,8")
SPACE: dict[str, Any] = {
    "name": "small",
    "base": "bitfusion",
    "objectives": ["energy", "p95", "area"],
    "fields": {
        "array": {"rows": [4, 8, 16], "columns": [8, 16]},
        "buffers": {"weight_bytes": {"low": 16384, "high": 65536, "factor": 2}},
        "dram": {"gb_per_s": [3, 12]},
    },
}
"""36 machines."""


def up_front() -> Workload:
    """The pair of networks, but one gate decides about both units."""
    keep = [layer for layer in gated_pair().layers if layer.name != "b.gate"]
    return Workload.chain("up-front", keep)


def branching() -> Workload:
    """Two gated units with shortcuts and residual additions, the second with two layers."""
    conv = {"kernel": (3, 3), "padding": (1, 1)}
    layers = (
        Layer("stem", 3, 12, out_size=(9, 9), reads_image=True, **conv),
        Layer("a.gate", 12, 3, role="gate", unit="a"),
        Layer("a.conv", 12, 12, out_size=(9, 9), role="body", unit="a", **conv),
        Layer("b.gate", 12, 3, role="gate", unit="b"),
        Layer("b.short", 12, 20, out_size=(5, 5), stride=(2, 2), role="shortcut", unit="b"),
        Layer("b.conv1", 12, 20, out_size=(5, 5), stride=(2, 2), role="body", unit="b", **conv),
        Layer("b.conv2", 20, 20, out_size=(5, 5), role="body", unit="b", **conv),
        Layer("pool", 20, 10),
    )
    edges = (
        ("stem", "a.gate"),
        ("stem", "a.conv"),
        ("a.conv", "b.gate"),
        ("a.conv", "b.short"),
        ("a.conv", "b.conv1"),
        ("b.conv1", "b.conv2"),
        ("b.short", "b.conv2"),
        ("b.conv2", "pool"),
    )
    return Workload("branching", layers, edges)


def of_many_operators() -> Workload:
    """Two gated units, one of attention and one that makes a map larger, norms and pools between
    them."""
    tokens: dict[str, Any] = {"in_size": (16, 1)}
    a: dict[str, Any] = {"role": "body", "unit": "a"}
    b: dict[str, Any] = {"role": "body", "unit": "b"}
    half: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2)}
    layers = (
        Layer("stem", 3, 8, (3, 3), in_size=(8, 8), padding=1, reads_image=True),
        Layer("pool", 8, 8, in_size=(8, 8), operator="max_pool", **half),
        Layer("a.gate", 8, 4, role="gate", unit="a"),
        Layer("a.norm", 8, 8, operator="layer_norm", **tokens, **a),
        *(Layer(f"a.{name}", 8, 8, **tokens, **a) for name in "qkv"),
        Layer("a.scores", 8, 32, groups=2, operator="matmul", **tokens, **a),
        Layer("a.softmax", 32, 32, groups=2, operator="softmax", **tokens, **a),
        Layer("a.context", 32, 8, groups=2, operator="matmul", **tokens, **a),
        Layer("a.out", 8, 8, activation="gelu", **tokens, **a),
        Layer("norm", 8, 8, operator="rms_norm", **tokens),
        Layer("b.gate", 8, 4, role="gate", unit="b"),
        Layer("b.up", 8, 8, (3, 3), in_size=(4, 4), stride=(2, 2), operator="transposed_conv", **b),
        Layer("b.tanh", 8, 8, in_size=(9, 9), operator="tanh", **b),
        Layer("mean", 8, 8, (9, 9), in_size=(9, 9), operator="avg_pool"),
        Layer("head", 8, 4),
    )
    edges = (
        *(("stem", "pool"), ("pool", "a.gate"), ("pool", "a.norm")),
        *(("a.norm", f"a.{name}") for name in "qkv"),
        *(("a.q", "a.scores", "input"), ("a.k", "a.scores", "other"), ("a.scores", "a.softmax")),
        *(("a.softmax", "a.context", "input"), ("a.v", "a.context", "other")),
        *(("a.context", "a.out", "input"), ("pool", "a.out", "added"), ("a.out", "norm")),
        *(("norm", "b.gate"), ("norm", "b.up"), ("b.up", "b.tanh"), ("b.tanh", "mean")),
        ("mean", "head"),
    )
    return Workload("operators", layers, edges)


def trace_of(
    workload: Workload | None = None,
    inputs: int = 40,
    seed: int = 0,
    accelerator: str = "bitfusion",
) -> GateTrace:
    """Random decisions; about two in three inputs are right."""
    workload = workload or gated_pair()
    rng = np.random.default_rng(seed)
    header = TraceHeader(
        workload.name, "none", workload, CHOICES, highest(CHOICES), accelerator, seed, "0"
    )
    numbers, labels = np.arange(inputs), rng.integers(0, 3, inputs)
    wrong = rng.random(inputs) < 1 / 3
    choices = rng.integers(0, len(CHOICES), (inputs, len(workload.units)))
    return GateTrace(header, numbers, labels, labels + wrong, choices.astype(np.uint8))
