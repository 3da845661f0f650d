"""How a call is timed on a GPU: pairs of events after a warm-up, the second-level cache cleared before each round.

On the CPU, where only rehearsals run, by the clock.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

import torch

WARMUP, ROUNDS = 3, 20


@dataclasses.dataclass(frozen=True)
class Timing:
    median_ms: float
    peak_bytes: int  # that the call allocates beyond what was there before it


def time_on(device: str, call: Callable[[], object]) -> Timing:
    for _ in range(WARMUP):
        call()
    return _by_events(call) if device == "cuda" else _by_the_clock(call)


def _by_the_clock(call: Callable[[], object]) -> Timing:
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return Timing(1e3 * statistics.median(seconds), 0)


def _by_events(call: Callable[[], object]) -> Timing:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before

    cache = torch.empty(2 * torch.cuda.get_device_properties().L2_cache_size, dtype=torch.uint8, device="cuda")
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(ROUNDS)]
    for begin, end in events:
        cache.zero_()
        begin.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return Timing(statistics.median(begin.elapsed_time(end) for begin, end in events), peak)
