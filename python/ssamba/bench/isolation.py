"""One case in a process of its own: time, memory as the operating system counts it, and what went wrong."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..inference.memory import keep_freed_memory
from .case import Case
from .peers.registry import absent, written_for

ROUNDS, SECONDS = 15, 1.5  # of a case: as many rounds as fit, at least one
COLD = 15.0  # seconds of the first round from which on it is the only one
MEMORY_SHARE = 0.7  # of what is free may be used; beyond, an allocation fails and nothing else suffers
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["ssamba.bench.workloads"])


def measure(case: Case, threads: int, limit: float, isa: str | None = None) -> dict[str, Any]:
    """The row of a case: status "ok" with figures, or "out of memory", "not installed", "too slow" or "failed".

    `limit` is in seconds; `isa` the instruction set of our kernels on the CPU, the best that runs here if None.
    """
    threads = case.threads or threads
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_measured, args=(theirs, case, threads, isa))
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(limit) else {"status": "too slow", "why": f"not done in {limit:.0f} s"}
    except EOFError:
        process.join()
        killed = process.exitcode == -9  # what the kernel does when memory runs out
        why = f"the process ended with code {process.exitcode}{written_for(case.provider)}"
        found = {"status": "out of memory" if killed else "failed", "why": why}
    finally:
        if process.is_alive() and not ours.poll(0):
            process.kill()
        process.join()
        ours.close()
    return {**case.to_dict(), "group": case.group, "threads": threads, **found}


def _measured(results: Connection, case: Case, threads: int, isa: str | None) -> None:
    import torch

    from ssamba_ops import cpu_isa, current_cpu_isa

    keep_freed_memory()  # for every provider alike
    torch.set_num_threads(threads)
    on_gpu = case.device != "cpu"
    if not on_gpu:  # a GPU's driver maps more than there is
        _limit_memory()
    try:
        with cpu_isa(isa or current_cpu_isa()):
            found = {"status": "ok", **_figures(case, torch.cuda.synchronize if on_gpu else lambda: None)}
    except ImportError as error:
        found = {"status": "not installed", "why": absent(error)}
    except MemoryError as error:
        found = {"status": "out of memory", "why": str(error)}
    except RuntimeError as error:
        full = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        status = "out of memory" if full else "failed"
        found = {"status": status, "why": str(error).splitlines()[0]}
    results.send(found)
    results.close()


def _figures(case: Case, finish: Callable[[], None]) -> dict[str, Any]:
    from .workloads import add_floor, make_work

    before = peak_bytes(case.device)
    work = make_work(case)
    with work.resources:
        times = [_timed(work.run, finish)]
        if times[0] < COLD:  # the first round warmed up
            rounds = max(1, min(ROUNDS, int(SECONDS / times[0])))
            times = [_timed(work.run, finish) for _ in range(rounds)]
        peak = peak_bytes(case.device) - before
        try:
            add_floor(case, work)
        except (OSError, subprocess.SubprocessError) as error:  # no compiler, or one that fails
            work.notes["no_floor"] = str(error)
    figures = {"seconds": statistics.median(times), "slowest": max(times), "rounds": len(times)}
    figures |= {"peak_bytes": peak} if work.memory else {}
    return {**figures, **({"floor": work.floor} if work.floor else {}), **work.notes}


def _timed(run: Callable[[], Any], finish: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    finish()
    return time.perf_counter() - start


def peak_bytes(device: str) -> int:
    """Most memory that this process has held at once: as the operating system counts it, on a GPU as torch does."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def usable_bytes() -> int | None:
    """Memory that a case may take now; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    return int(MEMORY_SHARE * 1024 * int(fields["MemAvailable"].split()[0]))


def _limit_memory() -> None:
    usable = usable_bytes()
    if usable is None:
        return
    mapped = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (mapped + usable, mapped + usable))
