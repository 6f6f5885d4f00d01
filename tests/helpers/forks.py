"""Processes forked from one that has imported, once, what takes seconds to import."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("dfs_hw.experiment", "dfs_hw.report", "dfs_hw.codesign", "dfs_hw.cli.training"),
        *("torch._dynamo", "torch.export", "sklearn.datasets", "sklearn.model_selection", "numba"),
    ]
)


def answer_of(run: Callable[..., Any], *given: Any) -> Any:
    """What a function returns in a process of its own."""
    answers, answer = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_answer, args=(answer, run, given))
    process.start()
    answer.close()
    found = answers.recv()
    process.join()
    assert process.exitcode == 0
    return found


def _answer(answer: Connection, run: Callable[..., Any], given: tuple[Any, ...]) -> None:
    answer.send(run(*given))


def side_by_side(run: Callable[..., object], *given: Any, ranks: int = 2) -> None:
    """Run a function in several processes that find each other as those of ``torchrun`` do."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    processes = [
        FORKS.Process(target=_as_rank, args=(rank, shared, run, given)) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * ranks


def _as_rank(
    rank: int, shared: dict[str, str], run: Callable[..., object], given: tuple[Any, ...]
) -> None:
    os.environ.update(shared, RANK=str(rank), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    run(*given)
