"""Bits that toggle in the datapath: counted by hand, expected of random operands, priced."""

from __future__ import annotations

import numpy as np
import pytest
from datapaths import WHOLE, operands

from accel_models import InputError, Layer, Precision, Workload, load_accelerator
from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import LayerSimulator
from accel_models.mapping.problem import ACTIONS, LOOPS, Mapping
from accel_models.reference_machine.datapath.datapath import compute
from accel_models.reference_machine.datapath.switching import Bits, Switching, array_energy

CONV = Layer("conv", 16, 32, (3, 3), (8, 8), padding=(0, 0))
WIDE = {"bitfusion": (8, 8), "bitblade": (4, 2), "stripes": (16, 5), "loom-1b": (3, 6),
        "loom-2b": (5, 4), "unpu": (7, 16)}  # fmt: skip
"""Widths that fill every wire."""


def watched(
    machine: Accelerator, layer: Layer, mapping: Mapping, widths: Precision, x: np.ndarray,
    w: np.ndarray,
) -> Switching:  # fmt: skip
    found = compute(layer, machine, widths, mapping, x, w, switching=True)
    assert found.switching is not None
    return found.switching


def one_lane(name: str, **changes: int) -> Accelerator:
    """A machine of a single multiplier."""
    machine = load_accelerator(name).configured(array__rows=1, array__columns=1, **changes)
    if "windows" in type(machine.array).model_fields:
        return machine.configured(array__windows=1)
    return machine


def along(positions: int, stationary: str) -> tuple[Layer, Mapping]:
    layer = Layer("row", 1, 1, out_size=(1, positions))
    return layer, Mapping((1, 1, positions, 1, 1), LOOPS, stationary, "channels", WHOLE)


def test_bricks_by_hand() -> None:
    """Inputs 0, 5, 10 and 10 beside a weight that stays: at 4 bits, chunks of inputs enter two
    bricks each, and so do those of the weight, which comes once."""
    layer, mapping = along(4, "output")
    x, w = np.array([0, 5, 10, 10]).reshape(1, 1, 1, 4), np.array(3).reshape(1, 1, 1, 1)
    found = watched(one_lane("bitfusion"), layer, mapping, Precision(4, 4), x, w)
    assert found.inputs == Bits(loaded=4 * 4 * 2, toggled=(0 + 2 + 4 + 0) * 2)
    assert found.weights == Bits(loaded=4 * 2, toggled=2 * 2)
    # Sums 0, 15, 30, 30, each at an output of its own: 0, 4, 4 and 4 bits are set.
    assert found.sums == Bits(loaded=4 * 32, toggled=0 + 4 + 4 + 4)


def test_chunks_enter_as_many_bricks_as_the_other_operand_has() -> None:
    layer, mapping = along(4, "output")
    x, w = np.array([0, 5, 10, 10]).reshape(1, 1, 1, 4), np.array(1).reshape(1, 1, 1, 1)
    found = watched(one_lane("bitfusion"), layer, mapping, Precision(2, 4), x, w)
    assert found.inputs == Bits(loaded=4 * 4, toggled=0 + 2 + 4 + 0)
    assert found.weights == Bits(loaded=2 * 2, toggled=1 * 2)


def test_serial_bits_by_hand() -> None:
    """0101 and 1010 pass, lowest bit first: 1 0 1 0, then 0 1 0 1; weights are 16 wires."""
    layer, mapping = along(2, "output")
    x, w = np.array([5, 10]).reshape(1, 1, 1, 2), np.array(-1).reshape(1, 1, 1, 1)
    found = watched(one_lane("stripes"), layer, mapping, Precision(4, 4), x, w)
    assert found.inputs == Bits(loaded=8, toggled=4 + 3)
    assert found.weights == Bits(loaded=16, toggled=16)


def test_serial_weights_by_hand() -> None:
    """A weight bit stays while the bits of an input go past: 1 1 for each bit of 11."""
    layer, mapping = along(2, "output")
    x, w = np.array([3, 3]).reshape(1, 1, 1, 2), np.array(1).reshape(1, 1, 1, 1)
    found = watched(one_lane("loom-1b"), layer, mapping, Precision(3, 2), x, w)
    assert found.inputs == Bits(loaded=2 * 3 * 2, toggled=1)
    assert found.weights == Bits(loaded=2 * 3, toggled=2 + 2)  # 1 0 0, twice
    tables = watched(one_lane("unpu"), layer, mapping, Precision(3, 2), x, w)
    assert tables.weights == found.weights
    assert tables.inputs == Bits(loaded=2 * 16, toggled=2)


@pytest.mark.parametrize(("name", "widths"), WIDE.items())
def test_random_operands_toggle_every_second_bit(name: str, widths: tuple[int, int]) -> None:
    machine, both = load_accelerator(name), Precision(*widths)
    mapping = Mapping((1, 4, 8, 16, 32), LOOPS, "output", machine.mapping.lane_rules[0], WHOLE)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**both.activation_bits, (1, 16, 10, 10))
    w = rng.integers(-(2 ** (both.weight_bits - 1)), 2 ** (both.weight_bits - 1), (32, 16, 3, 3))
    found = watched(machine, CONV, mapping, both, x, w)
    for operand in (found.inputs, found.weights):
        assert operand.toggled / operand.loaded == pytest.approx(0.5, abs=0.02)
    assert found.activity == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", WIDE)
def test_small_and_sparse_operands_toggle_less_and_zeros_nothing(name: str) -> None:
    machine, widths = load_accelerator(name), Precision(8, 8)
    mapping = Mapping((1, 8, 8, 16, 32), LOOPS, "output", machine.mapping.lane_rules[0], WHOLE)
    x, w = operands(CONV, widths, 1, (False, True), 0)
    plain = watched(machine, CONV, mapping, widths, x, w)
    sparse = watched(machine, CONV, mapping, widths, x * (x % 4 == 0), w)
    nothing = watched(machine, CONV, mapping, widths, x * 0, w)
    assert plain.inputs.loaded == sparse.inputs.loaded == nothing.inputs.loaded
    assert 0 == nothing.inputs.toggled < sparse.inputs.toggled < plain.inputs.toggled
    assert plain.weights == nothing.weights
    assert nothing.sums.toggled == 0


def test_weights_that_stay_load_once() -> None:
    machine, widths = load_accelerator("bitfusion"), Precision(8, 8)
    x, w = operands(CONV, widths, 1, (False, True), 0)
    found = {}
    for stays in ("output", "weight", "input"):
        mapping = Mapping((1, 8, 8, 16, 32), LOOPS, stays, "channels", WHOLE)
        found[stays] = watched(machine, CONV, mapping, widths, x, w)
    bricks = 16 * 2  # of a product, and bits of an operand at each
    assert found["weight"].weights.loaded == CONV.weights * bricks
    assert found["output"].weights.loaded == CONV.macs * bricks
    assert found["output"].inputs.loaded == found["weight"].inputs.loaded == CONV.macs * bricks


@pytest.mark.parametrize("name", ["bitfusion", "bitfusion-published", "loom-1b"])
def test_corrected_energy_beside_the_constant(name: str) -> None:
    machine = load_accelerator(name)
    pricing, widths = Pricing(machine), Precision(8, 8)
    cost = LayerSimulator(machine, 1, 8).cost(Workload.chain("one", [CONV]), CONV, widths)
    x, w = operands(CONV, widths, 1, (False, True), 0)
    switching = watched(machine, CONV, cost.mapping, widths, x // 16, w // 16)
    energy = array_energy(switching, cost, pricing)
    charged = cost.counts[:3] @ np.array(pricing.action_pj[:3])
    assert ACTIONS[:3] == ("array_operations", "array_cycles", "array_stall_cycles")
    assert energy.constant_pj == pytest.approx(charged)
    assert energy.corrected_pj < energy.constant_pj
    alike = array_energy(switching, cost, pricing, reference=switching.activity)
    assert alike.corrected_pj == pytest.approx(energy.constant_pj)
    if name == "bitfusion-published":  # charged by the cycle, with nothing for idling
        assert energy.corrected_pj / energy.constant_pj == pytest.approx(energy.activity / 0.5)
    else:  # what idles stays
        idle = cost.counts[1:3] @ np.array(pricing.action_pj[1:3])
        work = energy.constant_pj - idle
        assert energy.corrected_pj == pytest.approx(idle + work * energy.activity / 0.5)
    assert {source.status for source in energy.assumptions} == {"assumed"}


def test_a_reference_of_no_activity_is_refused() -> None:
    layer, machine = Layer("two", 2, 1), load_accelerator("bitfusion")
    cost = LayerSimulator(machine, 1, 8).cost(
        Workload.chain("two", [layer]), layer, Precision(8, 8)
    )
    with pytest.raises(InputError, match="an activity above 0, got 0"):
        array_energy(Switching(Bits(8, 4), Bits(8, 4), Bits(8, 4)), cost, Pricing(machine), 0.0)
