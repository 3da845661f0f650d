"""The tables of benchmarks/transformer.py."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from alternating import in_words
from measured_on import heading
from transformer_sections import ALONE, EXPLICIT, OURS, SDPA

BEGIN, END = "<!-- transformer: begin (written by benchmarks/transformer.py) -->", "<!-- transformer: end -->"
Row = dict[str, Any]


def tables(results: dict[str, Any]) -> str:
    """A table for each section that has been measured."""
    parts = [
        f"{heading(results)}. Runs in turn, in float32: medians, and of a ratio, ours over SSAST's in the same round, "
        "the quartiles too. Tokens are patches and cls."
    ]
    for section, (title, table) in TABLES.items():
        rows = [row for row in results["rows"] if row["section"] == section]
        if rows:
            parts.append(f"**{title}**\n\n" + "\n".join(table(rows)))
    return "\n\n".join(parts)


def encoding(rows: list[Row]) -> list[str]:
    lines = header("what", "threads", ">ms", ">SSAST sdpa, ms", ">ratio", ">SSAST explicit, ms", ">ratio")
    for row in rows:
        what = f"{row['size']}, {row['tokens']:,} tokens"
        lines.append(cells(what, row["threads"], ms(row, OURS), *both(row, SDPA), *both(row, EXPLICIT)))
    return lines


def training(rows: list[Row]) -> list[str]:
    lines = header("what", "threads", ">ms", ">SSAST sdpa, ms", ">ratio")
    for row in rows:
        what = f"{row['size']}, {row['clips']} x {row['tokens']:,} tokens"
        lines.append(cells(what, row["threads"], ms(row, OURS), *both(row, SDPA)))
    return lines


def on_a_busy_machine(rows: list[Row]) -> list[str]:
    lines = header("beside", ">ms", ">of alone", ">SSAST sdpa, ms", ">of alone")
    for row in rows:
        for condition, of in row["seconds"].items():
            pairs = [(f"{1e3 * of[one]['median']:.4g}", slowdown(row, condition, one)) for one in of]
            lines.append(cells(condition, *itertools.chain(*pairs)))
    return lines


def several_processes(rows: list[Row]) -> list[str]:
    lines = header("processes", "threads each", ">clips a second", ">SSAST sdpa", ">ratio")
    for row in rows:
        rates = [f"{row['clips_a_second'][provider]['median']:.3g}" for provider in (OURS, SDPA)]
        threads = {"default": "", "1": ", OMP_NUM_THREADS=1"}[row["omp_num_threads"]]
        lines.append(cells(row["processes"], f"{row['threads_each']}{threads}", *rates, in_words(row["ratio"][SDPA])))
    return lines


def memory(rows: list[Row]) -> list[str]:
    lines = header("what", ">MiB", ">SSAST sdpa, MiB", ">SSAST explicit, MiB", ">beside sdpa", ">beside explicit")
    cases: dict[tuple, dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row["part"], row["size"], row["tokens"]), {})[row["provider"]] = row
    for (part, size, tokens), of in cases.items():
        verb = {"encoder": "encode", "pretraining": "train"}[part]
        found = [mebibytes(of.get(provider)) for provider in (OURS, SDPA, EXPLICIT)]
        lines.append(cells(f"{verb}, {size}, {tokens:,} tokens", *found, saved(of, SDPA), saved(of, EXPLICIT)))
    return lines


def slowdown(row: Row, condition: str, provider: str) -> str:
    return "" if condition == ALONE else f"{row['slowdown'][condition][provider]:.2f} ×"


def ms(row: Row, provider: str) -> str:
    return f"{1e3 * row['seconds'][provider]['median']:.4g}"


def both(row: Row, provider: str) -> tuple[str, str]:
    """Time, and ours over it."""
    if provider not in row["seconds"]:
        return row.get("not_run", {}).get(provider, ""), ""
    return ms(row, provider), in_words(row["ratio"][provider])


def mebibytes(row: Row | None) -> str:
    if row is None:
        return ""
    if row["status"] == "ok":
        return f"{row['peak_bytes'] / 2**20:,.0f}"
    return row["status"] if row["status"] == "out of memory" else f"{row['status']} ({row['why']})"


def saved(of: dict[str, Row], provider: str) -> str:
    """Such as 98.1% less, which is what we take."""
    ours, theirs = of.get(OURS, {}), of.get(provider, {})
    if not ours.get("status") == theirs.get("status") == "ok":
        return ""
    less = 1 - ours["peak_bytes"] / theirs["peak_bytes"]
    return f"{abs(less):.1%} {'less' if less >= 0 else 'more'}"


def header(*names: str) -> list[str]:
    """Columns whose name begins with > hold numbers."""
    return [cells(*(name.lstrip(">") for name in names)), cells(*("--:" if n[0] == ">" else "---" for n in names))]


def cells(*values: Any) -> str:
    return f"| {' | '.join(map(str, values))} |"


TABLES: dict[str, tuple[str, Callable[[list[Row]], list[str]]]] = {
    "encode": ("Encoding one clip", encoding),
    "train": ("A pretraining step, alike in all but the layers", training),
    "busy": ("Encoding one clip beside other programs", on_a_busy_machine),
    "processes": ("Processes side by side, each encoding clip after clip", several_processes),
    "memory": ("Peak memory of one clip in a process of its own, beyond what that held before", memory),
}
