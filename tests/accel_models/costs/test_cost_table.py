"""The table says what `simulate` says, unit by unit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from networks import gated_pair

from accel_models import InfeasibleError, InputError, cost_table, load_accelerator, simulate
from accel_models.precision import highest, parse_choices

MACHINE = load_accelerator("bitfusion-published")


def test_uniform_rows_add_up_to_simulate() -> None:
    table = cost_table(gated_pair(), MACHINE, "skip,2,4,8")
    for index, choice in enumerate(table.choices):
        whole = simulate(gated_pair(), MACHINE, dict.fromkeys(table.units, choice), always=8)
        for metric, expected in (
            ("energy", whole.energy_j),
            ("latency", whole.latency_s),
            ("bitops", whole.bitops),
        ):
            fixed, units = table.costs(metric)
            assert fixed + units[:, index].sum() == pytest.approx(expected, rel=1e-12)


def test_the_reference_is_the_static_network_without_gates() -> None:
    table = cost_table(gated_pair(), MACHINE, "skip,2,8,4/8")
    static = simulate(gated_pair().without_gates(), MACHINE, 8)
    assert table.reference("energy") == pytest.approx(static.energy_j, rel=1e-12)
    assert table.reference("latency") == pytest.approx(static.latency_s, rel=1e-12)
    assert table.reference("bitops") == static.bitops


def test_a_skipped_unit_pays_its_gate_and_its_shortcut_and_nothing_else() -> None:
    table = cost_table(gated_pair(), MACHINE, "skip,8")
    ran = {
        layer.name: bool(cycles)
        for layer, cycles in zip(table.workload.layers, table.cycles[:, 0, 0], strict=True)
    }
    skipped = {name for name, ran_at_all in ran.items() if not ran_at_all}
    assert skipped == {"a.conv", "b.conv"}


def test_always_is_the_highest_choice_unless_said() -> None:
    assert cost_table(gated_pair(), MACHINE, "skip,2,4").always == parse_choices("4")[0]
    assert cost_table(gated_pair(), MACHINE, "skip,2,4", always=8).always == parse_choices("8")[0]
    assert str(highest(parse_choices("8/2,4,2/8"))) in ("8/2", "2/8", "4")


def test_groups_share_a_run_and_never_cost_more_than_apart() -> None:
    table = cost_table(gated_pair(), MACHINE, "4,8", max_group=6)
    cycles = table.cycles
    for group in range(2, 7):
        for part in range(1, group):
            apart = cycles[:, :, part - 1] + cycles[:, :, group - part - 1]
            assert (cycles[:, :, group - 1] <= apart).all()
    direct = simulate(gated_pair(), MACHINE, 8, batch=6)
    assert cycles[:, 1, 5].sum() <= direct.cycles


def test_choices_the_machine_cannot_do_are_kept_apart_and_refused_with_their_reason() -> None:
    table = cost_table(gated_pair(), MACHINE, "8,16", always=8)
    table.require_feasible([0])
    with pytest.raises(InfeasibleError, match=r"'a.conv' at 16 bits .* wider than the array's 8"):
        table.costs("energy")
    with pytest.raises(InfeasibleError, match="'stem'"):
        cost_table(gated_pair(), MACHINE, "8,16")


def test_the_key_depends_on_what_the_figures_depend_on() -> None:
    base = cost_table(gated_pair(), MACHINE, "skip,8")
    others = [
        cost_table(gated_pair(), MACHINE, "skip,4,8"),
        cost_table(gated_pair(), MACHINE, "skip,8", max_group=2),
        cost_table(gated_pair(), MACHINE.configured(dram__pj_per_bit=7), "skip,8"),
        cost_table(gated_pair().without_gates(), MACHINE, "skip,8"),
    ]
    assert cost_table(gated_pair(), MACHINE, "skip,8").key == base.key
    assert len({base.key, *(table.key for table in others)}) == 5


def test_the_digest_depends_on_the_figures_and_the_machine() -> None:
    base = cost_table(gated_pair(), MACHINE, "skip,8")
    cycles = base.cycles.copy()
    cycles[-1, -1, -1] += 1
    others = [
        cost_table(gated_pair(), MACHINE, "skip,4,8"),
        cost_table(gated_pair(), MACHINE, "skip,8", max_group=2),
        cost_table(gated_pair(), MACHINE.configured(dram__pj_per_bit=7), "skip,8"),
        cost_table(gated_pair(), MACHINE.configured(array__reconfiguration_cycles=9), "skip,8"),
        cost_table(gated_pair().without_gates(), MACHINE, "skip,8"),
        replace(base, cycles=cycles),
    ]
    assert replace(base, cycles=base.cycles.copy()).digest == base.digest
    assert len({base.digest, *(table.digest for table in others)}) == 7


@pytest.mark.parametrize(
    ("choices", "said"),
    [("skip", "nothing to run"), ("8,8", "twice"), ("8,4x", "'4x' is not"), ("40", "1 to 32")],
)
def test_malformed_choice_sets(choices: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        cost_table(gated_pair(), MACHINE, choices)


@pytest.mark.parametrize("priced", [simulate, cost_table])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((object(), MACHINE), r"workload_of\(model, example\) makes it, not object"),
        (("resnet50", MACHINE), r"listed_network\(name\) .*, not 'resnet50'"),
        ((gated_pair(), "bitfusion"), r"load_accelerator\('bitfusion'\) makes it"),
        ((gated_pair(), None), r"load_accelerator\('.*'\) makes it, not NoneType"),
    ],
)
def test_what_is_no_network_or_machine(priced: Any, given: tuple[Any, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        priced(*given, "2,8")


def test_what_is_no_choice_set_nor_a_number_of_inputs() -> None:
    with pytest.raises(InputError, match=r"several choices, .* is not 8: .* write \(8,\)"):
        cost_table(gated_pair(), MACHINE, 8)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="what always runs cannot be at skip"):
        cost_table(gated_pair(), MACHINE, "2,8", always="skip")
    for batch in (2.5, "2", True, 0):
        with pytest.raises(InputError, match="batch is a whole number of at least 1, got"):
            simulate(gated_pair(), MACHINE, 8, batch=batch)  # type: ignore[arg-type]
    several = np.int64(2)
    assert simulate(gated_pair(), MACHINE, 8, batch=several).batch == 2  # type: ignore[arg-type]


def test_leakage_is_charged_by_time() -> None:
    leaky = MACHINE.configured(fidelity__static_power=True)
    dry, wet = (simulate(gated_pair(), machine, 8) for machine in (MACHINE, leaky))
    assert wet.cycles == dry.cycles
    assert np.array_equal(wet.energy_pj[:-1], dry.energy_pj[:-1])
    assert wet.energy_pj[-1] == pytest.approx(0.2429e12 * wet.latency_s, rel=1e-3)


def test_full_precision_is_charged_as_sixteen_bits() -> None:
    machine = load_accelerator("bitfusion")
    full, wide = (cost_table(gated_pair(), machine, f"skip,8,{top}") for top in ("full", "16"))
    assert [str(choice) for choice in full.choices] == ["skip", "8", "full"]
    assert np.array_equal(full.counts, wide.counts)
    assert full.reference("energy") == wide.reference("energy")
