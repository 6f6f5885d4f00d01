"""The `Workload` of any PyTorch model, as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from accel_models.workloads.graphs.assembling import assembled, products_of
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Kind, Value, values_in
from accel_models.workloads.workload import Workload

# The rules enter themselves.
from dfs_hw.networks.tracing import arithmetic, array_rules, vector_rules, views  # noqa: F401
from dfs_hw.networks.tracing.capture import Captured, capture, decomposed
from dfs_hw.networks.tracing.reader import Reader

MOST_TRIES = 3
"""How often operators that are not known are taken apart."""


class ReadModel(NamedTuple):
    """A model's layers, and which of them the array multiplies for."""

    workload: Workload
    products: dict[str, list[str]]
    """Layers of the array by path of the module that computes them, in the order of its forward;
    an empty name where nothing reads the result."""


def model_workload(model: nn.Module, example: Any, name: str = "") -> Workload:
    """Layers of a model for an example of its input, in evaluation mode.

    Layers are called after the module that computes them; what a module's forward does itself, and
    what a module does beside its first work, has a word after the module's path. What has no cost
    model is named in `Workload.assumed`.

    Raises:
        InputError: if the model does not run on the example, or has no layers.
    """
    return read_model(model, example, name).workload


def read_model(
    model: nn.Module,
    example: Any,
    name: str = "",
    settle: Callable[[Steps], None] = lambda read: None,
) -> ReadModel:
    """What `model_workload` gives, and which module computes each layer of the array.

    Args:
        model: as it is.
        example: see `capture.arguments_of`.
        name: what to call the workload; by default as the model's class.
        settle: given the steps before layers take in what follows them, to change them in place.

    Raises:
        InputError: if the model does not run on the example, or has no layers.
    """
    name = name or type(model).__name__
    captured = capture(model, example, name)
    reader = _read(captured)
    for _ in range(MOST_TRIES):
        apart = decomposed(captured, reader.unknown_targets)
        if apart is None:
            break
        captured = apart
        reader = _read(captured)
    settle(reader)
    return ReadModel(assembled(name, reader, tuple(captured.said)), products_of(reader))


def _read(captured: Captured) -> Reader:
    reader, bound = Reader(), {}
    for node in captured.module.graph.nodes:
        if node.op != "placeholder":
            continue
        tensor = captured.inputs.get(node, node.meta.get("val"))
        if not isinstance(tensor, Tensor):
            bound[node] = tensor
            continue
        number = tensor.is_floating_point() or tensor.is_complex()
        kind: Kind = "constant" if node not in captured.inputs else "data" if number else "index"
        bound[node] = Value(
            tuple(map(int, tensor.shape)), kind, weight=captured.weights.get(node, "")
        )
    left = reader.read(captured.module, bound)
    reader.kept = {maker for value in values_in(left) for maker in value.makers}
    return reader


__all__ = ["ReadModel", "model_workload", "read_model"]
