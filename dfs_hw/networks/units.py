"""Decision units made of the blocks of a model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from accel_models.precision import Precision
from dfs_hw.networks.branches import Conductor, GatedUnit, Passage, executed
from dfs_hw.networks.convert import Converter, replace_everywhere
from dfs_hw.networks.design import Design
from dfs_hw.networks.halves import Half, SplitBlock, hush
from dfs_hw.networks.observed import ObservedModule, Survey
from dfs_hw.networks.survey import with_random_weights
from dfs_hw.networks.trunk import Cut, cut_of
from dfs_hw.quantize.layers import Dial, Latch

SHORTCUTS = ("shortcut", "downsample", "proj")
"""What a block calls the submodule that changes the shape of its input to that of its output."""

RECTIFIER = "skip_activation"
"""Added to a block that ends in a ReLU by function call, and whose skip path can be negative."""


class UnitMaker:
    """Puts units in place of the blocks of a model, one after the other.

    Args:
        model: as it was surveyed; changed in place.
        seen: what it does.
        converter: of its layers.
        choices: of every unit.
        design: of the network.
    """

    def __init__(
        self,
        model: nn.Module,
        seen: Survey,
        converter: Converter,
        choices: tuple[Precision, ...],
        design: Design,
    ) -> None:
        self.model, self.seen, self.converter = model, seen, converter
        self.choices, self.design = choices, design
        self.conductor = Conductor()
        self.skips = any(choice.is_skip for choice in choices)
        self.channels: list[int] = []
        """Channels of what each unit reads."""
        self.sizes: list[tuple[int, int]] = []
        """Height and width of it; tokens are a column."""
        self.signed = False
        """Whether what a unit reads can be negative."""
        self._proved: dict[tuple[type[nn.Module], Cut], bool] = {}

    def units(self, path: str) -> list[GatedUnit]:
        """Units of the block at a path: one, or one for each half of it."""
        block, facts = self.model.get_submodule(path), self.seen.modules[path]
        self.signed |= facts.signed
        run, last = self.seen.runs[path], _channels_last(block, facts)
        channels = facts.in_shape[-1 if last else 0]
        size = _size(facts.in_shape[:-1] if last else facts.in_shape[1:])
        cut = self._cut(path, block, facts)
        if cut is not None:
            self.channels += [channels, channels]
            self.sizes += [size, size]
            passage = Passage(() if self.skips else None, 0, last, run.places, run.place)
            return self._halves(path, block, cut, passage)
        self.channels.append(channels)
        self.sizes.append(size)
        skip = _skip_path(path, block, self.seen, self.design) if self.skips else None
        more = _appended(facts, run.place.joined) if self.skips and skip is None else 0
        if more:
            skip = ()
        dial = Dial()
        self.converter.convert(block, executed(self.choices), dial)
        passage = Passage(skip, more, last, run.places, run.place)
        unit = GatedUnit(path, block, self.choices, dial, self.conductor, passage)
        replace_everywhere(self.model, block, unit)
        return [unit]

    def _halves(self, path: str, block: nn.Module, cut: Cut, passage: Passage) -> list[GatedUnit]:
        latch = Latch()
        dials = (Dial(latch=latch), Dial(latch=latch))
        tops = [[block.get_submodule(name) for name in half] for half in cut.halves]
        for number in sorted((0, 1), key=lambda half: half != cut.own_products):
            outside = tops[1 - number]
            self.converter.convert(block, executed(self.choices), dials[number], outside)
        silence = hush(block, path, cut, self.seen.runs)
        units = {}
        for number, (name, dial) in enumerate(zip(cut.names, dials, strict=True)):
            half = Half(block, silence, number, name)
            units[name] = GatedUnit(
                f"{path}.{name}", half, self.choices, dial, self.conductor, passage
            )
        split = SplitBlock(block, units, self.conductor, cut.halves, passage)
        replace_everywhere(self.model, block, split)
        return list(units.values())

    def _cut(self, path: str, block: nn.Module, facts: ObservedModule) -> Cut | None:
        """Halves of a block, if they are sure to make what the block does."""
        if facts.in_shape != facts.out_shape or not (facts.signed and facts.puts_out_signed):
            return None
        cut = cut_of(path, block, self.seen)
        if cut is None:
            return None
        if (type(block), cut) not in self._proved:
            proved = _halves_make_the_whole(path, block, cut, self.seen)
            self._proved[type(block), cut] = proved
        return cut if self._proved[type(block), cut] else None


@torch.no_grad()
def _halves_make_the_whole(path: str, block: nn.Module, cut: Cut, seen: Survey) -> bool:
    """Whether one half after the other makes what a block does, with random weights: some that
    blocks start with are zero."""
    block = with_random_weights(block).eval()
    run, places = seen.runs[path], seen.runs[path].places
    first = next(block.parameters())
    generator = torch.Generator().manual_seed(0)
    handed, beside = run.read, run.beside
    assert handed is not None
    assert beside is not None
    x = torch.randn(handed.shape, generator=generator).to(first.device)

    def made(module: nn.Module, x: Tensor) -> Tensor:
        args, kwargs = beside.around(x)
        out = module(*args, **kwargs)
        found: Tensor = out if places is None else out[places.index(True)]
        return found

    wanted = made(block, x)
    silence = hush(block, path, cut, seen.runs)
    found = x
    for number in (0, 1):
        found = made(Half(block, silence, number), found)
    return torch.allclose(found, wanted, 1e-4, 1e-5 * float(wanted.abs().max()))


def _size(places: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a map; of tokens, their number and 1."""
    height, *width = places
    return (height, width[0] if width else 1)


def _channels_last(block: nn.Module, facts: ObservedModule) -> bool:
    """Whether channels are the last dimension of what a block reads: tokens, or a map whose first
    reader works along its last dimension."""
    if len(facts.in_shape) != 3:  # without the batch
        return True
    readers = [block.get_submodule(name) for name in facts.beside]
    return any(isinstance(one, nn.Linear | nn.LayerNorm) for one in readers)


def _skip_path(path: str, block: nn.Module, seen: Survey, design: Design) -> tuple[str, ...] | None:
    """What a skipped block still runs: nothing, or its shortcut; and the activation it ends in,
    where a sign could get past it that the next layers have never seen."""
    facts = seen.modules[path]
    if seen.runs[path].place.joined:
        return None
    for name in SHORTCUTS:
        shortcut = seen.modules.get(f"{path}.{name}")
        if shortcut and name in facts.beside and shortcut.out_shape == facts.out_shape:
            has_weights = any(True for _ in block.get_submodule(name).parameters())
            if has_weights or facts.in_shape != facts.out_shape:
                return (name, *_activation(block, facts, shortcut.puts_out_signed, design))
    if facts.in_shape != facts.out_shape:
        return None
    return _activation(block, facts, facts.signed, design)


def _appended(facts: ObservedModule, joined: bool) -> int:
    """Channels that a block puts behind those of its input: all of its own if that is a list of
    maps, to which its caller adds what it puts out. 0 if it does something else."""
    if joined:
        return facts.out_shape[0] if facts.in_shape[1:] == facts.out_shape[1:] else 0
    return facts.out_shape[0] - facts.in_shape[0] if facts.keeps else 0


def _activation(
    block: nn.Module, facts: ObservedModule, signed: bool, design: Design
) -> tuple[str, ...]:
    if facts.puts_out_signed or not signed or "free-shortcut" in design.faults:
        return ()
    if facts.last_leaf is None:
        block.add_module(RECTIFIER, nn.ReLU())
    return (facts.last_leaf or RECTIFIER,)


__all__ = ["RECTIFIER", "SHORTCUTS", "UnitMaker"]
