"""Several processes at once, each encoding clip after clip: how many clips a second in all?"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

_spawned = multiprocessing.get_context("spawn")  # so that threads are as the environment of each says


class Processes:
    """So many processes, each with every provider's encoder, waiting to be told which one to run."""

    def __init__(self, count: int, threads: str, providers: Sequence[str], size: str, tokens: int) -> None:
        """threads: "default", or what OMP_NUM_THREADS is to be."""
        self._open = ExitStack()
        self._pipes: list[Connection] = []
        with self._open as opened, omp_threads(threads):
            for _ in range(count):
                ours, theirs = _spawned.Pipe()
                process = _spawned.Process(target=_encode, args=(theirs, list(providers), size, tokens), daemon=True)
                process.start()
                theirs.close()
                opened.callback(process.join)
                opened.callback(ours.close)  # which ends it
                self._pipes.append(ours)
            self.threads, *_ = [pipe.recv() for pipe in self._pipes]  # that each has, said when it is ready
            self._open = opened.pop_all()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def clips_a_second(self, provider: str, seconds: float) -> float:
        """Of all together, each encoding for so long."""
        for pipe in self._pipes:
            pipe.send((provider, seconds))
        return sum(pipe.recv() for pipe in self._pipes)


@contextmanager
def omp_threads(threads: str) -> Iterator[None]:
    """What a process that is started here finds in OMP_NUM_THREADS: nothing if "default"."""
    before = os.environ.pop("OMP_NUM_THREADS", None)
    if threads != "default":
        os.environ["OMP_NUM_THREADS"] = threads
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS", None)
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _encode(orders: Connection, providers: list[str], size: str, tokens: int) -> None:
    import torch

    from ssamba.bench.case import Case
    from ssamba.bench.workloads import make_work
    from ssamba.inference.memory import keep_freed_memory

    keep_freed_memory()
    calls = {provider: make_work(Case("encoder", provider, size, tokens)).run for provider in providers}
    for call in calls.values():
        call()
    orders.send(torch.get_num_threads())
    while True:
        try:
            provider, seconds = orders.recv()
        except EOFError:
            return
        clips, begin = 0, time.perf_counter()
        while not clips or time.perf_counter() < begin + seconds:
            calls[provider]()
            clips += 1
        orders.send(clips / (time.perf_counter() - begin))
