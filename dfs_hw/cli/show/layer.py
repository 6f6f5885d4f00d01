"""One layer taken apart, on the terminal and as a plain dictionary for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accel_models.explain.layer import Explanation, Point
from accel_models.mapping.parts import RESOURCES, Block
from accel_models.mapping.problem import LOOPS, Mapping
from accel_models.workloads.workload import Layer
from dfs_hw.cli.show.tables import line, new_table, si, terminal

STAYS = {
    "input": "inputs stay",
    "output": "outputs stay",
    "weight": "weights stay",
    "kernel rows": "kernel rows stay",
}
"""What does not leave the array while a tile is computed, by stationarity."""
LANES = {
    "channels": "lanes take input channels of one kernel position",
    "kernel-row": "lanes take input channels and a row of the kernel",
    "window": "lanes take the whole window, all input channels of it",
    "row-stationary": "elements take kernel rows, output rows and channels",
}
"""What fills the lanes of the array, by lane rule."""


def explanation(found: Explanation, points: Sequence[Point]) -> None:
    """Everything about one layer at one precision; `points` are its other mappings, if wanted."""
    _print_title(found)
    _print_nest(found)
    _print_tensors(found)
    _print_cycles(found)
    _print_verdict(found)
    if points:
        _print_points(found, points)


def explanation_facts(found: Explanation, points: Sequence[Point]) -> dict[str, Any]:
    """Everything that is known of a layer's mapping, as plain data for JSON."""
    schedule, roofline = found.schedule, found.roofline
    facts: dict[str, Any] = {
        "layer": found.cost.layer.name,
        "precision": str(found.cost.precision),
        "machine": found.machine,
        "batch": found.batch,
        "macs": found.cost.layer.macs * found.batch,
        "cycles": found.cost.cycles,
        "energy_by_component_j": {name: pj * 1e-12 for name, pj in found.energy_pj.items()},
        "mapping": _mapping_facts(found.mapping),
        "groups": found.groups,
        "loops": [loop._asdict() for loop in found.loops],
        "blocks": [block._asdict() for block in found.blocks],
        "traffic": [tensor._asdict() for tensor in found.traffic],
        "stays_on_chip": list(found.on_chip),
        "cycles_by_part": schedule.parts,
        "cycles_without": {resource: schedule.without(resource) for resource in RESOURCES},
        "bottleneck": schedule.bottleneck,
        "roofline": roofline._asdict() | {"cycles": roofline.cycles, "bound": roofline.bound},
        "distance": found.distance,
        "steps": len(schedule.tiles),
    }
    if points:
        facts["pareto"] = [
            {
                "cycles": point.cycles,
                "energy_j": point.energy_pj * 1e-12,
                "chosen": point.chosen,
                "mapping": _mapping_facts(point.mapping),
                "loops": [loop._asdict() for loop in point.loops],
                "blocks": [block._asdict() for block in point.blocks],
            }
            for point in points
        ]
    return facts


def _print_title(found: Explanation) -> None:
    layer, energy = found.cost.layer, sum(found.energy_pj.values()) * 1e-12
    batch = f", batch {found.batch}" if found.batch > 1 else ""
    line(f"{layer.name} at {found.cost.precision} bits on {found.machine}", bold=True)
    line(f"{_shape(layer)}{batch}: {layer.macs * found.batch:,} MACs")
    busy = found.macs_per_cycle / found.peak_macs_per_cycle
    line(
        f"{found.cost.cycles:,} cycles, {si(found.cost.cycles / found.frequency_hz, 's')}, "
        f"{si(energy, 'J')}; {found.macs_per_cycle:,.4g} MACs per cycle, {busy:.1%} of the peak; "
        f"{found.cost.occupancy:.1%} of the array occupied while it computes"
    )


def _shape(layer: Layer) -> str:
    if layer.kernel == layer.out_size == (1, 1):
        return f"linear layer of {layer.in_channels} inputs and {layer.out_channels} outputs"
    text = f"{_by(layer.kernel)} convolution of {layer.in_channels} into {layer.out_channels} "
    text += f"channels, {_by(layer.out_size)} outputs"
    if layer.stride != (1, 1):
        text += f", stride {_by(layer.stride)}"
    return text + (f", {layer.groups} groups" if layer.groups > 1 else "")


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def _print_nest(found: Explanation) -> None:
    """The loops as an indented program, and beside each what its advance exchanges."""
    rows: list[tuple[str, tuple[str, ...]]] = []
    if found.groups > 1:
        packs = f"packs of {found.mapping.packed} groups" if found.mapping.packed > 1 else "groups"
        rows.append((f"for each of {found.groups} {packs}", ("weights", "inputs", "outputs")))
    for loop in found.loops:
        times = f"for {_words(loop.name)} in {loop.trips} tiles of {loop.size}"
        rows.append((f"{'  ' * len(rows)}{times}", loop.exchanges))
    inside, mapping = "  " * len(rows), found.mapping
    tile = dict(zip(LOOPS, mapping.tile, strict=True))
    table = new_table("loops, outer to inner", "exchanges with DRAM", text=("exchanges with DRAM",))
    for text, exchanged in rows:
        table.add_row(text, ", ".join(exchanged) or "nothing")
    size = (
        f"{tile['out_rows']} x {tile['out_columns']} outputs of {tile['out_channels']} channels, "
        f"from {tile['in_channels']} channels"
    )
    if tile["batch"] > 1:
        size += f", of {tile['batch']} inputs"
    table.add_row(f"{inside}a tile: {size}")
    if mapping.packed > 1:
        table.add_row(f"{inside}{mapping.packed} groups side by side, zero weights between them")
    table.add_row(f"{inside}{STAYS[mapping.stationary]} in the array; {LANES[mapping.lane_rule]}")
    line("")
    terminal().print(table)


def _print_tensors(found: Explanation) -> None:
    """What each buffer holds, and what crosses the DRAM port for it."""
    table = new_table(
        "",
        "elements\nin a tile",
        "tiles\nheld",
        "they take\nof the buffer",
        "loaded",
        "DRAM\nreads",
        "DRAM\nwrites",
        "at\nleast",
        "times\nthe least",
    )
    blocks: dict[str, Block] = {block.tensor: block for block in found.blocks}
    for tensor in found.traffic:
        moved = tensor.read_bits + tensor.write_bits
        block = blocks.get(tensor.tensor)
        if block is None and not moved:
            continue
        table.add_row(
            tensor.tensor,
            *(_block(block) if block is not None else [""] * 4),
            _bits(tensor.read_bits),
            _bits(tensor.write_bits),
            _bits(tensor.least_bits),
            f"{moved / tensor.least_bits:.2f}" if tensor.least_bits else "",
        )
    line("")
    terminal().print(table)
    if found.on_chip:
        line(f"stays in the input buffer between layers: {', '.join(found.on_chip)}")


def _block(block: Block) -> list[str]:
    share = f"{_bits(block.bits)} of {_bits(block.room_bits)}"
    times = {1: "once", 2: "twice"}.get(block.trips, f"{block.trips:,} times")
    loaded = "once, whole" if block.stays else f"{times}, in blocks"
    return [f"{block.tile:,}", f"{block.tiles:,}", share, loaded]


def _print_cycles(found: Explanation) -> None:
    table = new_table("where the time goes", "cycles", "share")
    for part, cycles in found.schedule.parts.items():
        if cycles:
            table.add_row(part, f"{cycles:,}", f"{cycles / found.cost.cycles:.1%}")
    table.add_row("all", f"{found.cost.cycles:,}", "100.0%")
    line("")
    terminal().print(table)


def _print_verdict(found: Explanation) -> None:
    schedule, roofline, cycles = found.schedule, found.roofline, found.cost.cycles
    savings = {name: 1 - schedule.without(name) / cycles for name in RESOURCES}
    each = ", ".join(f"{name} {saving:.1%}" for name, saving in savings.items() if saving > 5e-4)
    line(f"\nbottleneck: {schedule.bottleneck}")
    line(f"cycles saved if it took no time: {each}")
    line(
        f"roofline: at least {roofline.cycles:,} cycles, set by {roofline.bound} "
        f"(array {roofline.compute:,}, DRAM {roofline.traffic:,})"
    )
    line(f"distance: this layer takes {found.distance:.2f} times as long")


def _print_points(found: Explanation, points: Sequence[Point]) -> None:
    table = new_table(
        "worth having",
        "energy",
        "tile",
        "loops, outer to inner",
        "held",
        "stays",
        "lanes",
        text=("tile", "loops, outer to inner", "held", "stays", "lanes"),
    )
    for point in points:
        mapping = point.mapping
        table.add_row(
            f"{'*' if point.chosen else ' '} {point.cycles:,} cycles",
            si(point.energy_pj * 1e-12, "J"),
            " x ".join(map(str, mapping.tile)),
            ", ".join(f"{loop.trips} {_words(loop.name)}" for loop in point.loops) or "one tile",
            " ".join(str(block.tiles) for block in point.blocks),
            mapping.stationary,
            mapping.lane_rule,
        )
    line("")
    terminal().print(table)
    line(f"* chosen; a tile is {' x '.join(_words(name) for name in LOOPS)};")
    line("held are so many tiles of weights, inputs and outputs at a time")
    early = found.schedule.early
    if early:
        line(f"on its own; {early:,} cycles of loading pass during the layer before")


def _mapping_facts(mapping: Mapping) -> dict[str, Any]:
    return {
        "tile": dict(zip(LOOPS, mapping.tile, strict=True)),
        "order": list(mapping.order),
        "stationary": mapping.stationary,
        "lane_rule": mapping.lane_rule,
        "groups_side_by_side": mapping.packed,
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _bits(bits: int) -> str:
    """Bits as bytes or KiB, which buffers and transfers are stated in."""
    kib = bits / 8192
    if kib < 1:
        return f"{bits / 8:.4g} B"
    return f"{kib:.3g} KiB" if kib < 100 else f"{kib:,.0f} KiB"
