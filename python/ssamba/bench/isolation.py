"""One case in a process of its own: time, memory as the operating system counts it, and what went wrong."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .case import Case

ROUNDS, SECONDS = 15, 1.5  # of a case: as many rounds as fit
MEMORY_SHARE = 0.9  # of what is free may be used; beyond, an allocation fails and nothing else suffers
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["ssamba.bench.workloads"])


def measure(case: Case, threads: int, limit: float) -> dict[str, Any]:
    """The row of a case: status "ok" with figures, or "out of memory", "not installed", "too slow" or "failed"."""
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_measured, args=(theirs, case, threads))
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(limit) else {"status": "too slow", "why": f"not done in {limit:.0f} s"}
    except EOFError:
        process.join()
        killed = process.exitcode == -9  # what the kernel does when memory runs out
        why = f"the process ended with code {process.exitcode}"
        found = {"status": "out of memory" if killed else "failed", "why": why}
    finally:
        if process.is_alive() and not ours.poll(0):
            process.kill()
        process.join()
        ours.close()
    return {**case.to_dict(), "group": case.group, "threads": threads, **found}


def _measured(results: Connection, case: Case, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    _limit_memory()
    try:
        found = {"status": "ok", **_figures(case)}
    except ImportError as error:
        found = {"status": "not installed", "why": str(error)}
    except MemoryError as error:
        found = {"status": "out of memory", "why": str(error)}
    except RuntimeError as error:
        status = "out of memory" if "can't allocate memory" in str(error) else "failed"
        found = {"status": status, "why": str(error).splitlines()[0]}
    results.send(found)
    results.close()


def _figures(case: Case) -> dict[str, Any]:
    from .workloads import add_floor, make_work

    before = peak_bytes()
    work = make_work(case)
    with work.resources:
        times = [_timed(work.run)]
        if times[0] < SECONDS:  # the first round warmed up
            rounds = max(1, min(ROUNDS, int(SECONDS / times[0])))
            times = [_timed(work.run) for _ in range(rounds)]
        peak = peak_bytes() - before
        try:
            add_floor(case, work)
        except (OSError, ValueError) as error:  # no compiler
            work.notes["floor"] = f"not measured: {error}"
    figures = {"seconds": statistics.median(times), "slowest": max(times), "rounds": len(times), "peak_bytes": peak}
    return {**figures, **({"floor": work.floor} if work.floor else {}), **work.notes}


def _timed(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_bytes() -> int:
    """Most memory that this process has held at once, as the operating system counts it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _limit_memory() -> None:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free = 1024 * int(fields["MemAvailable"].split()[0])
    mapped = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
    limit = mapped + int(MEMORY_SHARE * free)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
