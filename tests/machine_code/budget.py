"""The budget of every kernel: reading, comparing, updating.

    {"nvcc": "13.0.88",
     "exceptions": [{"rule": "calls", "kernels": "regular expression", "architectures": "sm_.*", "reason": "..."}],
     "sm_90": {"kernel": {"instructions": 1559, "loop": 948, ..., "reason": "..."}}}

A kernel has a line of the file. Its "reason" says why a number was last allowed to grow.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from rules import Breach

EXACT = ("local", "calls", "atomics", "barriers", "exponentials", "shuffles")
TOLERANCE = 0.02  # of other numbers: a compiler's choice of one instruction or two
SLACK = 0.05  # by which a number may be below its budget before that is said


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, budget: dict) -> None:
    parts = []
    for key, value in budget.items():
        if isinstance(value, dict):
            lines = [f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(value.items())]
            parts.append(f"  {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n  }")
        elif isinstance(value, list):
            lines = [f"    {json.dumps(entry)}" for entry in value]
            parts.append(
                f"  {json.dumps(key)}: [\n" + ",\n".join(lines) + "\n  ]" if lines else f"  {json.dumps(key)}: []"
            )
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def numbers(entry: dict) -> dict[str, int]:
    return {key: value for key, value in entry.items() if key != "reason"}


def above(key: str, found: int, allowed: int) -> bool:
    return found > (allowed if key in EXACT else allowed * (1 + TOLERANCE))


def grown(entry: dict, found: dict[str, int]) -> list[str]:
    """The numbers that are above an entry, tolerance included."""
    allowed = numbers(entry)
    return [key for key, number in found.items() if above(key, number, allowed.get(key, 0))]


def compare(budget: dict, architecture: str, found: dict[str, dict[str, int]]) -> tuple[list[str], list[str]]:
    """What fails, and what is only said, of one architecture's kernels."""
    if architecture not in budget:
        return [], [f"{architecture} has no budget: only the rules were judged; --update adds it"]
    failures, notes = [], []
    entries = budget[architecture]
    for name, counted in found.items():
        if name not in entries:
            failures.append(f"{architecture}: {name} has no budget: add it with --update --reason TEXT")
            continue
        allowed = numbers(entries[name])
        for key in grown(entries[name], counted):
            failures.append(
                f"{architecture}: {name} has {key} {counted[key]}, its budget is {allowed.get(key, 0)}: "
                "if that is meant, run with --update --reason TEXT, which says why in the entry"
            )
        for key, number in allowed.items():
            if counted.get(key, 0) < number * (1 - SLACK):
                notes.append(
                    f"{architecture}: {name} has {key} {counted.get(key, 0)}, its budget is {number}: "
                    "tighten it with --update"
                )
    notes += [f"{architecture}: {name} is no longer built: --update drops it" for name in entries if name not in found]
    return failures, notes


def update(budget: dict, architecture: str, found: dict[str, dict[str, int]], reason: str | None) -> list[str]:
    """Takes over what was found. Without a reason nothing may grow: it says what would, and changes nothing."""
    if architecture not in budget:
        budget[architecture] = found
        return []
    known = budget[architecture]
    more = {name: grown(known.get(name, {}), counted) for name, counted in found.items()}
    if not reason and any(more.values()):
        return [f"{architecture}: {name} would grow in {', '.join(keys)}" for name, keys in more.items() if keys]
    budget[architecture] = {}
    for name, counted in found.items():
        why = reason if more[name] else known.get(name, {}).get("reason")
        budget[architecture][name] = {**counted, **({"reason": why} if why else {})}
    return []


def pardoned(budget: dict, breach: Breach) -> bool:
    """Whether an exception says why a kernel may break a rule."""
    return any(
        exception["rule"] == breach.rule
        and exception["reason"].strip()
        and re.fullmatch(exception["kernels"], breach.kernel)
        and re.fullmatch(exception["architectures"], breach.architecture)
        for exception in budget["exceptions"]
    )


def unused(budget: dict, breaches: list[Breach], architectures: list[str]) -> list[str]:
    """Exceptions that no kernel of these architectures needs any more."""
    return [
        f"no kernel breaks the rule '{exception['rule']}' as {exception['kernels']} was allowed to: drop the exception"
        for exception in budget["exceptions"]
        if any(re.fullmatch(exception["architectures"], one) for one in architectures)
        and not any(pardoned({"exceptions": [exception]}, breach) for breach in breaches)
    ]
