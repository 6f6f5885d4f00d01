"""The `Workload` of steps: what is folded, in which order, under which names."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from accel_models.errors import InputError
from accel_models.workloads.graphs.folding import Folded, fold
from accel_models.workloads.graphs.gathering import gather
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Step
from accel_models.workloads.workload import Layer, Workload


def assembled(name: str, read: Steps, said: tuple[str, ...] = ()) -> Workload:
    """The layers that a graph comes to.

    Args:
        name: of the network.
        read: its steps; `read.kept` says which results leave it.
        said: sentences for `Workload.assumed` before those of `read`.

    Raises:
        InputError: if there are no layers.
    """
    folded = gather(fold(read.steps, read.kept))
    order = _order(folded)
    if not order:
        unknown = ", ".join(dict.fromkeys(step.called for step in folded.steps.values()))
        what = f"{unknown} has no cost model" if unknown else "it computes nothing of its example"
        raise InputError(f"{name} has no layers that could be priced: {what}")
    names = _names(folded, order)
    layers = tuple(_layer(folded.steps[number], names[number]) for number in order)
    edges = dict.fromkeys(edge for number in order for edge in _edges(folded, number, names))
    return Workload(name, layers, tuple(edges), (*said, *_said(read, folded)))


def products_of(read: Steps) -> dict[str, list[str]]:
    """Layers of the array that each module or node computes, in the order of the graph's own
    program: names as `assembled` gives them, by path; empty where nothing reads the result."""
    folded = gather(fold(read.steps, read.kept))
    names = _names(folded, _order(folded))
    found: dict[str, list[str]] = {}
    for number, step in enumerate(read.steps):
        if step.on_array:
            found.setdefault(step.path, []).append(names.get(number, ""))
    return found


def _order(folded: Folded) -> list[int]:
    """Steps that have a layer, in execution order."""
    return [number for number in folded.order() if folded.steps[number].layer is not None]


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
        for maker in folded.with_layers(one.maker):
            found.append((names[maker], names[number], one.part))
    makers = {edge[0] for edge in found}
    plain = len(makers) == len(found) == 1 and found[0][2] == "input"
    return [edge[:2] for edge in found] if plain else found


def _said(read: Steps, folded: Folded) -> list[str]:
    """Sentences on what was assumed, and on what has no price."""
    said = [*dict.fromkeys(read.said)]
    unknown: dict[str, list[str]] = {}
    for step in folded.steps.values():
        if step.layer is None:
            unknown.setdefault(step.called, []).append(step.path or "the model itself")
    for called, paths in unknown.items():
        where = ", ".join(dict.fromkeys(paths))
        said.append(f"{called} has no cost model and is not priced, in {where}")
    if read.index_work:
        work = ", ".join(sorted(read.index_work))
        said.append(f"whole numbers and masks are not priced: {work}")
    return said


__all__ = ["assembled", "products_of"]
