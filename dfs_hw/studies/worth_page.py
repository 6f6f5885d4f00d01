"""What deciding is worth on the machines of a space: a page, its picture, and all of it as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from accel_models.documents import digest_of, sealed
from accel_models.exploration.space import BASE, Space, Value
from accel_models.files import whole_file
from accel_models.metrics import METRICS
from accel_models.pages.chart import PALETTE
from accel_models.pages.style import DOTS, FAINT, INK, WIDTH, dress, styled, write_drawing
from dfs_hw.baselines.contenders import Contender
from dfs_hw.baselines.findings import EARNED
from dfs_hw.baselines.judgement.resampling import Interval
from dfs_hw.baselines.writing import markdown_table
from dfs_hw.headroom.picture import SCALES
from dfs_hw.provenance import provenance, write_json
from dfs_hw.studies.definition import StudyDefinition
from dfs_hw.studies.finished_networks import FinishedNetworks
from dfs_hw.studies.worth import Worth

PAGE, PICTURE, FILE = "machines.md", "machines.png", "machines.json"
CAPTION = "What deciding is worth, by what no width saves"
MOST_ROWS = 200
"""Machines that the page lists; the rest are in the file alone."""
FORMAT = 1
"""Version of ``machines.json``."""
WORTH_FILES = (FILE, PICTURE, PAGE)
"""All that `write_worth` leaves."""
MARKERS = "osD^v"
AHEAD = ("who is ahead", "points ahead", "over itself shuffled", "earned its keep")
"""Columns of what is won at equal cost."""
SPARED = ("who spares", "spared, %", "of whose cost", "points to it")
"""Columns of what is spared at equal accuracy."""


def write_worth(
    networks: FinishedNetworks, space: Space, found: Sequence[Worth], out: Path, title: str
) -> Path:
    """Write ``machines.md``, ``machines.png`` and ``machines.json``; returns the first.

    Args:
        found: what deciding is worth on every machine of the space.
        out: folder for them, which is there.
        title: of the study.
    """
    content = {
        "format": FORMAT,
        **provenance(),
        "study": {"title": title, **networks.study.to_dict()},
        "space": {
            "name": space.name,
            "bases": list(space.bases),
            "dimensions": [one.name for one in space.dimensions],
        },
        "static": [one.name for one in networks.static],
        "leaving": [one.name for one in networks.leaving],
        "left_out": networks.left_out,
        "machines": [asdict(one) for one in found],
    }
    write_json(out / FILE, sealed(content))
    (out / PICTURE).unlink(missing_ok=True)  # of what an earlier call found
    if _is_told(found):
        metric = networks.study.config.metric
        write_drawing(out / PICTURE, lambda: draw_worth(metric, found))
    path = out / PAGE
    with whole_file(path) as partial:
        partial.write_text(_page(networks, space, found, title), encoding="utf-8")
    return path


def told_by(definition: StudyDefinition, space: Space, seeds: Sequence[int]) -> dict[str, Any]:
    """What tells a page from others, whatever is finished of the study: for `owned_folder`."""
    return {
        "study": definition.title,
        "space": space.name,
        "machines": digest_of(space.identity),
        "seeds": sorted(seeds),
    }


def _page(networks: FinishedNetworks, space: Space, found: Sequence[Worth], title: str) -> str:
    ran = sorted((one for one in found if not one.refused), key=_share, reverse=True)
    rows = [_row(networks, space, one) for one in ran[:MOST_ROWS]]
    lines = [
        f"# {escape(' '.join(title.split()))} Machine by machine",
        "",
        summary(networks.place.study.config.metric, found),
        "",
        *([f"![{CAPTION}]({PICTURE})", ""] if _is_told(found) else []),
        *([*markdown_table(_header(networks, space), rows), ""] if rows else []),
        _legend(networks, space),
        "",
    ]
    if len(ran) > len(rows):
        lines += [f"The first {len(rows)} of {len(ran)}; all are in `{FILE}`.", ""]
    for why in dict.fromkeys(networks.left_out.values()):
        names = [name for name, reason in networks.left_out.items() if reason == why]
        lines.append(f"- Left out: {', '.join(names)}: {why}.")
    refused = [one for one in found if one.refused]
    lines += [f"- {_named(space, one)}: {one.refused}" for one in refused[:MOST_ROWS]]
    return "\n".join(lines).rstrip() + "\n"


def summary(metric: str, found: Sequence[Worth]) -> str:
    """Where deciding spares most and least, how equal the accuracies are, who earns their keep, and
    whether any of it goes with what no width saves."""
    ran = [one for one in found if not one.refused]
    if not ran:
        return f"None of the {len(found)} machines can be, or can run these networks."
    sparing = [one for one in ran if one.spares is not None]
    if not sparing:
        return "Nobody who decides is as accurate as the best static network, on any machine."
    told = [_most_and_least(metric, sparing)]
    if len(sparing) < len(ran):
        told.append(f"On {len(ran) - len(sparing)} of {len(ran)} machines nobody is as accurate.")
    return " ".join([*told, _how_equal(sparing), *_earned(ran), *_ranks(ran)])


def _most_and_least(metric: str, sparing: Sequence[Worth]) -> str:
    """What is spared on the machine where it is most, and on that where it is least."""
    most, least = max(sparing, key=_share), min(sparing, key=_share)
    text = f"At the accuracy of the best static network deciding spares {_share(most):.0%} of the"
    if len(sparing) == 1:
        return f"{text} {metric}; what no width saves is {_floor(most):.0%} of it."
    return (
        f"{text} {metric} on the machine where it spares most, and {_share(least):.0%} where it "
        f"spares least; what no width saves is {_floor(most):.0%} of the cost on the one, and "
        f"{_floor(least):.0%} on the other."
    )


def _how_equal(sparing: Sequence[Worth]) -> str:
    """How equal, on test inputs, the accuracies are at which something is spared."""
    points = [one.spares.saving.points for one in sparing if one.spares is not None]
    ends = [f"{100 * end(one.mean for one in points):+.1f}" for end in (min, max)]
    text = f"On test inputs whoever spares is {ends[0]} to {ends[1]} points from its rival"
    if below := sum(one.side < 0 for one in points):
        text += f", and on {below} of {len(points)} machines less accurate by more than chance"
    return f"{text}."


def _earned(ran: Sequence[Worth]) -> Iterator[str]:
    """Number of machines on which somebody earns their keep at equal cost; of one seed, none."""
    told = [one.leads.earned for one in ran if one.leads is not None]
    if any(told):
        number = sum(map(bool, told))
        yield (
            "Whoever is seen furthest ahead at equal cost earned its keep on "
            f"{number} of {len(ran)} machines."
        )


def _ranks(ran: Sequence[Worth]) -> Iterator[str]:
    """Whether what is won, either way round, goes with what no width saves."""
    found = []
    for name, figure_of in WON:
        pairs = [(_floor(one), shown.mean) for one in ran if (shown := figure_of(one)) is not None]
        floors, figures = {floor for floor, _ in pairs}, {figure for _, figure in pairs}
        if len(floors) > 2 and len(figures) > 1:
            rank = float(spearmanr(*zip(*pairs, strict=True)).statistic)
            found.append(f"{rank:+.2f} of {name}")
    if found:
        yield f"Rank correlation with what no width saves: {', '.join(found)}."


def _legend(networks: FinishedNetworks, space: Space) -> str:
    """What the columns are."""
    place = networks.place
    seeds, bases = ", ".join(map(str, networks.study.seeds)), ", ".join(map(_said, space.bases))
    said = (
        f"Machines are changes of {bases} (`{space.name}`). Seeds {seeds}. Static networks: "
        f"{_listed(networks.static)}. "
    )
    if networks.has_cascade:
        said += "A cascade of two of them is put together anew for what each machine charges. "
    if networks.leaving:
        said += (
            f"Decisions of other networks are those settled for `{place.machine}`, held against "
            f"what is static at what they cost: {_listed(networks.leaving)}. "
        )
    return said + (
        f"Rows that name no network are of {place.study.config.network}, the study's own. Floor: "
        "what that costs at its narrowest width, over its widest: the share that no width saves. "
        "Budget: the study's there. Ahead: of the best static network within the same cost, at the "
        "multiple of the budget in brackets, where validation inputs see most of it; of a network "
        "with exits that is what its decisions cost there. Spared: by the cheapest that decides "
        "and is as accurate on validation inputs as the best static network, within 0.3 points, of "
        "the cost of the cheapest static one that is; then the points to that one on test inputs. "
        "Intervals of 95 %."
    )


def _share(one: Worth) -> float:
    """Share of the cost that is spared; least where nobody is as accurate."""
    return -math.inf if one.spares is None else one.spares.saving.share.mean


def _floor(one: Worth) -> float:
    assert one.floor is not None  # as of every machine that is not refused
    return one.floor


def _header(networks: FinishedNetworks, space: Space) -> tuple[str, ...]:
    unit = SCALES[METRICS[networks.place.study.config.metric].unit][1]
    varied = tuple(one.name for one in space.dimensions)
    figures = ("floor, %", f"budget, {unit}", *AHEAD, *SPARED)
    return (*varied, *figures)


def _row(networks: FinishedNetworks, space: Space, one: Worth) -> tuple[str, ...]:
    titles = {each.name: _short(each) for each in networks.field.contenders}
    scale = SCALES[METRICS[networks.place.study.config.metric].unit][0]
    ahead, spared = ("–",) * len(AHEAD), ("–",) * len(SPARED)
    if (leads := one.leads) is not None and leads.against_static is not None:
        ahead = (
            f"{titles[leads.contender]} (x{leads.target:.3g})",
            leads.against_static.points.signed(1),
            leads.against_shuffled.points.signed(1),
            EARNED[leads.earned],
        )
    if one.spares is not None:
        saving = one.spares.saving
        spared = (
            f"{titles[one.spares.contender]} (x{one.spares.target:.3g})",
            saving.share.signed(0),
            titles[saving.than],
            saving.points.signed(1),
        )
    varied = (_said(one.configuration.get(name.name, "–")) for name in space.dimensions)
    return (
        *varied,
        f"{100 * _floor(one):.0f}",
        f"{(one.budget or 0) * scale:.1f}",
        *ahead,
        *spared,
    )


def _short(contender: Contender) -> str:
    return contender.title.removeprefix("static, ").replace(" of two static networks", "")


def _listed(contenders: Sequence[Contender]) -> str:
    return "; ".join(map(_short, contenders))


def _said(value: Value) -> str:
    """A value as the space's file has it, where a page can show that."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else escape(" ".join(str(value).split()))


def _named(space: Space, one: Worth) -> str:
    known = (name.name for name in space.dimensions if name.name in one.configuration)
    return ", ".join(f"{name} {_said(one.configuration[name])}" for name in known)


def _is_told(found: Sequence[Worth]) -> bool:
    """Whether anything can be drawn."""
    return any(one.spares is not None or one.leads is not None for one in found)


@styled
def draw_worth(metric: str, found: Sequence[Worth]) -> Figure:
    """Points ahead at equal cost, and cost spared at equal accuracy, by what no width saves."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained", dpi=DOTS)
    left, right = figure.subplots(1, 2, sharex=True)
    _panel(left, found, _ahead, "points over the best static network at equal cost")
    _panel(right, found, _spared, f"{metric} spared at the accuracy of the best, %")
    said = "cost at the narrowest width over cost at the widest, % (what no width saves)"
    figure.supxlabel(said, fontsize=8, color=INK)
    handles, labels = left.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    if len(known) > 1:
        figure.legend(known.values(), known.keys(), loc="outside upper center", ncols=5)
    return figure


def _ahead(one: Worth) -> Interval | None:
    fixed = None if one.leads is None else one.leads.against_static
    return None if fixed is None else fixed.points


def _spared(one: Worth) -> Interval | None:
    return None if one.spares is None else one.spares.saving.share


WON = (("what is spared", _spared), ("the points ahead at equal cost", _ahead))
"""What deciding can win, either way round."""


def _panel(
    axes: Axes, found: Sequence[Worth], figure_of: Callable[[Worth], Interval | None], title: str
) -> None:
    """One dot a machine with its interval, in the colour of what it is a change of."""
    bases = list(dict.fromkeys(one.configuration.get(BASE, "") for one in found))
    for one in found:
        interval = figure_of(one)
        if interval is None:
            continue
        number = bases.index(one.configuration.get(BASE, ""))
        ends = (interval.mean - interval.low, interval.high - interval.mean)
        axes.errorbar(
            [100 * _floor(one)],
            [100 * interval.mean],
            yerr=[[max(0.0, 100 * end)] for end in ends],
            label=str(bases[number]).replace("$", r"\$"),  # or it is set as a formula
            color=PALETTE[number % len(PALETTE)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            linewidth=0.8,
            linestyle="none",
            alpha=0.85,
        )
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.set_title(title, loc="left")
    dress(axes)


__all__ = ["WORTH_FILES", "draw_worth", "summary", "told_by", "write_worth"]
