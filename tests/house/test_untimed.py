"""No test fails because the machine is busy."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=1)
@given(st.just(0.3))
def test_an_example_may_take_longer_than_hypothesis_allows_by_default(seconds: float) -> None:
    time.sleep(seconds)
