"""What a comparison found, and what tables say of it."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_hw.baselines.contenders import AT_BUDGET, Contender, LineUp
from dfs_hw.baselines.judgement.frontier import Frontier
from dfs_hw.baselines.judgement.robustness import DrawnCosts
from dfs_hw.baselines.judgement.sentences import lead, nominal, robust, sentence
from dfs_hw.baselines.judgement.verdicts import Saving, Verdict, verdicts
from dfs_hw.baselines.records import (
    AS_TRAINED,
    AT_PRICE,
    FROZEN,
    FROZEN_PAYING,
    SHUFFLED,
    WITHIN,
    Record,
    Run,
)
from dfs_hw.baselines.study import Study
from dfs_hw.baselines.tabulation import Rise, Row, Spread, contender_rows, rises
from dfs_hw.headroom import Headroom

VERDICT_HEADER = (
    "",
    "x budget",
    "spent, %",
    "accuracy, %",
    "points over the best static",
    "which is",
    "points over itself shuffled",
    "spared at equal accuracy, %",
    "against (points to it)",
    "earned its keep",
    "constants drawn",
)
"""Columns of the table of verdicts: accuracy at equal cost, and cost at equal accuracy."""
EARNED = {True: "yes", False: "no", None: "cannot be told"}
"""Words of a verdict."""
HEADER = (
    "",
    "accuracy, %",
    "energy, µJ",
    "BitOps, M",
    "latency, µs",
    "of the budget, %",
    "budget kept",
    "ρ",
    "vectors",
    "deciding",
)
"""Columns of the table, for people."""
CURVE_HEADER = ("price", "accuracy, %", "energy, µJ", "vectors", "deciding")
_INDENTED = {
    FROZEN: "frozen choices",
    FROZEN_PAYING: "frozen choices, gates paid",
    SHUFFLED: "shuffled decisions",
}


@dataclass(frozen=True)
class Findings:
    """All records of a study, and what follows from them."""

    study: Study
    line_up: LineUp
    records: tuple[Record, ...]
    rows: tuple[Row, ...]
    frontier: Frontier
    """Static networks, and which of them is best within what it costs."""
    verdicts: tuple[Verdict, ...]
    """Verdict on every contender that decides, at every budget that it was run within."""
    rises: tuple[Rise, ...]
    possible: Headroom | str
    """What any gate could win at the budget; or why that cannot be told."""
    drawn: DrawnCosts | None = None
    """What contenders would spend if the machine's constants were others; None if that is not
    known."""

    @classmethod
    def of(
        cls,
        study: Study,
        line_up: LineUp,
        runs: tuple[Run, ...],
        possible: Headroom | str,
        drawn: DrawnCosts | None = None,
    ) -> Findings:
        """Draw rows, verdicts and the knob's rises from all runs of a study.

        Args:
            drawn: what contenders would spend if the machine's constants were others.
        """
        records = tuple(run.record for run in runs)
        return cls(
            study,
            line_up,
            records,
            tuple(contender_rows(records)),
            Frontier.of(records, line_up.contenders),
            verdicts(runs, line_up, drawn),
            tuple(rises(records)),
            possible,
            drawn,
        )

    @property
    def best_static_network(self) -> Contender | None:
        """Static network that adaptive ones are held against at the study's budget."""
        step = self.frontier.best_within(AT_BUDGET)
        return None if step is None else step.contender

    @property
    def titles(self) -> dict[str, str]:
        """Names that tables show, by names of contenders."""
        return {one.name: one.title for one in self.line_up.contenders}

    def lead(self) -> str:
        """What it all comes to."""
        return lead(self.verdicts, self.titles)

    def verdict_table(self) -> list[tuple[str, ...]]:
        """Rows of text under `VERDICT_HEADER`: every contender that decides, at every budget."""
        return [self._of_verdict(verdict) for verdict in self.verdicts]

    def stairs(self) -> str:
        """The static networks that are best within what they cost, in a sentence."""
        steps = self.frontier.stairs()
        each = [f"{one.contender.title} ({one.share:.0%} of the budget)" for one in steps]
        return f"Static networks that are best within what they cost: {'; '.join(each) or 'none'}."

    def draws(self) -> str:
        """What the last column of the table of verdicts is; "" where nothing is known of draws."""
        if self.drawn is None:
            return ""
        return (
            f" Constants drawn from their ranges together, {self.drawn.draws} times: "
            f"{', '.join(self.drawn.constants)}.{nominal(self.drawn.not_drawn)} Points over the "
            "static network that is best within the budget at the draw, the least and the most, "
            "and in how many draws that have one it earns its keep or is above it."
        )

    def cascades(self) -> list[str]:
        """What the cascade is made of, budget by budget."""
        made = {
            one.target: " then ".join(map(self._short, one.made_of))
            for one in self.records
            if one.made_of
        }
        return [f"cascade at {target:g} x budget: {of}" for target, of in sorted(made.items())]

    def contender(self, name: str) -> Contender:
        """The contender of a name."""
        return next(one for one in self.line_up.contenders if one.name == name)

    def table(self) -> list[tuple[str, ...]]:
        """Rows of text under `HEADER`: every contender, and its ablations indented below it."""
        return [self._text(row) for row in self.rows if self._is_of_table(row)]

    def curve(self) -> list[Row]:
        """The knob turned from the lowest price to the highest."""
        found = [row for row in self.rows if row.variant == AT_PRICE]
        return sorted(found, key=lambda row: row.price or 0.0)

    def curve_table(self) -> list[tuple[str, ...]]:
        """The knob's curve as text: price, accuracy, energy, vectors, deciding units."""
        names = ("accuracy", "energy_j", "vectors", "deciding")
        return [(f"{row.price:g}", *(_figure(row, name) for name in names)) for row in self.curve()]

    def remarks(self) -> list[str]:
        """What has to be said beside the table."""
        said = [
            f"{sentence(one, self.titles)} {robust(one.robustness, self.titles)}".strip()
            for one in self.verdicts
            if one.as_trained
        ]
        said.append(
            f"How much any gate could earn is not told: {self.possible}."
            if isinstance(self.possible, str)
            else self.possible.sentence
        )
        if self.curve():
            said.append(self._of_rises())
        said += [f"Left out: {name}: {why}." for name, why in self.line_up.left_out.items()]
        return said

    def _is_of_table(self, row: Row) -> bool:
        """Whether a row is of a contender as training left it, not set to something else."""
        trained = row.target == self.contender(row.contender).target
        return trained and row.variant not in (AT_PRICE, WITHIN)

    def _of_verdict(self, verdict: Verdict) -> tuple[str, ...]:
        static, saving = verdict.against_static, verdict.saving
        return (
            self.titles[verdict.contender],
            f"{verdict.target:.3g}",
            f"{100 * verdict.share:.1f}",
            f"{100 * verdict.accuracy:.1f}",
            "–" if static is None else static.points.signed(2),
            "–" if static is None else self._short(static.than),
            verdict.against_shuffled.points.signed(2),
            "–" if saving is None else saving.share.signed(0),
            "none as accurate" if saving is None else self._beside(saving),
            EARNED[verdict.earned],
            _of_draws(verdict),
        )

    def _beside(self, saving: Saving) -> str:
        """The static network that as much accuracy costs, and how equal the accuracies are on the
        test inputs."""
        return f"{self._short(saving.than)} ({100 * saving.points.mean:+.1f})"

    def _short(self, name: str) -> str:
        """Title of a static network where nobody else can be meant."""
        return self.titles[name].removeprefix("static, ")

    def _text(self, row: Row) -> tuple[str, ...]:
        decides = self.contender(row.contender).adaptive
        return (
            self._name(row),
            *(_figure(row, name) for name in ("accuracy", "energy_j", "bitops", "latency_s")),
            _figure(row, "share"),
            f"{row.met if decides else row.n - row.over} of {row.n}",
            *(_figure(row, name) for name in ("correlation", "vectors", "deciding")),
        )

    def _name(self, row: Row) -> str:
        if row.variant != AS_TRAINED:
            return f"  {_INDENTED[row.variant]}"
        static = self.best_static_network
        best = static is not None and row.contender == static.name
        return self.contender(row.contender).title + (" *" if best else "")

    def _of_rises(self) -> str:
        if not self.rises:
            return "The knob is monotone: no higher price of cost spent more energy, in any seed."
        steps = sum(record.variant == AT_PRICE for record in self.records) - len(self.study.seeds)
        worst = max(self.rises, key=lambda rise: rise.next_energy_j / rise.energy_j)
        return (
            f"The knob is NOT monotone: {len(self.rises)} of {steps} steps to a higher price of "
            f"cost spent more energy, at worst {worst.next_energy_j / worst.energy_j - 1:.2%} more "
            f"(seed {worst.seed}, from price {worst.price:g} to {worst.next_price:g})."
        )


_SCALES = {"accuracy": 100, "energy_j": 1e6, "bitops": 1e-6, "latency_s": 1e6, "share": 100}
_DIGITS = {"accuracy": 1, "energy_j": 2, "bitops": 1, "latency_s": 2, "share": 1, "correlation": 2}


def _figure(row: Row, name: str) -> str:
    """Mean ± standard deviation, or a dash where there is no figure."""
    spread: Spread | None = row.figures[name]
    if spread is None:
        return "–"
    scale, digits = _SCALES.get(name, 1), _DIGITS.get(name, 1)
    mean = f"{spread.mean * scale:.{digits}f}"
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation * scale:.{digits}f}"


def _of_draws(verdict: Verdict) -> str:
    """What the draws of the constants change: nothing, if the rival is the verdict's own in all;
    else the points left, and in how many of the draws that have a rival the contender earns its
    keep, or is above it where it earns that in none."""
    found, fixed = verdict.robustness, verdict.against_static
    if found is None:
        return "–"
    if found.points is None:
        return "no rival in any"
    if fixed is not None and not found.alone and [one.than for one in found.rivals] == [fixed.than]:
        return "same in all"
    low, high = (round(100 * end, 2) + 0.0 for end in found.points)  # no -0
    said = f"earned in {found.earned}" if found.earned else f"above in {found.ahead}"
    alone = f", no rival in {found.alone}" if found.alone else ""
    return f"{low:+.2f} to {high:+.2f}: {said} of {found.draws - found.alone}{alone}"
