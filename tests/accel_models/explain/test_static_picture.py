"""Pictures of static networks: no point lies above its roof, bars are the energies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from networks import cifar_resnet38, gated_pair

from accel_models import InputError, load_accelerator, simulate
from accel_models.costs.pricing import COMPONENTS
from accel_models.explain.static_picture import (
    draw_static,
    energy_stack,
    roof_points,
    roofs,
    write_static_picture,
)


@pytest.mark.parametrize("name", ["bitfusion", "loom-2b", "tpu-int8", "unpu"])
def test_no_layer_lies_above_its_roof(name: str) -> None:
    machine = load_accelerator(name).configured(fidelity__prefetch=False)
    points = roof_points(simulate(cifar_resnet38(), machine, 8))
    assert len(points) == 40
    for point in points:
        roof = min(point.peak_macs_per_cycle, machine.dram_bits_per_cycle * point.macs_per_bit)
        assert 0 < point.macs_per_cycle <= roof * (1 + 1e-12)


def test_peaks_are_the_arrays() -> None:
    run = simulate(cifar_resnet38(), load_accelerator("bitfusion"), 4)
    image, *others = roof_points(run)
    assert image.peak_macs_per_cycle == pytest.approx(16 * 32 * 2)  # 4-bit weights, 8-bit pixels
    assert {round(point.peak_macs_per_cycle, 6) for point in others} == {16 * 32 * 4}
    assert roofs([image, *others]) == {16 * 32 * 2: "4/8 bit", 16 * 32 * 4: "4 bit"}


def test_the_stack_is_the_runs_energy() -> None:
    run = simulate(gated_pair(), load_accelerator("bitfusion"), 8)
    stack = energy_stack(run)
    assert stack.shape == (len(run.layers), len(COMPONENTS))
    assert stack.sum(axis=0) == pytest.approx(run.energy_pj, rel=1e-12)
    drawn = draw_static({"8 bit": run}).axes[1]
    heights = [sum(bar.get_height() for bar in bars) for bars in drawn.containers]  # type: ignore[attr-defined]
    assert heights == pytest.approx((run.energy_pj * 1e-6).tolist(), rel=1e-9)


def test_pictures_are_written_as_their_names_say(tmp_path: Path) -> None:
    machine = load_accelerator("bitfusion")
    runs = {f"{bits} bit": simulate(gated_pair(), machine, bits) for bits in (8, 2)}
    write_static_picture(tmp_path / "run.svg", runs)
    assert ElementTree.parse(tmp_path / "run.svg").getroot().tag.endswith("svg")
    write_static_picture(tmp_path / "run.png", runs)
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"run\.txt: end its name with"):
        write_static_picture(tmp_path / "run.txt", runs)


def test_the_command_line_draws_one(tmp_path: Path, printed: Callable[..., str]) -> None:
    path = tmp_path / "run.svg"
    said = printed("simulate", "resnet8", "--precision", "8", "--picture", path)
    assert f"{path}: a picture" in said and path.stat().st_size > 10_000
