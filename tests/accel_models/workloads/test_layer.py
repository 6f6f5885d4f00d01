"""What a layer is: its two maps and what lies between them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import geometries, touched_lines
from torch.nn import functional

from accel_models import InputError, Layer, Precision, Workload, load_accelerator, simulate
from accel_models.mapping.problem import ACTIONS, ENERGY
from accel_models.mapping.problem_of import Tensors, problem_of
from accel_models.mapping.search import price, search
from accel_models.workloads.workload import Ends, key_of

READ = ACTIONS.index("dram_read_bits")
MACHINE = load_accelerator("bitfusion").configured(dram__burst_bytes=0)


def read_bits(layer: Layer) -> int:
    return int(simulate(Workload.chain("one", [layer]), MACHINE, 8).counts[READ])


def searched_reads(layer: Layer, weight_bytes: int, input_bytes: int) -> int:
    """Bits read from DRAM with buffers of any size, whatever they cost."""
    machine = MACHINE.configured(
        buffers__weight_bytes=weight_bytes,
        buffers__input_bytes=input_bytes,
        buffers__output_bytes=1 << 20,
    )
    task = problem_of(layer, Precision(8, 8), Tensors(Ends(), 8), 1, machine)
    found = search(task, [1.0] * len(ACTIONS), ENERGY)
    return int(price(task, found).counts[READ])


def touched(layer: Layer) -> int:
    """Elements of the input under some window."""
    lines = len(touched_lines(layer, 0)) * len(touched_lines(layer, 1))
    return lines * layer.in_channels


def padded(layer: Layer) -> torch.Tensor:
    """The input, every element with its own number from 1 on, and its padding."""
    rows, columns = layer.in_size
    numbers = torch.arange(1, rows * columns + 1, dtype=torch.float64).reshape(1, 1, rows, columns)
    top, bottom, left, right = layer.padding
    how = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(numbers, (left, right, top, bottom), how)


@given(geometries())
def test_output_follows_from_the_input_as_torch_has_it(geometry: dict[str, Any]) -> None:
    layer = Layer("conv", 1, 1, **geometry)
    kernel = torch.ones(1, 1, *layer.kernel, dtype=torch.float64)
    out = functional.conv2d(padded(layer), kernel, None, layer.stride, 0, layer.dilation)
    assert out.shape[2:] == layer.out_size
    assert Layer("again", 1, 1, out_size=layer.out_size, **geometry).geometry == layer.geometry


@given(geometries())
def test_touched_are_the_elements_that_torch_multiplies(geometry: dict[str, Any]) -> None:
    layer = Layer("conv", 1, 1, **geometry)
    windows = functional.unfold(
        padded(layer), layer.kernel, dilation=layer.dilation, stride=layer.stride
    )
    assert len(set(windows.flatten().tolist()) - {0.0}) == touched(layer)


@given(geometries())
def test_input_from_the_output_alone_is_what_windows_cover(geometry: dict[str, Any]) -> None:
    layer = Layer("conv", 1, 1, **geometry)
    stated = {name: value for name, value in geometry.items() if name != "in_size"}
    least = Layer("least", 1, 1, out_size=layer.out_size, **stated | {"padding_mode": "zeros"})
    for small, real, stride in zip(least.in_size, layer.in_size, layer.stride, strict=True):
        assert small <= real < max(small, 1) + stride


@settings(max_examples=60)
@given(geometries(), st.sampled_from([1, 2]), st.integers(1, 5), st.integers(1, 40))
def test_reads_cover_what_windows_touch_and_with_room_are_no_more(
    geometry: dict[str, Any], groups: int, inputs: int, outputs: int
) -> None:
    layer = Layer("conv", inputs * groups, outputs * groups, groups=groups, **geometry)
    least = 8 * (layer.weights + touched(layer))
    assert searched_reads(layer, 1 << 20, 1 << 20) == least
    assert searched_reads(layer, 1 << 11, 1 << 8) >= least


@pytest.mark.parametrize(
    ("side", "bits"), [(8, 131_072), (7, 100_352), (5, 51_200), (3, 18_432), (1, 2_048)]
)
def test_a_strided_layer_reads_the_map_there_is(side: int, bits: int) -> None:
    """256 channels of 8 bits; 7x7, 5x5, 3x3 and 1x1 also follow from the output alone."""
    given = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    layer = Layer("conv", 256, 16, in_size=(side, side), **given)
    assert read_bits(layer) == bits + 8 * layer.weights
    if side % 2:
        assert Layer("conv", 256, 16, out_size=layer.out_size, **given) == layer


def test_padding_on_one_side_is_that() -> None:
    """2x2 on 8x8 after a row below and a column on the right: weights and the whole map are read,
    where one row and column less would do for the padding on both sides."""
    layer = Layer("conv", 256, 16, kernel=(2, 2), in_size=(8, 8), padding=(0, 1, 0, 1))
    assert layer.out_size == (8, 8)
    assert read_bits(layer) == 131_072 + 8 * 8 * 256 * 8


def test_zeros_are_no_data_but_copies_are() -> None:
    """Windows of one element every third place of 5 lines between padding: of three, only the
    middle one lies on a line; the others find those that are reflected."""
    given = {"stride": (3, 3), "in_size": (5, 5), "padding": (1, 1)}
    zeros = Layer("zeros", 256, 16, **given)
    copies = Layer("copies", 256, 16, padding_mode="reflect", **given)
    assert (touched(zeros), touched(copies)) == (1 * 1 * 256, 3 * 3 * 256)
    read, read_copies = (searched_reads(layer, 1 << 20, 1 << 20) for layer in (zeros, copies))
    assert read_copies - read == 8 * 256 * 8


def test_paddings_may_be_given_for_all_sides_or_in_pairs() -> None:
    def sides(padding: Any) -> tuple[int, ...]:
        return Layer("conv", 1, 1, (3, 3), (8, 8), padding=padding).padding

    assert sides(1) == sides((1, 1)) == (1, 1, 1, 1)
    assert sides((1, 0)) == (1, 1, 0, 0)
    assert sides((0, 1, 2, 3)) == (0, 1, 2, 3)
    with pytest.raises(InputError, match="padding has one number, 2 or 4"):
        sides((1, 2, 3))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kernel": (3, 3), "in_size": (2, 5)}, "rows: no window of 3 fits an input of 2"),
        (
            {"kernel": (3, 3), "in_size": (8, 8), "out_size": (6, 5)},
            "columns: an input of 8 with 0 and 0 of padding gives 6 outputs under windows of 3, "
            "not 5",
        ),
        (
            {"kernel": (3, 3), "in_size": (2, 8), "padding": 2, "padding_mode": "reflect"},
            "rows: 2 elements of reflect padding are more than an input of 2 has to give",
        ),
        ({"padding_mode": "mirror"}, "padding_mode is one of zeros, reflect"),
        ({"padding": (0, -1)}, "a padding or a number below 0"),
        ({"dilation": (0, 1)}, "a size below 1"),
        ({"in_size": (0, 4)}, "a size below 1"),
    ],
)
def test_ends_that_do_not_agree_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Layer("conv", 1, 1, **given)


def as_written_by_0_1(**changes: Any) -> dict[str, Any]:
    layer = {
        **{"name": "conv", "in_channels": 16, "out_channels": 32, "kernel": [3, 3]},
        **{"out_size": [4, 4], "stride": [2, 2], "padding": [1, 1], "groups": 1},
        **{"reads_image": False, "role": "fixed", "unit": ""},
    }
    return {"name": "old", "layers": [layer | changes], "edges": []}


def test_what_version_0_1_wrote_keeps_the_inputs_it_was_priced_with() -> None:
    (layer,) = Workload.from_dict(as_written_by_0_1()).layers
    assert (layer.in_size, layer.padding) == ((8, 8), (1, 1, 1, 1))
    (wide,) = Workload.from_dict(as_written_by_0_1(stride=[5, 5])).layers
    assert (wide.in_size, wide.out_size) == ((20, 20), (4, 4))


@given(geometries(), st.sampled_from([1, 2, 4]))
def test_a_workload_survives_being_written_down(geometry: dict[str, Any], groups: int) -> None:
    layers = [Layer("a", 4, 8, groups=groups, **geometry), Layer("b", 8, 4)]
    workload = Workload.chain("two", layers)
    written = json.loads(json.dumps(workload.to_dict()))
    assert Workload.from_dict(written) == workload
    assert key_of(written) == workload.key


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("kernel", 3, "kernel has a number for each axis, got 3"),
        ("padding", [1, 1], "padding is not 4 whole numbers"),
        ("stride", [1, True], "stride is not a whole number: True"),
        ("groups", "1", "groups is not a whole number: '1'"),
        ("role", "weird", "has role 'weird' but unit"),
        ("unit", 3, "unit is not text: 3"),
        ("colour", 3, "not a layer: unknown colour"),
    ],
)
def test_a_field_of_another_kind_is_named(field: str, value: Any, said: str) -> None:
    data = Workload.chain("one", [Layer("a", 4, 8)]).to_dict()
    data["layers"][0] |= {field: value}
    with pytest.raises(InputError, match=said):
        Workload.from_dict(json.loads(json.dumps(data)))


def test_workloads_of_later_versions_are_refused() -> None:
    data = Workload.chain("one", [Layer("a", 4, 8)]).to_dict()
    with pytest.raises(InputError, match="format 3 is later than the known 2"):
        Workload.from_dict(data | {"format": 3})
