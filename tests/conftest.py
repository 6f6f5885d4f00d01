"""Tests keep their cost tables to themselves, hear Ctrl-C and take their time; blocks run layer by
layer; commands are run in this process."""

import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# By default an example may take 200 ms: a claim about how busy the machine is, not about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """A cache that goes with the tests, made before any test module computes a table on import."""
    # Threads that wait by spinning hold up those of other processes; PyTorch reads this once,
    # when it is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = tempfile.TemporaryDirectory(prefix="dfs-hw-cache-")
    os.environ["DFS_HW_CACHE"] = folder.name
    config.add_cleanup(folder.cleanup)
    # All must hold without the kernels; with them there are tests of their own.
    os.environ["DFS_HW_COMPILED_BLOCKS"] = "off"
    # A shell that runs the tests in the background has them ignore what some of them send.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with many slow tests come first, so that no process starts one when others end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: small networks are too small to share, and sums in another order are
    other sums."""
    import torch  # which most tests do without

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process, to save the imports: exit status, output and errors."""
    from dfs_hw.cli import main  # PyTorch with it

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dfs-hw", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def printed(ended: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """Run a command that must succeed; return what it prints."""

    def run(*words: str | Path) -> str:
        status, out, err = ended(*words)
        assert (status, err) == (0, "")
        return out

    return run


@pytest.fixture
def refused(ended: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """Run a command that must fail with one sentence; return the sentence."""

    def run(*words: str | Path) -> str:
        status, out, err = ended(*words)
        assert (status, out) == (2, "")
        (sentence,) = err.strip().splitlines()
        assert sentence.startswith("dfs-hw: ")
        return sentence

    return run


@pytest.fixture
def own_families() -> Iterator[None]:
    """Families and plugins that a test loads are forgotten at its end."""
    from accel_models.accelerators import plugins
    from accel_models.accelerators.arrays import FAMILIES

    known = dict(FAMILIES), dict(plugins._LOADED), set(sys.modules)
    yield
    for now, before in zip((FAMILIES, plugins._LOADED), known[:2], strict=True):
        now.clear()
        now.update(before)
    for name in set(sys.modules) - known[2]:
        if name.startswith("dfs_hw_plugin_"):
            del sys.modules[name]
