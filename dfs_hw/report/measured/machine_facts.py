"""The machine, its constants, and what their ranges do to an energy."""

from __future__ import annotations

from collections.abc import Iterator

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.costs.uncertainty import Uncertainty
from dfs_hw.report.subject import ConstantSwing, EnergyRange, MachineFacts, StatedConstant


def machine_facts(machine: Accelerator) -> MachineFacts:
    """What a report states of a machine."""
    pricing = Pricing(machine)
    published = machine.name.endswith("-published")
    return MachineFacts(
        name=machine.name,
        title=machine.title,
        kind="its paper's" if published else "on common ground, or its file's",
        paper=machine.paper,
        frequency_hz=machine.frequency_hz,
        dram_bits_per_cycle=machine.dram_bits_per_cycle,
        area_mm2=pricing.area_mm2,
        leakage_w=sum(pricing.leakage_w.values()),
        fidelity=machine.fidelity.model_dump(mode="json"),
        constants=tuple(_constants(machine, pricing)),
    )


def _constants(machine: Accelerator, pricing: Pricing) -> Iterator[StatedConstant]:
    for path, value, source in machine.constants():
        yield StatedConstant(path, float(value), "", *source)
    for name, value, unit, source in pricing.constants():
        yield StatedConstant(name, float(value), unit, *source)


def energy_range(found: Uncertainty) -> EnergyRange:
    """The range of an energy, as a report keeps it."""
    return EnergyRange(
        low=found.low,
        nominal=found.nominal,
        high=found.high,
        swings=tuple(
            ConstantSwing(one.path, one.low, one.high, one.energy_at_low, one.energy_at_high)
            for one in found.contributions
            if one.swing
        ),
        not_varied=found.not_varied,
        taken_as_exact=found.own,
    )
