"""Which finished cells of a study can be compared with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from dfs_hw.baselines.records import Run
from dfs_hw.studies.cells import Cell
from dfs_hw.studies.definition import StudyDefinition
from dfs_hw.studies.priced import PricedStudy

Done = Mapping[tuple[str, int], list[Run]]
"""What was measured of cells on a machine, by contender and seed."""


def measured_cells(
    definition: StudyDefinition, place: PricedStudy, cells: Iterable[Cell]
) -> dict[tuple[str, int], list[Run]]:
    """What was measured on a machine of all cells that are finished there, by contender and seed,
    be it by older costs.

    Raises:
        InputError: if a file is damaged.
    """
    return {
        (one.contender.name, one.seed): runs
        for one in cells
        if (runs := one.measured(definition, place, costs=False)) is not None
    }


@dataclass(frozen=True)
class Together:
    """Contenders that are finished in the same seeds, so that they can be compared."""

    seeds: tuple[int, ...] = ()
    names: frozenset[str] = frozenset()
    """Names of all contenders that are finished in these seeds."""

    @property
    def cells(self) -> int:
        """How many cells they are."""
        return len(self.seeds) * len(self.names)


def comparisons(done: Iterable[tuple[str, int]]) -> tuple[Together, ...]:
    """The comparisons that finished cells allow and a page shows: first that of most cells; behind
    it that of most contenders, where fewer seeds have more of them.

    Args:
        done: contender and seed of each cell.
    """
    names: dict[int, set[str]] = {}
    for name, seed in done:
        names.setdefault(seed, set()).add(name)
    possible = [
        Together(seeds, frozenset(set.intersection(*(names[seed] for seed in seeds))))
        for number in range(1, len(names) + 1)
        for seeds in combinations(sorted(names), number)
    ]
    first = max(possible, key=lambda one: one.cells, default=Together())
    widest = max(possible, key=lambda one: (len(one.names), len(one.seeds)), default=first)
    return (first, widest) if len(widest.names) > len(first.names) else (first,)


def in_seeds(done: Iterable[tuple[str, int]], seeds: Iterable[int]) -> Together:
    """The comparison of all that is finished in all of some seeds.

    Args:
        done: contender and seed of each cell.
    """
    cells, wanted = set(done), tuple(sorted(set(seeds)))
    names = {name for name, _ in cells}
    everywhere = {name for name in names if all((name, seed) in cells for seed in wanted)}
    return Together(wanted, frozenset(everywhere))


__all__ = ["Done", "Together", "comparisons", "in_seeds", "measured_cells"]
