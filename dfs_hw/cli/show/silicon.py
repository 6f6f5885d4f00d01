"""Chips, RTL and claims of papers beside the model, on the terminal."""

from __future__ import annotations

from accel_models.validation.silicon import SiliconComparison
from dfs_hw.cli.show.tables import line, new_table, terminal


def silicon(found: SiliconComparison) -> None:
    """Print every published figure with the model's, and every claim."""
    table = new_table(
        "chip", "figure", "published", "model", "unit", "off by", "basis", "why", text=("why",)
    )
    for one in found.figures:
        off = f"{100 * (one.ratio - 1):+.1f} %"
        numbers = (
            f"{one.published:.5g}",
            f"{one.model:.4g}" if one.model < 1e4 else f"{one.model:.0f}",
        )
        table.add_row(one.chip, one.figure, *numbers, one.unit, off, one.basis, one.why)
    terminal().print(table)
    line("")
    claims = new_table(
        "claim", "setting", "time", "model", "energy", "model", "why", text=("setting", "why")
    )
    for claim in found.claims:
        ratios = claim.published_speedup, claim.speedup, claim.published_gain, claim.gain
        texts = (f"{ratio:.2f}" for ratio in ratios)
        claims.add_row(claim.title, claim.setting, *texts, claim.why)
    terminal().print(claims)
