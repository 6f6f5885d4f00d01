"""What feeds what: tensors followed through a model's own forward, whatever functions it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import networkx as nx
from torch import Tensor
from torch.overrides import TorchFunctionMode

IMAGE = ""
"""Stands for the layer that made the network's input; no layer has this name."""

SUMS = frozenset({"add", "add_", "sub", "sub_", "rsub"})
_CONSTANT = ("_like", "new_")
_READS_SHAPE_OF_SECOND = ("_as", "to")


class Flow(TorchFunctionMode):
    """Follows tensors from layer to layer while it is entered.

    Every tensor carries the name of the layer that made it, and so does all that is computed from
    it, until it enters the next layer. Where outputs of two layers are added, the sum counts as the
    output of one of them, to which the other is added, as `Workload` has it: there a layer reads
    what the last of its producers made, so the order of layers may have to be another one than the
    model's own. `ordered` gives it.

    Args:
        refuse: called with a sentence where tensors meet in a way that cannot be priced.
    """

    def __init__(self, refuse: Callable[[str], None]) -> None:
        super().__init__()
        self.refuse = refuse
        self.layers: list[str] = []
        self.edges: list[tuple[str, str]] = []
        """Producer and consumer; of the edges to a layer the first is the tensor it multiplies."""
        self._reads: dict[str, str] = {}
        self._before = nx.DiGraph()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        results = list(tensors(args[0] if name == "__setitem__" else out))
        operands = [x for x in tensors((args, kwargs)) if maker(x) is not None]
        if name.endswith(_READS_SHAPE_OF_SECOND):
            operands = operands[:1]
        if not results or not operands or any(part in name for part in _CONSTANT):
            return out
        made_by = self._meet(name, operands, results[0])
        for x in results:
            mark(x, made_by)
        return out

    def layer(self, name: str, x: Tensor, output: Tensor) -> None:
        """Note that a layer read `x` and made `output`."""
        reads = maker(x)
        self.add(name, IMAGE if reads is None else reads)
        mark(output, name)

    def add(self, name: str, *producers: str) -> None:
        """Note a layer and what it reads: first what it multiplies."""
        self.layers.append(name)
        self._reads[name] = producers[0]
        for producer in producers:
            self._before.add_edge(producer, name)
            if producer != IMAGE:
                self.edges.append((producer, name))

    def ordered(self) -> list[str]:
        """The layers in an order in which each follows all that it reads, and what it multiplies
        is the last of that; as near to the model's own as possible."""
        position = {name: number for number, name in enumerate([IMAGE, *self.layers])}
        order = nx.lexicographical_topological_sort(self._before, key=position.__getitem__)
        return [name for name in order if name != IMAGE]

    def _meet(self, function: str, operands: list[Tensor], result: Tensor) -> str:
        makers = list(dict.fromkeys(str(maker(x)) for x in operands))
        if len(makers) == 1:
            return makers[0]
        if function not in SUMS:
            self.refuse(f"'{function}' joins what different layers made: only sums can be priced")
        elif any(x.shape != result.shape for x in operands):
            self.refuse("it adds tensors of different shapes, which cannot be priced")
        else:
            return self._sum(makers)
        return makers[-1]

    def _sum(self, makers: list[str]) -> str:
        """Choose to whose output the others are added."""
        place = self.layers.index
        latest = sorted(
            (name for name in makers if name != IMAGE),
            key=lambda name: -1 if self._reads[name] == IMAGE else place(self._reads[name]),
        )
        for name in reversed(latest):
            others, reads = [other for other in makers if other != name], self._reads[name]
            if not any(nx.has_path(self._before, reads, other) for other in others):
                for other in others:
                    self.edges.append((other, name))
                    self._before.add_edge(other, name)
                    self._before.add_edge(other, reads)
                return name
        self.refuse(
            "it adds a layer's output to the tensor that this layer reads, or to what another "
            "layer makes of that tensor: a workload cannot say so"
        )
        return latest[-1]


def maker(x: Tensor) -> str | None:
    """Name of the layer that made a tensor, `IMAGE`, or None if nothing is known of it."""
    return getattr(x, "_made_by", None)


def mark(x: Tensor, name: str) -> None:
    """Say which layer made a tensor."""
    setattr(x, "_made_by", name)  # noqa: B010 (tensors take attributes, their type does not say so)


def tensors(value: Any) -> Iterable[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)


__all__ = ["IMAGE", "SUMS", "Flow", "maker", "mark", "tensors"]
