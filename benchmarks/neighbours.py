"""Other programs that keep a machine busy while something is measured on it.

python benchmarks/neighbours.py spin 0       # a loop on core 0, until the program that started it is gone
python benchmarks/neighbours.py multiply 2   # products of matrices on two threads
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SPINNING = "a busy process on each core"
MULTIPLYING = "a torch process of two threads"


def cores() -> list[int]:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def jobs(name: str) -> list[tuple[str, str]]:
    """The programs of a neighbourhood."""
    return {SPINNING: [("spin", str(core)) for core in cores()], MULTIPLYING: [("multiply", "2")]}[name]


@contextmanager
def beside(programs: list[tuple[str, str]]) -> Iterator[None]:
    """All of them at work when the block begins, and gone after it."""
    command = [sys.executable, __file__]
    started = [subprocess.Popen([*command, *program], stdout=subprocess.PIPE) for program in programs]
    try:
        for program, process in zip(programs, started, strict=True):
            if not process.stdout.readline():
                failed = " ".join([*command, *program])
                raise ChildProcessError(f"{failed} ended before it was at work; run it to see why")
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


def spin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    _work(lambda: sum(range(1_000_000)))


def multiply(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    matrix = torch.randn(1024, 1024)
    _work(lambda: matrix @ matrix)


def _work(step: Callable[[], object]) -> None:
    """Never ends by itself, but outlives nobody."""
    parent = os.getppid()
    step()
    print("at work", flush=True)
    while os.getppid() == parent:
        step()


if __name__ == "__main__":
    {"spin": spin, "multiply": multiply}[sys.argv[1]](int(sys.argv[2]))
