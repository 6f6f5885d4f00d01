"""What a forward pass tells of a model, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

from dfs_hw.networks.arguments import Arguments, Place
from dfs_hw.networks.flow import FunctionCall
from dfs_hw.quantize.activation_products import Signs

MULTIPLIES = (nn.Conv2d, nn.Linear)


class Handed(NamedTuple):
    """A tensor that a module was called with, or returned."""

    maker: int | None
    """Number of the call that made it, see `Flow`; None if it does not depend on the input."""
    shape: tuple[int, ...]
    """Shape with the batch."""


@dataclass(frozen=True)
class ModuleRun:
    """How a module was called the last time, and what it returned."""

    given: Mapping[int | str, Handed]
    """Tensors among its arguments, by position or name."""
    beside: Arguments | None
    """All arguments but the tensor that it is decided by, were it a block; None if there is no such
    tensor."""
    made: Handed | None
    """What it returned, if that was one tensor and otherwise None."""
    places: tuple[bool, ...] | None = None
    """Which part of the tuple that it returned the tensor is; None if it was returned by itself."""

    @property
    def place(self) -> Place:
        """Where the tensor stands that it is decided by, were it a block."""
        assert self.beside is not None
        return self.beside.place

    @property
    def read(self) -> Handed | None:
        """Tensor that it is decided by, were it a block; None if it is several maps."""
        return None if self.beside is None else self.given.get(self.place.at)


@dataclass(frozen=True)
class ObservedModule:
    """One module as it ran, and made one tensor. Shapes are without the batch; of several maps side
    by side, channels are counted together."""

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    signed: bool
    """Whether the input was negative anywhere."""
    puts_out_signed: bool
    reads_image: bool
    """Whether no layer came before."""
    last_leaf: str | None = None
    """Path inside a block of the parameterless module that made its output, if one did."""
    beside: frozenset[str] = frozenset()
    """Paths inside a block of the modules that read the block's own input."""
    keeps: bool = False
    """Whether its first channels are those of its input, as where layers are concatenated."""


@dataclass
class Survey:
    """All that a forward pass told of a model; paths in the order of execution."""

    modules: dict[str, ObservedModule] = field(default_factory=dict)
    """Modules that map one tensor to another."""
    blocks: list[str] = field(default_factory=list)
    """Modules with children that map [N, ...], or several such maps, to such a shape."""
    runs: dict[str, ModuleRun] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """How often a module ran."""
    problems: dict[str, str] = field(default_factory=dict)
    """What a module does that cannot be quantised and priced."""
    no_block: dict[str, str] = field(default_factory=dict)
    """Why a module that ran cannot be decided about as a whole."""
    products: dict[str, list[Signs]] = field(default_factory=dict)
    """Modules that multiply activations themselves, and the products of each."""
    calls: Sequence[FunctionCall] = ()
    """Functions that were called, by the numbers that `Handed` has."""


__all__ = ["MULTIPLIES", "Handed", "ModuleRun", "ObservedModule", "Survey"]
