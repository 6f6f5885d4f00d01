"""A real Dask cluster of processes, of which workers are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dask
import explored
import pytest
from distributed import Client, LocalCluster, Security
from places import HELPERS

from accel_models import InputError
from accel_models.exploration import Exploration

pytestmark = pytest.mark.slow

UNREACHABLE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import explored
from accel_models import InputError

def said_of(address):
    try:
        explored.run(Path(sys.argv[1]), "nsga2", dask=address)
    except InputError as error:
        return error

with ThreadPoolExecutor() as waiting:  # all at once: each for five seconds
    for error in waiting.map(said_of, sys.argv[2:]):
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


def test_a_client_killed_and_started_again_goes_on(cluster: LocalCluster, tmp_path: Path) -> None:
    """It comes to the same trials, and leaves nothing at work on the cluster."""
    here = explored.run(tmp_path / "here", "nsga2")
    told = explored.kill_often(tmp_path / "there", "nsga2", cluster.scheduler_address)
    assert 0 < told < explored.TRIALS
    there = explored.run(tmp_path / "there", "nsga2", dask=cluster.scheduler_address)
    assert there.trials.table.equals(here.trials.table)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        assert not any(client.processing().values())


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    """A certificate that signs itself, with its key in the same file."""
    openssl = shutil.which("openssl") or pytest.skip("no openssl to make certificates with")
    key, both = tmp_path / "key.pem", tmp_path / "both.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=cluster"]
    made += ["-keyout", str(key), "-out", str(both)]
    subprocess.run([openssl, *made], check=True, capture_output=True)
    both.write_text(both.read_text() + key.read_text())
    return str(both)


def test_a_cluster_with_certificates_takes_only_who_has_one(
    certificate: str, tmp_path: Path
) -> None:
    ends = {f"tls_{end}_cert": certificate for end in ("client", "scheduler", "worker")}
    security = Security(tls_ca_file=certificate, require_encryption=True, **ends)
    how = {"processes": False, "dashboard_address": ":0", "protocol": "tls://"}

    def explored_with(out: str, **files: str) -> Exploration:
        comm = "distributed.comm.tls."
        with dask.config.set({comm + name.replace("__", "."): files[name] for name in files}):
            return explored.run(tmp_path / out, "random", trials=2, dask=address)

    with LocalCluster(1, threads_per_worker=1, security=security, **how) as running:
        address = running.scheduler_address
        assert address.startswith("tls://")
        with pytest.raises(InputError, match=r"tls://\S+ asks for certificates: Dask's conf"):
            explored_with("without")
        with pytest.raises(InputError, match=r"distributed.comm.tls cannot be used: No such file"):
            explored_with("absent", ca_file="nowhere.pem", client__cert=certificate)
        there = explored_with("there", ca_file=certificate, client__cert=certificate)
    here = explored.run(tmp_path / "here", "random", trials=2)
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
