"""One layer taken apart, on the terminal and as a plain dictionary for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import Simulation
from accel_models.explain.layer import Explanation, Point
from accel_models.explain.vector_layer import VectorExplanation
from accel_models.mapping.parts import RESOURCES, Block, Traffic
from accel_models.mapping.problem import LOOPS, Mapping
from accel_models.precision import Precision
from accel_models.workloads.operators import MATMUL
from dfs_hw.cli.show.shapes import shape
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


def in_pieces(name: str, run: Simulation, pieces: int) -> None:
    """A layer that ran in several pieces, as a whole; each of them is to be shown by itself."""
    (cost,) = (cost for cost in run.layers if cost.layer.name == name)
    energy_pj = Pricing(run.accelerator).energy_pj(cost.counts, cost.cycles).sum()
    line(f"{name} at {cost.precision} bits on {run.accelerator.name}", bold=True)
    line(
        f"{cost.cycles:,} cycles, {si(float(energy_pj) * 1e-12, 'J')} in {pieces} pieces, one "
        "after the other, the first weights of each loading during the one before:\n"
    )


def explanation(
    found: Explanation | VectorExplanation, points: Sequence[Point], *, asked: str = ""
) -> None:
    """Everything about one layer at one precision; `points` are its other mappings, if wanted, and
    `asked` the precision that was asked for."""
    _print_what_ran(found, points)
    wanted = Precision.parse(asked or found.cost.precision)
    if found.cost.layer.operator == MATMUL and wanted.weight_bits != wanted.activation_bits:
        line(
            f"both operands are activations, so the {wanted.weight_bits} bits that are asked for "
            "weights settle nothing here"
        )


def _print_what_ran(found: Explanation | VectorExplanation, points: Sequence[Point]) -> None:
    if isinstance(found, VectorExplanation):
        _print_pass(found)
        _print_cycles(found)
        _print_energy(found)
        _print_verdict(found)
        return
    _print_title(found)
    _print_nest(found)
    _print_tensors(found)
    _print_cycles(found)
    _print_energy(found)
    _print_verdict(found)
    if points:
        _print_points(found, points)


def layer_explanation(
    *parts: tuple[Explanation | VectorExplanation, Sequence[Point]],
) -> dict[str, Any]:
    """A layer as plain data for JSON: its one part, or a list of all under ``pieces``."""
    facts = [explanation_facts(*part) for part in parts]
    return facts[0] if len(facts) == 1 else {"pieces": facts}


def explanation_facts(
    found: Explanation | VectorExplanation, points: Sequence[Point]
) -> dict[str, Any]:
    """Everything that is known of a layer's mapping, or of its pass through the vector unit, as
    plain data for JSON."""
    schedule, roofline, layer = found.schedule, found.roofline, found.cost.layer
    facts: dict[str, Any] = {
        "layer": layer.name,
        "operator": layer.operator,
        "shape": shape(layer),
        "precision": str(found.cost.precision),
        "machine": found.machine,
        "batch": found.batch,
        "cycles": found.cost.cycles,
        "energy_by_component_j": {name: pj * 1e-12 for name, pj in found.energy_pj.items()},
        "traffic": [tensor._asdict() for tensor in found.traffic],
        "stays_on_chip": list(found.on_chip),
        "cycles_by_part": found.parts,
        "cycles_without": {resource: schedule.without(resource) for resource in RESOURCES},
        "bottleneck": schedule.bottleneck,
        "roofline": roofline._asdict() | {"cycles": roofline.cycles, "bound": roofline.bound},
        "distance": found.distance,
        "steps": len(schedule.tiles),
    }
    if isinstance(found, VectorExplanation):
        return facts | {"operations": found.operations, "vector_lanes": found.lanes}
    facts |= {
        "macs": layer.macs * found.batch,
        "computed_as": shape(found.computed),
        "mapping": _mapping_facts(found.mapping),
        "groups": found.groups,
        "loops": [loop._asdict() for loop in found.loops],
        "blocks": [block._asdict() for block in found.blocks],
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
    line(f"{shape(layer)}{batch}: {layer.macs * found.batch:,} MACs")
    if found.computed.geometry != layer.geometry:
        line(f"computed as {shape(found.computed)}")
    busy = found.macs_per_cycle / found.peak_macs_per_cycle
    line(
        f"{found.cost.cycles:,} cycles, {si(found.cost.cycles / found.frequency_hz, 's')}, "
        f"{si(energy, 'J')}; {found.macs_per_cycle:,.4g} MACs per cycle, {busy:.1%} of the peak; "
        f"{found.cost.occupancy:.1%} of the array occupied while it computes"
    )


def _print_pass(found: VectorExplanation) -> None:
    """Title, operations and traffic of a layer of the vector unit."""
    cost, energy = found.cost, sum(found.energy_pj.values()) * 1e-12
    batch = f", batch {found.batch}" if found.batch > 1 else ""
    line(f"{cost.layer.name} at {cost.precision} bits on {found.machine}", bold=True)
    line(f"{shape(cost.layer)}{batch}: {found.operations:,} operations of the vector unit")
    busy = found.operations_per_cycle / found.lanes
    line(
        f"{cost.cycles:,} cycles, {si(cost.cycles / found.frequency_hz, 's')}, {si(energy, 'J')}; "
        f"{found.operations_per_cycle:,.4g} operations per cycle, {busy:.1%} of {found.lanes} lanes"
    )
    if not found.traffic:
        line("its operands are on chip")
        return
    blocks = "one block" if found.blocks == 1 else f"{found.blocks:,} blocks"
    line(f"streams through the vector unit in {blocks}")
    table = new_table("", "DRAM\nreads", "DRAM\nwrites", "at\nleast", "times\nthe least")
    for tensor in found.traffic:
        if tensor.read_bits + tensor.write_bits:
            table.add_row(tensor.tensor, *_moved(tensor))
    line("")
    terminal().print(table)
    _print_resident(found.on_chip)


def _print_resident(on_chip: Sequence[str]) -> None:
    if on_chip:
        line(f"stays in the input buffer between layers: {', '.join(on_chip)}")


def _moved(tensor: Traffic) -> tuple[str, ...]:
    moved = tensor.read_bits + tensor.write_bits
    times = f"{moved / tensor.least_bits:.2f}" if tensor.least_bits else ""
    return *map(_bits, (tensor.read_bits, tensor.write_bits, tensor.least_bits)), times


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
        "they take\nof what is free",
        "reserved for\nthe next block",
        "loaded",
        "DRAM\nreads",
        "DRAM\nwrites",
        "at\nleast",
        "times\nthe least",
    )
    blocks: dict[str, Block] = {block.tensor: block for block in found.blocks}
    for tensor in found.traffic:
        block = blocks.get(tensor.tensor)
        if block is None and not tensor.read_bits + tensor.write_bits:
            continue
        name = tensor.tensor
        if name == "weights" and found.cost.layer.operator == MATMUL:
            name = "second operand, as weights"
        table.add_row(name, *(_block(block) if block is not None else [""] * 5), *_moved(tensor))
    line("")
    terminal().print(table)
    _print_resident(found.on_chip)


def _block(block: Block) -> list[str]:
    share = f"{_bits(block.bits)} of {_bits(block.room_bits)}"
    times = {1: "once", 2: "twice"}.get(block.trips, f"{block.trips:,} times")
    loaded = "once, whole" if block.stays else f"{times}, in blocks"
    reserved = _bits(block.reserved_bits) if block.reserved_bits else "nothing"
    return [f"{block.tile:,}", f"{block.tiles:,}", share, reserved, loaded]


def _print_cycles(found: Explanation | VectorExplanation) -> None:
    table = new_table("where the time goes", "cycles", "share")
    for part, cycles in found.parts.items():
        if cycles:
            table.add_row(part, f"{cycles:,}", f"{cycles / max(1, found.cost.cycles):.1%}")
    table.add_row("all", f"{found.cost.cycles:,}", "100.0%")
    line("")
    terminal().print(table)


def _print_energy(found: Explanation | VectorExplanation) -> None:
    total = sum(found.energy_pj.values())
    table = new_table("where the energy goes", "energy", "share")
    for component, pj in found.energy_pj.items():
        if pj:
            table.add_row(component, si(pj * 1e-12, "J"), f"{pj / total:.1%}")
    table.add_row("all", si(total * 1e-12, "J"), "100.0%")
    line("")
    terminal().print(table)


def _print_verdict(found: Explanation | VectorExplanation) -> None:
    schedule, roofline, cycles = found.schedule, found.roofline, found.cost.cycles
    savings = {name: 1 - schedule.without(name) / max(1, cycles) for name in RESOURCES}
    each = ", ".join(f"{name} {saving:.1%}" for name, saving in savings.items())
    line(f"\nbottleneck: {schedule.bottleneck}")
    line(f"cycles saved if it took no time: {each}")
    line(
        f"roofline: at least {roofline.cycles:,} cycles, set by {roofline.bound} "
        f"({roofline.computes} {roofline.compute:,}, DRAM {roofline.traffic:,})"
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
