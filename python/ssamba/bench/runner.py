"""All cases of a plan, one after the other, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from .case import Case
from .isolation import measure

Row = dict[str, Any]
SAME = ("part", "provider", "size", "batch", "dtype", "detail", "device")  # in cases that differ by tokens
START = 3.0  # seconds that starting a process may take beside the rounds


def run_cases(
    cases: Iterable[Case], threads: int, budget: float, longest: float, isa: str | None = None
) -> Iterator[Row]:
    """Rows of `results` as they come, each case at most `longest` seconds, all of them about `budget`.

    A case that is not started says so, and why: no time left, or from the same provider's shorter input it is clear
    that it would not fit, in time (growing with the square of the tokens) or in memory.
    """
    end = time.monotonic() + budget
    rows: list[Row] = []
    for case in cases:
        left = min(longest, end - time.monotonic())
        why = _hopeless(case, rows, left)
        if why is None:
            row = measure(case, threads, left + START, isa)
        else:
            row = {**case.to_dict(), "group": case.group, "threads": case.threads or threads, **why}
        rows.append(row)
        yield row


def _hopeless(case: Case, rows: list[Row], left: float) -> Row | None:
    """Status and reason if there is no point in starting."""
    if left <= 0:
        return {"status": "not run", "why": "the time budget is used up"}
    alike = [
        row for row in rows if all(row[name] == getattr(case, name) for name in SAME) and row["tokens"] < case.tokens
    ]
    for row in reversed(alike):
        if row["status"] == "ok":
            expected = row["slowest"] * (case.tokens / row["tokens"]) ** 2
            linear = case.provider.startswith(("ssamba", "published"))
            expected /= case.tokens / row["tokens"] if linear else 1
            if expected > left:
                return {
                    "status": "not run",
                    "why": f"would take about {expected:.0f} s, {left:.0f} s are left for it",
                }
            return None
        if row["status"] in ("out of memory", "too slow", "not installed"):
            return {"status": row["status"], "why": f"as on {row['tokens']} tokens"}
    return None


def in_words(row: Row) -> str:
    if row["status"] == "ok":
        memory = f", {row['peak_bytes'] / 2**20:.0f} MiB" if "peak_bytes" in row else ""
        figures = f"{row['seconds'] * 1e3:.4g} ms{memory}"
    else:
        figures = f"{row['status']} ({row['why']})"
    return f"{row['group']}, {row['provider']}: {figures}"
