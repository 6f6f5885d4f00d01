"""Single operations at 45 nm: which figures were checked, and what is refused."""

import pytest

from accel_models import InputError
from accel_models.energy.array import integer_op


def test_integer_operations_say_what_was_checked() -> None:
    """Horowitz, ISSCC 2014: 32-bit add 0.1 pJ and multiply 3.1 pJ are reprinted in PMC8934428."""
    add, multiply = integer_op("add", 32), integer_op("multiply", 32)
    assert (add.pj, multiply.pj) == (0.1, 3.1)
    assert {add.status, multiply.status} == {"published"}
    narrow = integer_op("multiply", 8)
    assert narrow.status == narrow.area_status == add.area_status == "assumed"
    assert multiply.pj / narrow.pj == pytest.approx((32 / 8) ** 2, rel=0.05)  # grows as the square
    with pytest.raises(InputError, match=r"16-bit integer multiply: known are 8-bit add, .*32-bit"):
        integer_op("multiply", 16)
