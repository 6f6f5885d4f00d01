"""Where a network is cut, and what the pieces are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from accel_models.errors import InputError
from accel_models.precision import Precision, highest
from dfs_hw.bundle.manifest import BundledUnit
from dfs_hw.bundle.marked import END, START, before, belief, branch, memory, scores
from dfs_hw.bundle.pieces import GraphPart, MarkedGraph
from dfs_hw.networks.dynamic import DynamicNetwork

GIVEN, MADE = "x", "y"
"""Names of what goes into a piece of the network and of what comes out."""
MEMORY, NEXT = "memory", "next_"
"""Names of what a gate remembers, numbered, and what stands before those of what it leaves."""


class Cutting:
    """Cuts a network that was exported as one graph.

    Args:
        network: as it was exported.
        graph: all of it, with marks.
        asks: names of what its gate asks for.
    """

    def __init__(self, network: DynamicNetwork, graph: MarkedGraph, asks: Iterable[str]) -> None:
        self.network, self.graph = network, graph
        self.asks = {name: name for name in asks}
        self.contents: dict[str, bytes] = {}
        """Files so far, by name."""

    def units(self) -> tuple[BundledUnit, ...]:
        """Files of all units."""
        return tuple(map(self._unit, range(len(self.network.units))))

    def after(self) -> str | None:
        """The file of what lies behind the last unit."""
        behind = self._out_of(len(self.network.units) - 1)
        return self._file("after", {MADE: END}, {behind: GIVEN}, "what it puts out")

    def _unit(self, unit: int) -> BundledUnit:
        name, choices = self.network.units[unit], self.network.choices
        folder, read = f"unit{unit}", f"what unit '{name}' reads"
        origin = self._out_of(unit - 1) if unit else START
        lead = self._file(f"{folder}/before", {MADE: before(unit)}, {origin: GIVEN}, read)
        here = {before(unit): GIVEN}
        exit = None
        if belief(unit) in self.graph:
            exit = self._file(f"{folder}/exit", {"belief": belief(unit)}, here, f"exit '{name}'")
        branches = {
            str(choice): self._file(
                f"{folder}/{_file_name(choice)}",
                {MADE: branch(unit, index)},
                here,
                f"what unit '{name}' puts out at {choice}",
            )
            for index, choice in enumerate(choices)
            if branch(unit, index) in self.graph
        }
        gate = self._gate(unit)
        return BundledUnit(name, self.graph.shape(before(unit)), lead, exit, gate, branches)

    def _gate(self, unit: int) -> str:
        ends = {"scores": scores(unit)}
        begins = {before(unit): GIVEN, belief(unit): "belief", **self.asks}
        part = 0
        while memory(unit, part) in self.graph:
            begins[memory(unit - 1, part)] = f"{MEMORY}{part}"
            if unit < len(self.network.units) - 1:
                ends[f"{NEXT}{MEMORY}{part}"] = memory(unit, part)
            part += 1
        what = f"the gate's decision about unit '{self.network.units[unit]}'"
        file = self._file(f"unit{unit}/gate", ends, begins, what)
        assert file is not None  # scores are never what a gate is given
        return file

    def _out_of(self, unit: int) -> str:
        """Mark behind the branch of a unit that the pass has gone on with."""
        return branch(unit, self.network.choices.index(highest(self.network.choices)))

    def _file(
        self, name: str, ends: Mapping[str, str], begins: Mapping[str, str], what: str
    ) -> str | None:
        """Name of the file of a piece; None if that hands its input on as it is.

        Raises:
            InputError: if it reads something else than it may.
        """
        part = GraphPart(ends, begins)
        for stray in self.graph.strays(part):
            raise InputError(
                f"{self.network.name} cannot be cut into files: {what} is made of "
                f"{self._described(stray)}, too, where a file has what the unit before puts out "
                "and nothing else"
            )
        model = self.graph.model_of(part)
        if model is None:
            return None
        file = f"{name}.onnx"
        self.contents[file] = model.SerializeToString(deterministic=True)
        return file

    def _described(self, place: str) -> str:
        if place == START:
            return "the network's input"
        unit, _, what = place.partition("/")
        name = self.network.units[int(unit)]
        return f"what unit '{name}' {'reads' if what == 'before' else 'puts out'}"


def _file_name(choice: Precision) -> str:
    return str(choice).replace("/", "-")


__all__ = ["Cutting"]
