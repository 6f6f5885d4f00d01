"""Single products of the datapath, exhaustively where that is possible."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from datapaths import products, values
from default_machines import TABLES_45
from hypothesis import given
from hypothesis import strategies as st

from accel_models import InputError, Layer, Precision, load_accelerator
from accel_models.accelerators.arrays.bit_fusion import BitFusion
from accel_models.reference_machine.datapath.bricks import brick, passes

MACHINES = ("bitfusion", "bitblade", "stripes", "loom-1b", "loom-2b", "loom-4b", "unpu")


def test_a_brick_multiplies_by_its_gates() -> None:
    for x, w, x_signed, w_signed in product(range(4), range(4), (False, True), (False, True)):
        a = x - 4 if x_signed and x > 1 else x
        b = w - 4 if w_signed and w > 1 else w
        assert brick(x, w, x_signed, w_signed) == a * b


@pytest.mark.parametrize("name", MACHINES)
def test_all_products_of_one_to_four_bits(name: str) -> None:
    machine = load_accelerator(name)
    for a, b, *signs in product(range(1, 5), range(1, 5), (False, True), (False, True)):
        if name == "unpu" and b == 1 and not signs[1]:
            continue  # its 1-bit weights are signs
        x, w = values(a, signs[0]), values(b, signs[1])
        found = products(machine, x, w, Precision(b, a), (signs[0], signs[1]))
        assert (found.outputs[:, :, 0, 0] == np.outer(x, w)).all(), (a, b, signs)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MACHINES, "sliced"])
@given(
    data=st.data(),
    a=st.integers(1, 16),
    b=st.integers(5, 16),
    signs=st.tuples(*[st.booleans()] * 2),
)
def test_products_up_to_sixteen_bits(
    name: str, data: st.DataObject, a: int, b: int, signs: tuple[bool, bool]
) -> None:
    machine = load_accelerator("bitfusion" if name == "sliced" else name)
    if name == "sliced":
        machine = machine.configured(array__temporal="sliced")

    def some(bits: int, signed: bool) -> np.ndarray:
        every = values(bits, signed)
        inner = data.draw(st.lists(st.integers(0, len(every) - 1), max_size=5))
        return every[[0, *inner, len(every) - 1]]

    x, w = some(a, signs[0]), some(b, signs[1])
    found = products(machine, x, w, Precision(b, a), signs)
    assert (found.outputs[:, :, 0, 0] == np.outer(x, w)).all()


@pytest.mark.parametrize("temporal", ["passes", "sliced"])
@pytest.mark.parametrize(("max_bits", "min_bits"), [(8, 2), (4, 2), (2, 2), (8, 4)])
def test_passes_take_no_more_bricks_than_an_element_has(
    temporal: str, max_bits: int, min_bits: int
) -> None:
    """And as many passes of as many products as the closed form counts."""
    machine = TABLES_45.configured(
        array__temporal=temporal, array__max_bits=max_bits, array__min_bits=min_bits
    )
    assert isinstance(machine.array, BitFusion)
    for b, a in product(range(1, 17), range(1, 17)):
        widths = Precision(b, a)
        parts = passes(machine.array, widths, x_signed=True, w_signed=True)
        assert all(part.operations * part.lanes <= (max_bits // 2) ** 2 for part in parts)
        lanes = sorted(part.lanes for part in parts)
        counted = machine.array.datapath(Layer("one", 1, 1), widths).passes
        assert lanes == sorted(lane for lane, count in counted for _ in range(count))


def test_products_that_the_published_formula_fits_into_too_few_bricks() -> None:
    """floor(16 / 3) = 5 lanes of each operand are 25 products of 4 bricks, of 64."""
    machine = TABLES_45.configured(array__max_bits=16)
    some = values(3, signed=True)
    with pytest.raises(InputError, match="of 64 bricks cannot multiply 25 pairs of 3 bits"):
        products(machine, some, some, Precision(3, 3), (True, True))
    four = values(4, signed=True)
    found = products(machine, four, four, Precision(4, 4), (True, True))
    assert (found.outputs[:, :, 0, 0] == np.outer(four, four)).all()
