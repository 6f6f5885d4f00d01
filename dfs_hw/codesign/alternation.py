"""Machine and gates chosen for each other: alternately, under one floor on accuracy.

A network with a knob does less at a higher price of cost; a machine may reward it or not. Another
price changes what later gates see, so its decisions are recorded anew by inference, for every
network, price and machine, and kept under the price and the key of the machine's cost table.
Everything is decided on validation inputs; what is reported was recorded on test inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.errors import DfsHwError, InfeasibleError, InputError
from accel_models.exploration import Exploration, Settings, Space, explore, read_space
from accel_models.exploration.adaptive import check_sampler
from accel_models.exploration.evaluate import Evaluator
from accel_models.exploration.finished_search import SWEEP, checked_settings
from accel_models.exploration.machine_toml import machine_toml
from accel_models.exploration.results import keeps
from accel_models.exploration.sweep import check_sweep
from accel_models.exploration.workloads import demands_of_traces
from accel_models.files import whole_file
from accel_models.metrics import METRICS
from accel_models.owned_folder import owned_folder
from accel_models.trace import GateTrace
from dfs_hw.codesign.knob_traces import Network, Recorder
from dfs_hw.provenance import provenance, write_json

RESULTS = ("codesign.json", "chosen.toml")
PRICES = tuple(round(0.1 * step, 1) for step in range(11))
ROUNDS = 8
"""Times that a machine is chosen and gates are retuned, at most; fewer if neither changes."""


@dataclass(frozen=True)
class DesignPoint:
    """A machine, and the price of cost of each network on it."""

    machine: Accelerator
    configuration: Mapping[str, Any]
    """Values of the machine by dimension of the space; empty for the space's base."""
    prices: Mapping[str, float]
    """Prices of cost, 0 to 1, by network."""
    cost: float
    """Value of the objective on validation inputs; the less, the better."""
    kept: bool
    """Whether it keeps to the space's constraints on validation inputs."""

    def is_better_than(self, other: DesignPoint) -> bool:
        """Whether it costs less; one that keeps to the constraints is better than one that does
        not, as the base machine may not."""
        return (not self.kept, self.cost) < (not other.kept, other.cost)


@dataclass(frozen=True)
class Report:
    """A design on test inputs."""

    name: str
    """Name in the outcome: start, machine alone, knob alone or both."""
    machine: str
    """Name of the machine."""
    configuration: Mapping[str, Any]
    """Values of the machine by dimension of the space; empty for the space's base."""
    prices: Mapping[str, float]
    """Prices of cost, 0 to 1, by network."""
    cost: float
    """Value of the objective on test inputs."""
    accuracies: Mapping[str, float]
    """Share of the test inputs classified right, 0 to 1, by network."""
    gain_percent: float
    """Percentage by which it costs less than what one started from."""
    kept: bool
    """Whether it keeps to the space's constraints, on validation inputs."""


@dataclass(frozen=True)
class Codesign:
    """Outcome of a co-design: the start, machine and knobs each alone, and both."""

    objective: str
    """Name of what was to be least."""
    floor: float
    """Accuracy on validation inputs, 0 to 1, that every network keeps."""
    start: Report
    machine_alone: Report
    knob_alone: Report
    both: Report
    gain_over_alone_percent: float
    """Percentage by which both cost less than the better of each alone, of those that keep to the
    constraints."""
    rounds: tuple[dict[str, Any], ...]
    """Designs that were chosen, in order, from either side: machine, prices and cost."""


@dataclass
class Search:
    """The two moves, choosing a machine and tuning the knobs, and what they share."""

    space: Space
    networks: Sequence[Network]
    floor: float
    out: Path
    settings: Settings
    prices: Sequence[float]
    progress: bool = False
    rounds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def objective(self) -> str:
        """Name of what is to be least."""
        return self.space.objectives[0]

    @property
    def recorder(self) -> Recorder:
        """Keeper of the traces that were recorded."""
        return Recorder(self.out / "traces")

    def traces(
        self, prices: Mapping[str, float], machine: Accelerator, split: str
    ) -> dict[str, GateTrace]:
        """Decisions of every network for the inputs of a split, by name."""
        return {
            network.name: self.recorder.trace(network, prices[network.name], machine, split)
            for network in self.networks
        }

    def outcome(
        self,
        traces: Mapping[str, GateTrace],
        machine: Accelerator,
        configuration: Mapping[str, Any],
    ) -> tuple[float, bool]:
        """The objective on one machine, and whether the machine keeps to the constraints.

        Raises:
            InfeasibleError: if it cannot run the traces.
        """
        base = {machine.name: machine}
        space = self.space if configuration else replace(self.space, bases=base, dimensions=())
        (outcome,) = Evaluator(space, demands_of_traces(traces))([configuration])
        value = outcome.metrics[METRICS[self.objective].column]
        if value is None:
            raise InfeasibleError(outcome.infeasible or f"{machine.name} has no {self.objective}")
        return value, keeps(space, outcome)

    def start(self) -> DesignPoint:
        """The base machine, every network at the price it was trained to, or at the first other
        one that keeps to the floor: lower ones from there down, then higher ones."""
        machine = next(iter(self.space.bases.values()))
        prices = {}
        for network in self.networks:
            own = network.price
            tried = [own, *sorted((p for p in self.prices if p < own), reverse=True)]
            tried += sorted(p for p in self.prices if p > own)
            prices[network.name] = self._first_good(network, machine, tried)
        return self.design(machine, {}, prices)

    def choose_machine(self, design: DesignPoint) -> DesignPoint:
        """The best machine for the gates as they are set."""
        traces = self.traces(design.prices, design.machine, "validation")
        mark = "-".join(f"{price:.12g}" for price in design.prices.values())
        found: Exploration = explore(
            self.space,
            traces,
            out=self.out / f"machines-at-{mark}",
            progress=self.progress,
            **asdict(self.settings),
        )
        place = found.trials.chosen
        machine = found.machine(place)
        assert place is not None  # `machine` has seen to it
        return self.better(design, machine, found.trials.configuration(place), design.prices)

    def tune(self, design: DesignPoint) -> DesignPoint:
        """The prices at which the networks cost least on the machine as it is."""
        prices = {network.name: self._cheapest(network, design) for network in self.networks}
        return self.better(design, design.machine, design.configuration, prices)

    def better(
        self,
        design: DesignPoint,
        machine: Accelerator,
        configuration: Mapping[str, Any],
        prices: Mapping[str, float],
    ) -> DesignPoint:
        """The changed design, or the one there was if that is no better."""
        changed = self.design(machine, configuration, prices)
        kept = changed if changed.is_better_than(design) else design
        self.rounds.append(
            {"machine": dict(kept.configuration), "prices": dict(kept.prices), "cost": kept.cost}
        )
        return kept

    def design(
        self, machine: Accelerator, configuration: Mapping[str, Any], prices: Mapping[str, float]
    ) -> DesignPoint:
        """A machine and prices, with what they come to on validation inputs."""
        traces = self.traces(prices, machine, "validation")
        return DesignPoint(
            machine, configuration, prices, *self.outcome(traces, machine, configuration)
        )

    def settled(
        self, design: DesignPoint, moves: Sequence[Callable[[DesignPoint], DesignPoint]]
    ) -> DesignPoint:
        """Moves in turn until none changes anything."""
        for number in range(ROUNDS * len(moves)):
            moved = moves[number % len(moves)](design)
            if moved is design and number:
                return design
            design = moved
        return design

    def _first_good(self, network: Network, machine: Accelerator, prices: Sequence[float]) -> float:
        best = 0.0
        for price in prices:
            accuracy = self.recorder.trace(network, price, machine, "validation").accuracy
            if accuracy >= self.floor:
                return price
            best = max(best, accuracy)
        raise self._below(network, best)

    def _cheapest(self, network: Network, design: DesignPoint) -> float:
        """The price at which one network by itself does best on a machine."""
        traces = {
            price: self.recorder.trace(network, price, design.machine, "validation")
            for price in sorted({*self.prices, network.price})
        }
        good = {p: t for p, t in traces.items() if t.accuracy >= self.floor}
        if not good:
            raise self._below(network, max(trace.accuracy for trace in traces.values()))

        def worth(price: float) -> tuple[bool, float, float]:
            alone = {network.name: good[price]}
            cost, kept = self.outcome(alone, design.machine, design.configuration)
            return not kept, cost, price

        return min(good, key=worth)

    def _below(self, network: Network, best: float) -> DfsHwError:
        return InfeasibleError(
            f"no price keeps '{network.name}' at an accuracy of {self.floor:.1%}: "
            f"the best on validation inputs is {best:.1%}"
        )


def codesign(
    space: str | Path | Space,
    checkpoints: Sequence[str | Path],
    *,
    floor: float,
    out: str | Path,
    prices: Sequence[float] = PRICES,
    progress: bool = False,
    overwrite: bool = False,
    **settings: Any,
) -> Codesign:
    """Choose machine and knobs for each other, from either side, and keep the better outcome.

    Interrupted and called again, it goes on from recorded traces and finished trials. One call at a
    time has the folder.

    Args:
        space: machines to choose from, with one objective; workloads that it names are left out.
        checkpoints: networks with a knob.
        floor: accuracy on validation inputs that every network keeps.
        out: folder for traces, studies and the outcome.
        prices: of cost, 0 to 1, to choose from; each network's own is tried as well.
        overwrite: take a folder that a call with other settings left; traces recorded in it are
            used where they fit.
        settings: as of `accel_models.exploration.explore`.

    Raises:
        InputError: if anything cannot be used as given, another call works in the folder, or one
            with other settings did; before any work is done.
        InfeasibleError: if no price keeps to the floor, or no machine to the constraints.
    """
    chosen = space if isinstance(space, Space) else read_space(space)[0]
    if len(chosen.objectives) != 1:
        number = "several" if chosen.objectives else "none"
        raise InputError(f"co-design wants one objective, '{chosen.name}' has {number}")
    if not 0 < floor < 1:
        raise InputError(f"the floor on accuracy lies between 0 and 1, got {floor}")
    if not prices or not all(0 <= price <= 1 for price in prices):
        raise InputError(f"prices of cost lie between 0 and 1, got {', '.join(map(str, prices))}")
    if not checkpoints:
        raise InputError("co-design wants a network with a knob")
    wanted = checked_settings(settings)
    if wanted.sampler == SWEEP:
        check_sweep(chosen)
    else:
        check_sampler(chosen, wanted.sampler)
    networks = [Network.load(Path(path), name) for path, name in _named(checkpoints)]
    search = Search(chosen, networks, floor, Path(out), wanted, prices, progress)
    with owned_folder(out, _identity(search), RESULTS, overwrite=overwrite) as folder:
        outcome = _alternate(search)
        with whole_file(folder / "chosen.toml") as partial:
            partial.write_text(machine_toml(_final(search, outcome)), encoding="utf-8")
        write_json(folder / "codesign.json", {**asdict(outcome), **provenance()})
    return outcome


def _identity(search: Search) -> dict[str, Any]:
    """What makes two calls parts of one co-design, as plain data for JSON."""
    settings, space = search.settings, json.dumps(search.space.identity, sort_keys=True)
    drawn = {} if settings.sampler == SWEEP else {"seed": settings.seed, "batch": settings.batch}
    return {
        "space": hashlib.sha256(space.encode()).hexdigest()[:16],
        "networks": {network.name: network.digest for network in search.networks},
        "floor": search.floor,
        "prices": list(search.prices),
        "sampler": settings.sampler,
        **drawn,
    }


def _alternate(search: Search) -> Codesign:
    start = search.start()
    machine_alone, knob_alone = search.choose_machine(start), search.tune(start)
    moves = [search.tune, search.choose_machine]
    from_machine = search.settled(machine_alone, moves)
    from_knob = search.settled(knob_alone, moves[::-1])
    both = from_knob if from_knob.is_better_than(from_machine) else from_machine
    first = _report(search, "start", start, None)
    alone = [
        _report(search, name, design, first.cost)
        for name, design in (("machine alone", machine_alone), ("knob alone", knob_alone))
    ]
    together = _report(search, "both", both, first.cost)
    least = min(report.cost for report in [r for r in alone if r.kept] or alone)
    return Codesign(
        search.objective,
        search.floor,
        first,
        alone[0],
        alone[1],
        together,
        100 * (1 - together.cost / least),
        tuple(search.rounds),
    )


def _report(search: Search, name: str, design: DesignPoint, start: float | None) -> Report:
    traces = search.traces(design.prices, design.machine, "test")
    cost, _ = search.outcome(traces, design.machine, design.configuration)
    return Report(
        name,
        design.machine.name,
        dict(design.configuration),
        dict(design.prices),
        cost,
        {network: trace.accuracy for network, trace in traces.items()},
        0.0 if start is None else 100 * (1 - cost / start),
        design.kept,
    )


def _final(search: Search, outcome: Codesign) -> Accelerator:
    base = next(iter(search.space.bases.values()))
    if not outcome.both.configuration:
        return base
    machine = search.space.machine(outcome.both.configuration)
    return machine.model_copy(update={"name": f"{search.space.name}-codesign", "departures": None})


def _named(checkpoints: Sequence[str | Path]) -> list[tuple[Path, str]]:
    """Checkpoints by the name of their folder, which tells runs apart."""
    paths = [Path(path) for path in checkpoints]
    names = [path.parent.name or path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names, start=1)]
    return list(zip(paths, names, strict=True))
