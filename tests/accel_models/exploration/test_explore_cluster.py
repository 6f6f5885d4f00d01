"""A real Dask cluster of processes, of which workers are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import explored
import pytest
from distributed import Client, LocalCluster
from places import HELPERS

pytestmark = pytest.mark.slow

UNREACHABLE = """
import sys
from pathlib import Path
import explored
from accel_models import InputError
for address in sys.argv[2:]:
    try:
        explored.run(Path(sys.argv[1]), "nsga2", dask=address)
    except InputError as error:
        print(error)
"""
"""In a process of its own: a client that never connected would complain at its end."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as running:
        yield running


@pytest.mark.parametrize("sampler", ["nsga2", "sweep"])
def test_a_cluster_finds_what_one_process_does(
    cluster: LocalCluster, tmp_path: Path, sampler: str
) -> None:
    here = explored.run(tmp_path / "here", sampler)
    there = explored.run(tmp_path / "there", sampler, dask=cluster.scheduler_address)
    assert there.trials.table.equals(here.trials.table)


def test_a_worker_killed_at_work_costs_only_what_it_was_at(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """The sweep ends, with the same trials; its worker was there, and another took its place."""
    here = explored.run(tmp_path / "here", "nsga2", trials=80)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        before = client.run(os.getpid)
        killed: list[int] = []

        def kill() -> None:
            """One worker, as soon as it is at work on a trial."""
            while not killed:
                for address, keys in client.processing().items():
                    if any(key.startswith("_apply") for key in keys):
                        killed.append(before[address])
                        os.kill(before[address], signal.SIGKILL)
                        return
                time.sleep(0.001)

        killer = threading.Thread(target=kill)
        killer.start()
        there = explored.run(tmp_path / "there", "nsga2", trials=80, dask=cluster.scheduler_address)
        killer.join()
        client.wait_for_workers(2, timeout=30)
        assert killed[0] not in client.run(os.getpid).values()
    assert there.trials.table.equals(here.trials.table)


def test_a_scheduler_that_does_not_answer_is_named_before_any_work(tmp_path: Path) -> None:
    """Nobody there, no such place, no such protocol, and a page such as the cluster's dashboard."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        other = f"tcp://127.0.0.1:{page.server_port}"
        addresses = ("tcp://127.0.0.1:9", "nowhere", "pigeon://127.0.0.1:9", other)
        done = subprocess.run(
            [sys.executable, "-c", UNREACHABLE, str(tmp_path / "out"), *addresses],
            cwd=HELPERS,
            capture_output=True,
            text=True,
            check=True,
        )
        page.shutdown()
    said = [f"no Dask scheduler answers at {address}" for address in addresses]
    assert done.stdout.splitlines() == said
    assert "Error" not in done.stderr
    assert not (tmp_path / "out").exists()
