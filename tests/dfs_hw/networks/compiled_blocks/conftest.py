"""The kernels run in these tests, and in these alone: see the switch in `tests/conftest.py`."""

from collections.abc import Iterator

import pytest

from dfs_hw.networks.compiled_blocks import SWITCH


@pytest.fixture(scope="module", autouse=True)
def switched_on() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "on")
        yield
