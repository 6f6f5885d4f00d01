"""Where chunks are worked on: here, on all local cores, or on a Dask cluster.

Every executor gives the same results for the same chunks; they differ in what they wait for.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from itertools import islice
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread
from typing import Any, Protocol, TypeVar

from accel_models.accelerators.plugins import carried
from accel_models.costs.table_cache import loaded_digest
from accel_models.errors import DfsHwError, InputError, reason_of

Item = TypeVar("Item")
Done = Iterator[tuple[int, Any]]
"""Pairs (number of the item, result), as they come."""
AHEAD = 2
"""Chunks handed out for each worker, so that none waits for the next."""
RESTARTS = 3
"""How often worker processes are started again after one died."""
TIMEOUT_S = 5


class Executor(Protocol):
    """Somewhere that a function can be called on many items."""

    @property
    def workers(self) -> int:
        """How many items are worked on at a time."""

    def each(self, items: Iterable[tuple[int, Item]]) -> Done:
        """Call the function on numbered items; results come in any order."""

    def close(self) -> None:
        """Let go of all workers."""


class Serial:
    """Executor that works in this process."""

    workers = 1

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def each(self, items: Iterable[tuple[int, Item]]) -> Done:
        """Call the function on numbered items; results come in order."""
        for number, item in items:
            yield number, self._function(item)

    def close(self) -> None:
        """Let go of nothing: this process stays."""
        pass


class Processes:
    """Processes of this machine. If one dies, what it was at is done again, and nothing else."""

    def __init__(self, function: Callable[[Any], Any], workers: int) -> None:
        _leave_if_run_again()
        self.workers = workers
        self._function = function
        # What a script defines can only come from the script, run again in every process.
        self._needs_main = b"__main__" in pickle.dumps(function)
        self._pool = self._started()

    def each(self, items: Iterable[tuple[int, Item]]) -> Done:
        """Call the function on numbered items; results come as they are done.

        Raises:
            DfsHwError: if workers keep dying.
        """
        source, restarts = iter(items), 0
        running: dict[Future[Any], tuple[int, Any]] = {}
        while True:
            try:
                for number, item in islice(source, max(0, AHEAD * self.workers - len(running))):
                    running[self._pool.submit(_call, item)] = (number, item)
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    yield running.pop(future)[0], result
            except BrokenProcessPool as error:
                restarts += 1
                if restarts > RESTARTS:
                    raise DfsHwError(
                        f"worker processes died {restarts} times: {self._likely_reason}"
                    ) from error
                running = self._again(running)

    def close(self) -> None:
        """Let go of the processes."""
        self._pool.shutdown(cancel_futures=True)

    def _again(self, running: dict[Future[Any], tuple[int, Any]]) -> dict[Future[Any], Any]:
        lost = list(running.values())
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._started()
        return {self._pool.submit(_call, item): (number, item) for number, item in lost}

    @property
    def _likely_reason(self) -> str:
        if not self._needs_main:
            return "is there enough memory?"
        return (
            "they run the script again for what it defines, so what starts the exploration stands "
            "under if __name__ == '__main__'; or is there not enough memory?"
        )

    def _started(self) -> ProcessPoolExecutor:
        # Not forked: a fork of a process with threads, as BLAS has, may wait for ever.
        context = get_context("spawn") if self._needs_main else _Apart()
        return ProcessPoolExecutor(
            self.workers, context, initializer=_begin, initargs=(self._function,)
        )


class _ApartProcess(SpawnProcess):
    """A process that does not run the script again that it is started from: scripts without a guard
    would start processes of their own, and what came from standard input cannot be read again."""

    def start(self) -> None:
        main = sys.modules["__main__"]
        hidden = {name: main.__dict__.pop(name, None) for name in ("__file__", "__spec__")}
        main.__spec__ = None
        try:
            super().start()
        finally:
            main.__dict__.update({name: value for name, value in hidden.items() if value})


class _Apart(SpawnContext):
    Process = _ApartProcess


class Dask:
    """Workers of a Dask cluster. What a lost worker was at is done again by another.

    Workers run what they are sent, and this process unpickles what they send back. Where others
    reach the network, an address of ``tls://`` keeps them out, by the certificates that Dask's
    configuration names under ``distributed.comm.tls``.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises:
        InputError: if Dask is not installed, no scheduler answers, certificates are missing, or its
            workers run another version of the model.
    """

    def __init__(self, function: Callable[[Any], Any], address: str) -> None:
        distributed = _distributed()
        security = _certificates(distributed, address)
        try:
            asyncio.run(_reached(distributed, address, security))
            self._client = distributed.Client(
                address, timeout=TIMEOUT_S, security=security, set_as_default=False
            )
        # A timeout is an OSError; another service's answer reads like a message of exabytes.
        except (OSError, ValueError, MemoryError) as error:
            raise InputError(f"no Dask scheduler answers at {address}") from error
        except RuntimeError as error:  # Dask's configuration may allow no address but of tls://
            raise InputError(f"Dask does not connect: {reason_of(error)}") from error
        self._distributed = distributed
        digests = set(self._client.run(loaded_digest).values())
        if digests - {loaded_digest()}:
            self._client.close()
            raise InputError(f"workers of {address} run another version of the model than this")
        # A task, and no scattered data: what a lost worker held of it can be made again.
        self._function = self._client.submit(_same, function, pure=False)

    @property
    def workers(self) -> int:
        return max(1, sum(self._client.nthreads().values()))

    def each(self, items: Iterable[tuple[int, Item]]) -> Done:
        """Call the function on numbered items; results come as they are done.

        Raises:
            DfsHwError: if workers keep dying.
        """
        source = iter(items)
        running: dict[str, int] = {}
        finished = self._distributed.as_completed(loop=self._client.loop)
        while True:
            for number, item in islice(source, max(0, AHEAD * self.workers - len(running))):
                future = self._client.submit(_apply, self._function, item, pure=False)
                running[future.key] = number
                finished.add(future)
            if not running:
                return
            future = next(finished)
            try:
                result = future.result()
            except self._distributed.scheduler.KilledWorker as error:
                raise DfsHwError(
                    "one chunk after another took its worker with it: is there enough memory?"
                ) from error
            yield running.pop(future.key), result

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        self._client.close()


def executor(function: Callable[[Any], Any], workers: int, dask: str = "") -> Executor:
    """Executor that a function is to be called by. Workers know the families that are known here.

    Args:
        workers: processes of this machine; 1 is this one.
        dask: address of a Dask scheduler, which then takes all of it.

    Raises:
        InputError: if there is no such scheduler.
    """
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if dask:
        return Dask(carried(function), dask)
    return Serial(function) if workers == 1 else Processes(carried(function), workers)


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise InputError(
            "a Dask cluster needs the package distributed: pip install 'dfs-hw[cluster]'"
        ) from error


def _certificates(distributed: Any, address: str) -> Any:
    """What Dask's configuration says of a client's certificates; they are read here once, so that
    a missing file is told from a scheduler that does not answer."""
    try:
        security = distributed.Security()
        context = security.get_connection_args("client").get("ssl_context")
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"certificates that Dask's configuration names under distributed.comm.tls cannot be "
            f"used: {reason_of(error)}"
        ) from error
    if address.startswith("tls://") and context is None:
        raise InputError(
            f"{address} asks for certificates: Dask's configuration must name them, as "
            "distributed.comm.tls.ca-file, .client.cert and .client.key"
        )
    return security


async def _reached(distributed: Any, address: str, security: Any) -> None:
    """Connect and hang up: a client that cannot connect would complain again as it is deleted, and
    wait for ever for the greeting of another service."""
    arguments = security.get_connection_args("client")
    connecting = distributed.core.connect(address, timeout=TIMEOUT_S, **arguments)
    connection = await asyncio.wait_for(connecting, TIMEOUT_S)
    await connection.close()


def _leave_if_run_again() -> None:
    """End a worker process that runs its parent's script and has come to the exploration in it, in
    silence: the parent says what is wrong."""
    if getattr(current_process(), "_inheriting", False):
        os._exit(1)


_function: Callable[[Any], Any] | None = None
"""Function of a worker process, sent to it once."""


def _begin(function: Callable[[Any], Any]) -> None:
    """Set up a worker process, which leaves it to its parent to hear Ctrl-C, and dies with it."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    assert _function is not None  # set by `_begin`
    return _function(item)


def _same(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return function


def _apply(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)
