"""Where a block can be cut into halves: what its residual sums leave as the only way through.

A block such as a transformer's adds to a tensor twice, what attention makes of it and what two
linear layers make of that sum. All that flows through the block passes through the first sum, or
through the norm behind it. These calls are its trunk, and the last of them before the second sum
begins is where one half ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
from torch import nn

from dfs_hw.networks.flow import SUMS, FunctionCall
from dfs_hw.networks.observed import MULTIPLIES, Survey
from dfs_hw.quantize.activation_products import PRODUCTS

HALVES = 2


@dataclass(frozen=True)
class Hush:
    """What a module of a half returns while the half is silent."""

    path: str
    """Inside the block."""
    half: int
    argument: int | str
    """Name of one of its tensors."""
    passes: bool
    """Whether it returns that tensor itself, as a norm behind a residual sum has to; otherwise
    zeros, as what is added to the trunk has to be."""


@dataclass(frozen=True)
class Cut:
    """How a block falls into halves."""

    names: tuple[str, str]
    """What to call the halves: what most of the weights of each are in."""
    halves: tuple[tuple[str, ...], tuple[str, ...]]
    """Paths inside the block of the modules of each half, not those inside them."""
    hushed: tuple[Hush, ...]
    own_products: int
    """Half in which the block itself multiplies activations."""


def cut_of(path: str, block: nn.Module, seen: Survey) -> Cut | None:
    """Halves of a block; None if it is to be decided as a whole: it does not add to its input
    twice, or a layer has a part in both halves."""
    run = seen.runs[path]
    given, made = run.read, run.made
    if given is None or given.maker is None or made is None or made.maker is None:
        return None
    if not any(f"{other}.".startswith(f"{path}.") for other in seen.products):
        return None
    found = _halves(seen.calls, given.maker, made.maker)
    if found is None:
        return None
    trunk, half_of = found
    maker = _CutMaker(path, seen, trunk, half_of)
    if not maker.visit(block, ""):
        return None
    tops = [[name for name, half in maker.tops.items() if half == number] for number in (0, 1)]
    if not all(tops):
        return None
    first, second = (_name(block, names) for names in tops)
    if first == second:
        first, second = f"{first}_first", f"{second}_second"
    own = {
        half
        for number, half in half_of.items()
        if seen.calls[number].path == path and seen.calls[number].function in PRODUCTS
    }
    if len(own) > 1:
        return None
    quiet = {f"{path}.{hush.path}" for hush in maker.hushed}
    if any("dropout" in seen.calls[n].function and seen.calls[n].path not in quiet for n in trunk):
        return None  # it would drop twice
    halves = tuple(tops[0]), tuple(tops[1])
    return Cut((first, second), halves, tuple(maker.hushed), min(own, default=0))


def _halves(
    calls: Sequence[FunctionCall], start: int, end: int
) -> tuple[set[int], dict[int, int]] | None:
    """The calls of the trunk, and the half of every call on the way; None if there are no two."""
    graph = nx.DiGraph()
    waiting, met = [end], {start}
    while waiting:
        number = waiting.pop()
        if number in met or number < start:
            continue
        met.add(number)
        graph.add_edges_from((maker, number) for maker in calls[number].reads)
        waiting.extend(calls[number].reads)
    if start not in graph or end not in nx.descendants(graph, start):
        return None
    above = nx.immediate_dominators(graph, start)
    chain = [end]
    while chain[-1] != start:
        chain.append(above[chain[-1]])
    chain.reverse()
    sums = [
        at
        for at in range(1, len(chain))
        if calls[chain[at]].function in SUMS and chain[at - 1] in calls[chain[at]].reads
    ]
    if len(sums) != HALVES:
        return None
    first = nx.ancestors(graph, chain[sums[1] - 1]) | {chain[sums[1] - 1]}
    on_the_way = nx.descendants(graph, start)
    return set(chain), {number: int(number not in first) for number in on_the_way}


class _CutMaker:
    """Goes through the modules of a block and says what each is to return in silence."""

    def __init__(self, path: str, seen: Survey, trunk: set[int], half_of: dict[int, int]) -> None:
        self.path, self.seen, self.trunk = path, seen, trunk
        self.half_of = half_of
        self.hushed: list[Hush] = []
        self.tops: dict[str, int] = {}

    def visit(self, module: nn.Module, inside: str) -> bool:
        """Go through what is in a module; False if a layer has a part in both halves."""
        for name, child in module.named_children():
            path = f"{inside}.{name}" if inside else name
            halves = self._halves_of(path)
            if not any(True for _ in child.parameters()):
                self._pass_by(path)
                continue
            if not halves:
                continue
            if len(halves) > 1:
                if isinstance(child, MULTIPLIES) or not self.visit(child, path):
                    return False
                continue
            (half,) = halves
            self.tops[path] = half
            self._hush(child, path, half)
        return True

    def _pass_by(self, inside: str) -> None:
        """Have a module without weights on the trunk, such as a dropout behind a sum, run in one
        half alone."""
        run = self.seen.runs.get(f"{self.path}.{inside}")
        if run is None or run.read is None or run.made is None or run.made.maker is None:
            return
        if run.made.maker in self.trunk and run.read.maker in self.trunk:
            half = self.half_of.get(run.made.maker, 0)
            self.hushed.append(Hush(inside, half, run.place.at, passes=True))

    def _halves_of(self, inside: str) -> set[int]:
        prefix = f"{self.path}.{inside}."
        return {
            half
            for number, half in self.half_of.items()
            if f"{self.seen.calls[number].path}.".startswith(prefix)
        }

    def _hush(self, module: nn.Module, inside: str, half: int) -> None:
        """Silence a module as a whole if its output's shape is known, or else what is in it."""
        run = self.seen.runs[f"{self.path}.{inside}"]
        if run.made is not None and run.made.maker in self.trunk:
            for name, handed in run.given.items():
                if handed.maker in self.trunk:
                    self.hushed.append(Hush(inside, half, name, passes=True))
                    return
        elif run.made is not None:
            alike = [name for name, x in run.given.items() if x.shape == run.made.shape]
            if alike or isinstance(module, nn.Linear):
                name = alike[0] if alike else next(iter(run.given))
                self.hushed.append(Hush(inside, half, name, passes=False))
                return
        for name, child in module.named_children():
            path = f"{inside}.{name}"
            if f"{self.path}.{path}" in self.seen.runs:
                self._hush(child, path, half)


def _name(block: nn.Module, paths: Sequence[str]) -> str:
    """First part of the path of what has most of the weights."""
    sizes: dict[str, int] = {}
    for path in paths:
        top = path.partition(".")[0]
        weights = [one for one in block.get_submodule(path).parameters() if one.ndim > 1]
        count = sum(weight.numel() for weight in weights)
        sizes[top] = sizes.get(top, 0) + count
    return max(sizes, key=sizes.__getitem__)


__all__ = ["Cut", "Hush", "cut_of"]
