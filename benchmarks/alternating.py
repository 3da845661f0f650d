"""Things timed in turn, A B A B …, in one process: what slows the machine for a while slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Calls = Mapping[str, Callable[[], Any]]
Times = dict[str, list[float]]  # seconds of each call, one for each round
Spread = dict[str, Any]


def in_turn(calls: Calls, seconds: float, least: int, clock: Callable[[], float] = time.perf_counter) -> Times:
    """Calls all of `calls` round after round until `seconds` are over, at least `least` rounds after one to warm up."""

    def timed(call: Callable[[], Any]) -> float:
        begin = clock()
        call()
        return clock() - begin

    for call in calls.values():
        call()
    times: Times = {name: [] for name in calls}
    end, rounds = clock() + seconds, 0
    while rounds < least or clock() < end:
        for name, call in calls.items():
            times[name].append(timed(call))
        rounds += 1
    return times


def spread(values: Iterable[float]) -> Spread:
    """Median, quartiles and number of values."""
    values = list(values)
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values
    return {"median": statistics.median(values), "quartiles": [lower, upper], "rounds": len(values)}


def ratio(ones: Iterable[float], others: Iterable[float]) -> Spread:
    """Of what was measured in the same round."""
    return spread(one / other for one, other in zip(ones, others, strict=True))


def in_words(figures: Spread, digits: int = 2) -> str:
    """Such as 0.75 (0.74 to 0.78): the median and the quartiles."""
    lower, upper = figures["quartiles"]
    return f"{figures['median']:.{digits}f} ({lower:.{digits}f} to {upper:.{digits}f})"
