"""Bit Fusion at published fidelity against the results its authors released."""

import csv

import pytest
from networks import cifar_resnet38

from accel_models import load_accelerator, simulate
from accel_models.costs.pricing import Pricing
from accel_models.validation.published_rows import PUBLISHED, validate_table


def test_every_published_row_is_exact() -> None:
    outcome = validate_table(PUBLISHED)
    assert outcome.mismatches == ()
    assert outcome.rows == outcome.exact == 305
    assert outcome.borrowed_energy == 0  # every constant was derived from our own tables


@pytest.mark.parametrize(
    ("batch", "bits", "cycles_per_image", "microjoules_per_image"),
    # The released simulator's totals for ResNet-38 on the Eyeriss-matched chip.
    [
        (1, 2, 215956, 671),
        (1, 4, 227071, 708),
        (1, 8, 293069, 920),
        (16, 2, 202709, 637),
        (16, 4, 208683, 668),
        (16, 8, 268751, 813),
    ],
)
def test_resnet38_totals(
    batch: int, bits: int, cycles_per_image: int, microjoules_per_image: int
) -> None:
    cost = simulate(cifar_resnet38(), load_accelerator("bitfusion-published"), bits, batch=batch)
    assert int(cost.cycles / batch) == cycles_per_image
    assert round(cost.energy_j * 1e6 / batch) == microjoules_per_image


def test_sixteen_channels_gain_no_compute_cycles_from_low_precision() -> None:
    """Low precision widens a reduction over input channels that 16 rows cover already."""
    machine = load_accelerator("bitfusion-published")
    layer = cifar_resnet38().layers[1]
    single = cifar_resnet38().chain("one", [layer])
    cycles = {simulate(single, machine, bits).layers[0].compute_cycles for bits in (2, 4, 8)}
    assert cycles == {9216}


def test_area_and_leakage_of_the_eyeriss_matched_chip() -> None:
    machine = load_accelerator("bitfusion-published")
    row = next(csv.DictReader(PUBLISHED.read_text().splitlines()))
    pricing = Pricing(machine)
    stated = [float(row[f"area_{part}_mm2"]) for part in ("core", "wbuf", "ibuf", "obuf")]
    assert list(pricing.area_mm2.values()) == pytest.approx(stated, rel=1e-5)
    assert sum(pricing.leakage_w.values()) == pytest.approx(0.243, abs=5e-4)
