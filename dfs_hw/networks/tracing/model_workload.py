"""The `Workload` of any PyTorch model, as it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from accel_models.errors import InputError
from accel_models.workloads.workload import Layer, Workload

# The rules enter themselves.
from dfs_hw.networks.tracing import arithmetic, array_rules, vector_rules, views  # noqa: F401
from dfs_hw.networks.tracing.capture import Captured, capture, decomposed
from dfs_hw.networks.tracing.folding import Folded, fold
from dfs_hw.networks.tracing.reader import Reader
from dfs_hw.networks.tracing.values import Kind, Step, Value, values_in

MOST_TRIES = 3
"""How often operators that are not known are taken apart."""


def model_workload(model: nn.Module, example: Any, name: str = "") -> Workload:
    """Layers of a model for an example of its input, in evaluation mode.

    Layers are called after the module that computes them; what a module's forward does itself, and
    what a module does beside its first work, has a word after the module's path. What has no cost
    model is named in `Workload.assumed`.

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
    folded = fold(reader.steps, reader.kept)
    order = [number for number in folded.order() if folded.steps[number].layer is not None]
    if not order:
        raise InputError(f"{name} has no layers: nothing that it computes of the example is priced")
    names = _names(folded, order)
    layers = tuple(_layer(folded.steps[number], names[number]) for number in order)
    edges = dict.fromkeys(edge for number in order for edge in _edges(folded, number, names))
    return Workload(name, layers, tuple(edges), tuple(_said(captured, reader, folded)))


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


def _names(folded: Folded, order: list[int]) -> dict[int, str]:
    """A name for each layer: its module's path where that is all the module does, and a word more
    where it does several things or has modules inside; numbered where a name comes again."""
    steps = {number: folded.steps[number] for number in order}
    words: dict[str, set[str]] = {}
    for step in steps.values():
        words.setdefault(step.path, set()).add(step.called)
    parents = {
        ".".join(parts[:length])
        for step in steps.values()
        for parts in [step.path.split(".")]
        for length in range(len(parts))
    }
    taken: Counter[str] = Counter()
    found = {}
    for number, step in steps.items():
        alone = len(words[step.path]) == 1 and step.path not in parents and step.path
        name = step.path if alone else ".".join(part for part in (step.path, step.called) if part)
        taken[name] += 1
        while taken[name] > 1:
            name = f"{name}_{taken[name]}"
            taken[name] += 1
        found[number] = name
    return found


def _layer(step: Step, name: str) -> Layer:
    assert step.layer is not None
    return replace(step.layer, name=name)


def _edges(folded: Folded, number: int, names: dict[int, str]) -> list[tuple[str, ...]]:
    """Edges to a layer; those through what has no layer come from what that reads."""
    found: list[tuple[str, ...]] = []
    for one in folded.reads(number):
        for maker in _with_layers(folded, one.maker):
            found.append((names[maker], names[number], one.part))
    makers = {edge[0] for edge in found}
    plain = len(makers) == len(found) == 1 and found[0][2] == "input"
    return [edge[:2] for edge in found] if plain else found


def _with_layers(folded: Folded, maker: int) -> list[int]:
    if folded.steps[maker].layer is not None:
        return [maker]
    return [found for one in folded.reads(maker) for found in _with_layers(folded, one.maker)]


def _said(captured: Captured, reader: Reader, folded: Folded) -> list[str]:
    """Sentences on what was assumed, and on what has no price."""
    said = [*captured.said, *dict.fromkeys(reader.said)]
    unknown: dict[str, list[str]] = {}
    for step in folded.steps.values():
        if step.layer is None:
            unknown.setdefault(step.called, []).append(step.path or "the model itself")
    for called, paths in unknown.items():
        where = ", ".join(dict.fromkeys(paths))
        said.append(f"{called} has no cost model and is not priced, in {where}")
    if reader.index_work:
        work = ", ".join(sorted(reader.index_work))
        said.append(f"whole numbers and masks are not priced: {work}")
    return said


__all__ = ["model_workload"]
