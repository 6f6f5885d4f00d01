"""A block that two units decide about, one after the other.

Each half runs by the block's own forward, whatever that is, while what belongs to the other half is
silent: it returns zeros to be added, or its input where a norm follows a residual sum. So a half
costs what its own layers cost, and a half that is skipped passes its input on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from dfs_hw.networks.arguments import Arguments
from dfs_hw.networks.branches import Conductor, GatedUnit, Passage, StandIn
from dfs_hw.networks.observed import ModuleRun
from dfs_hw.networks.trunk import Cut, Hush
from dfs_hw.quantize.layers import QuantizedLinear


class Silence:
    """Which half of a block is silent at the moment."""

    def __init__(self) -> None:
        self.half: int | None = None


class Half(nn.Module):
    """One half of a block, as a block of its own. Its layers are registered with the block alone,
    under the names that they have there.

    Args:
        block: whose other half is silent while this one runs.
        silence: of the block.
        number: of this half, 0 or 1.
        name: of the part of the block that it is called after, whose attributes it has.
    """

    def __init__(self, block: nn.Module, silence: Silence, number: int, name: str = "") -> None:
        super().__init__()
        self._whole, self._called_after = (block,), (getattr(block, name, None),)
        self.silence, self.number = silence, number

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__.get("_called_after", (None,))[0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.silence.half = 1 - self.number
        try:
            return self._whole[0](*args, **kwargs)
        finally:
            self.silence.half = None


class SplitBlock(StandIn):
    """A block in two units.

    Args:
        block: the block itself.
        units: by name, in order.
        conductor: of the units.
        tops: paths inside the block of the modules of each unit, not those inside them.
        passage: of both units.
    """

    def __init__(
        self,
        block: nn.Module,
        units: dict[str, GatedUnit],
        conductor: Conductor,
        tops: Sequence[Sequence[str]],
        passage: Passage,
    ) -> None:
        super().__init__()
        self.block, self.conductor, self.passage = block, conductor, passage
        self.tops = tops
        self.unit_names = tuple(units)
        self._modules.update(units)  # whose names are those of parts of the block

    def half_of(self, inside: str, before: Sequence[int]) -> int:
        """Number of the unit that a function belongs to.

        Args:
            inside: path inside the block of the module that calls it.
            before: units whose results it reads.
        """
        for half, tops in enumerate(self.tops):
            if any(f"{inside}.".startswith(f"{top}.") for top in tops):
                return half
        return max(before, default=0)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        units: list[GatedUnit] = [self.get_submodule(name) for name in self.unit_names]  # type: ignore[misc]
        if self.conductor.whole:
            for unit in units:
                unit.dial.index = unit.highest
            return self.block(*args, **kwargs)
        made, (_, beside) = None, Arguments.taken_apart(args, kwargs, self.passage.place)
        for unit in units:
            made = unit(*args, **kwargs)
            places = self.passage.places
            args, kwargs = beside.around(made if places is None else made[places.index(True)])
        return made


class _Hushed:
    """A module's forward, unless its half is silent. No closure: a copy has a module of its own."""

    def __init__(self, module: nn.Module, hush: Hush, silence: Silence, run: ModuleRun) -> None:
        self.forward: Callable[..., Any] = module.forward
        self.module, self.hush, self.silence, self.places = module, hush, silence, run.places

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.silence.half != self.hush.half:
            return self.forward(*args, **kwargs)
        name = self.hush.argument
        x: Tensor = args[name] if isinstance(name, int) else kwargs[name]
        made = x if self.hush.passes else x.new_zeros(()).expand(_shape(self.module, x))
        if self.places is None:
            return made
        return tuple(made if here else None for here in self.places)


def _shape(module: nn.Module, x: Tensor) -> Sequence[int]:
    """Shape of what a module makes of a tensor, without a look at its contents."""
    if isinstance(module, nn.Linear | QuantizedLinear):
        return (*x.shape[:-1], len(module.weight))
    return x.shape


def hush(block: nn.Module, path: str, cut: Cut, runs: dict[str, ModuleRun]) -> Silence:
    """Have the modules of a block fall silent, half by half, as the result says when.

    Args:
        block: its layers as they are to stay.
        path: of the block.
        cut: how it falls into halves.
        runs: of all modules, see `Survey`.
    """
    silence = Silence()
    for one in cut.hushed:
        module = block.get_submodule(one.path)
        run = runs[f"{path}.{one.path}"]
        module.forward = _Hushed(module, one, silence, run)
    return silence


__all__ = ["Half", "Silence", "SplitBlock", "hush"]
