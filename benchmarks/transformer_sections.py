"""What benchmarks/transformer.py measures: each section yields its cases, and what measures one."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

import neighbours
from alternating import in_turn, ratio, spread
from side_by_side import Processes
from ssamba.bench.case import Case
from ssamba.bench.isolation import measure, usable_bytes
from ssamba.bench.networks import HEADS
from ssamba.bench.workloads import make_work

OURS, SDPA, EXPLICIT = "ssamba", "SSAST sdpa", "SSAST explicit"
ALONE = "nothing"
LAYERS = 12  # of SSAST
Row = dict[str, Any]
Cases = Iterator[tuple[Row, Callable[[], Row]]]


@dataclass(frozen=True)
class Plan:
    """How much is measured; tokens include cls."""

    encode: Sequence[tuple[str, int]] = (*(("tiny", n) for n in (129, 513, 2049, 22529)), ("base", 513))
    explicit_from: int = 1 << 40  # tokens from which on explicit attention is timed too: none, at minutes a round
    train: Sequence[tuple[str, int, int]] = (("tiny", 8, 513), ("tiny", 1, 513))  # size, clips, tokens
    beside: tuple[str, int] = ("tiny", 513)  # what is encoded on a busy machine and in several processes
    processes: Sequence[int] = (1, 2, 4)
    memory: Sequence[tuple[str, int]] = tuple((size, n) for size in ("tiny", "base") for n in (513, 2049, 22529))
    memory_parts: Sequence[str] = ("encoder", "pretraining")
    threads: Sequence[int] = (2, 1)  # the first of them where there is no choice
    seconds: float = 20.0  # for all rounds of a case
    least: int = 3  # rounds of a case, if they take longer
    longest: float = 1800.0  # seconds for one measurement of memory


REHEARSAL = Plan(
    encode=[("tiny", 17)],
    explicit_from=17,
    train=[("tiny", 1, 17)],
    beside=("tiny", 17),
    processes=[1],
    memory=[("tiny", 17)],
    memory_parts=["pretraining"],
    threads=[1],
    seconds=0.0,
    least=1,
)


def encode(plan: Plan) -> Cases:
    for threads in plan.threads:
        for size, tokens in plan.encode:
            case = {"size": size, "tokens": tokens, "threads": threads}
            yield case, partial(_alternating, plan, "encoder", size, 1, tokens, threads)


def train(plan: Plan) -> Cases:
    threads = plan.threads[0]
    for size, clips, tokens in plan.train:
        case = {"size": size, "clips": clips, "tokens": tokens, "threads": threads}
        yield case, partial(_alternating, plan, "pretraining", size, clips, tokens, threads)


def _alternating(plan: Plan, part: str, size: str, clips: int, tokens: int, threads: int) -> Row:
    torch.set_num_threads(threads)
    providers = [OURS, SDPA, *([EXPLICIT] if part == "encoder" and tokens >= plan.explicit_from else [])]
    cases = {provider: Case(part, provider, size, tokens, clips) for provider in providers}
    hopeless = {provider: why for provider, case in cases.items() if (why := too_much(case))}
    calls = {provider: make_work(case).run for provider, case in cases.items() if provider not in hopeless}
    times = in_turn(calls, plan.seconds, plan.least)
    del calls
    gc.collect()  # an optimiser and its model hold each other
    return {
        "seconds": {provider: spread(values) for provider, values in times.items()},
        "ratio": {provider: ratio(times[OURS], values) for provider, values in times.items() if provider != OURS},
        **({"not_run": hopeless} if hopeless else {}),
    }


def busy(plan: Plan) -> Cases:
    (size, tokens), threads = plan.beside, plan.threads[0]
    yield {"size": size, "tokens": tokens, "threads": threads}, partial(_busy, plan, size, tokens, threads)


def _busy(plan: Plan, size: str, tokens: int, threads: int) -> Row:
    """The three conditions in turn too, so that each has its part of a quiet and of a slow hour."""
    torch.set_num_threads(threads)
    calls = {provider: make_work(Case("encoder", provider, size, tokens)).run for provider in (OURS, SDPA)}
    conditions = (ALONE, neighbours.SPINNING, neighbours.MULTIPLYING)
    times = {condition: {provider: [] for provider in calls} for condition in conditions}
    for _ in range(plan.least):
        for condition in conditions:
            with nullcontext() if condition == ALONE else neighbours.beside(neighbours.jobs(condition)):
                found = in_turn(calls, plan.seconds / plan.least, plan.least)
            for provider, values in found.items():
                times[condition][provider] += values
    medians = {
        condition: {provider: spread(values) for provider, values in of.items()} for condition, of in times.items()
    }
    slowdown = {
        condition: {provider: of[provider]["median"] / medians[ALONE][provider]["median"] for provider in calls}
        for condition, of in medians.items()
        if condition != ALONE
    }
    return {"seconds": medians, "slowdown": slowdown, "cores": len(neighbours.cores())}


def processes(plan: Plan) -> Cases:
    size, tokens = plan.beside
    for count in plan.processes:
        for threads in ("default", "1"):
            case = {"size": size, "tokens": tokens, "processes": count, "omp_num_threads": threads}
            yield case, partial(_processes, plan, count, threads, size, tokens)


def _processes(plan: Plan, count: int, threads: str, size: str, tokens: int) -> Row:
    rates: dict[str, list[float]] = {OURS: [], SDPA: []}
    with Processes(count, threads, list(rates), size, tokens) as together:
        for _ in range(plan.least):
            for provider, found in rates.items():
                found.append(together.clips_a_second(provider, plan.seconds / plan.least / len(rates)))
    return {
        "threads_each": together.threads,
        "clips_a_second": {provider: spread(values) for provider, values in rates.items()},
        "ratio": {SDPA: ratio(rates[OURS], rates[SDPA])},
    }


def memory(plan: Plan) -> Cases:
    threads = plan.threads[0]
    for part in plan.memory_parts:
        for size, tokens in plan.memory:
            for provider in (OURS, SDPA, EXPLICIT):
                case = {"part": part, "size": size, "tokens": tokens, "provider": provider, "threads": threads}
                yield case, partial(_memory, plan, Case(part, provider, size, tokens), threads)


def _memory(plan: Plan, case: Case, threads: int) -> Row:
    if why := too_much(case):
        return {"status": "not run", "why": why}
    found = measure(case, threads, plan.longest)
    return {name: found[name] for name in ("status", "peak_bytes", "why") if name in found}


def too_much(case: Case) -> str | None:
    """Why a case with explicit attention is not begun: its attention maps alone would not fit into what is free."""
    if case.provider != EXPLICIT:
        return None
    # Scores and shares of one layer stand side by side; training keeps the shares of every layer.
    maps = 2 if case.part == "encoder" else 2 + LAYERS
    needed, usable = maps * case.batch * HEADS[case.width] * case.tokens**2 * 4, usable_bytes()
    if usable is None or needed <= usable:
        return None
    return f"needs about {needed / 2**30:.0f} GiB, of which {usable / 2**30:.0f} may be taken"


SECTIONS: dict[str, Callable[[Plan], Cases]] = {
    "encode": encode,
    "train": train,
    "busy": busy,
    "processes": processes,
    "memory": memory,
}
