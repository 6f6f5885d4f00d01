"""Tables of pages that are a command's output hold what the command finds, digit by digit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from places import ROOT

pytestmark = pytest.mark.slow

TRACE = str(ROOT / "traces" / "digits-resnet14-bitfusion.parquet")
UNITS = {"µJ": 1e-6, "µs": 1e-6, "ms": 1e-3, "Mb": 1e6, "kb": 1e3, "%": 0.01, "mm²": 1e-6}
Printed = Callable[..., str]
RANKING = ("docs/machines.md", "Ranked, on common ground")


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """Cells of the first table under a heading, by the first cell of their row."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert lines
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[0].splitlines()]
    return {first: rest for first, *rest in cells[2:]}


def says(cell: str, value: float) -> bool:
    """Whether a cell, such as ``-0.1 %``, is the value rounded to as many digits."""
    found = re.match(r"([+-]?\d+)(\.\d+)?(?: (\S+?))?,?(?: |$)", cell)
    assert found, cell
    figure, decimals = float(found[1] + (found[2] or "")), len(found[2] or ".") - 1
    scaled = value / UNITS.get(found[3] or "", 1.0)
    return abs(scaled - figure) <= 0.5 * 10**-decimals * (1 + 1e-9)


def test_the_ranking_is_what_the_command_finds(printed: Printed) -> None:
    found = json.loads(printed("accelerators", "--compare", "--network", "resnet38", "--json"))
    table = rows(*RANKING)
    del table["*BitOps*"]
    names = [re.findall(r"`(.*?)`", first)[0] for first in table]
    assert names == list(found["ranking"]["8"]["energy_j"])
    for name, cells in zip(names, table.values(), strict=True):
        eight, four, two = (found["runs"][bits][name] for bits in ("8", "4", "2"))
        split, whole = eight["split"], eight["energy_j"]
        wanted = [
            *(eight["energy_j"], four["energy_j"] / whole, two["energy_j"] / whole),
            *(eight["latency_s"], four["latency_s"] / eight["latency_s"]),
            *(two["latency_s"] / eight["latency_s"], eight["occupancy"]),
            *(split["logic_j"] / whole, split["sram_j"] / whole),
            (split["dram_j"] + split["background_j"]) / whole,
            split["leakage_j"] / whole,
        ]
        wrong = [pair for pair in zip(cells, wanted, strict=True) if not says(*pair)]
        assert not wrong, (name, wrong)


def test_the_first_page_has_the_same_ranking() -> None:
    first, whole = rows("README.md", "Choose a machine"), rows(*RANKING)
    del whole["*BitOps*"]
    assert list(first) == list(whole)
    for name, cells in first.items():
        assert cells == [*whole[name][:3], *whole[name][6:]]


def test_what_deciding_costs_is_what_the_command_finds(printed: Printed) -> None:
    effects = json.loads(printed("replay", TRACE, "--ablate", "--json"))["effects"]
    table = rows("docs/dynamic.md", "By how much")
    assert len(table) == len(effects)
    plain = effects[0]
    for (name, cells), effect in zip(table.items(), effects, strict=True):
        wanted = [
            *((effect[what]["mean"], plain[what]["mean"]) for what in ("energy_j", "latency_s")),
            (effect["latency_s"]["p95"], 0),
            (effect["traffic_bits"], 0),
            (effect["weight_bits"], 0),
        ]
        for cell, (value, base) in zip(cells, wanted, strict=True):
            relative = cell == "0" or cell.endswith("%")
            assert says(cell, (value / base - 1) if relative else value), (name, cell, value)


@pytest.mark.parametrize(
    ("cell", "value", "right"),
    [
        ("-0.1 %", -0.00137, True),
        ("-0.1 %", -0.00157, False),
        ("365 µs, 22.9 an input", 364.9e-6, True),
        ("2.02 ms", 2.031e-3, False),
        ("508 kb", 507_900, True),
    ],
)
def test_rounding_is_seen(cell: str, value: float, right: bool) -> None:
    assert says(cell, value) is right
