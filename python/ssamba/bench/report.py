"""Results as tables: bench.md in the results' folder, and the README's part between its marks."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from .case import PROVIDERS

BEGIN, END = "<!-- benchmarks: begin (written by ssamba bench) -->", "<!-- benchmarks: end -->"
Row = dict[str, Any]
TITLES = {
    "encoder": "Encoder forward",
    "pretraining": "Pretraining step: clips of 512 patches, 400 hidden",
    "ops": "Ops",
    "features": "Log-mel of 16 clips of 10.24 s on one core",
    "loading": "An epoch of 64 wav files of 10.24 s, from disk to log-mel",
}


def report(results: dict[str, Any]) -> str:
    """All rows: a section for each part, in it a line for each case, ratios to the first provider of the part."""
    parts = [heading(results)]
    for part, title in TITLES.items():
        rows = [row for row in results["rows"] if row["part"] == part]
        if rows:
            parts.append(f"## {title}\n\n{table(rows)}")
        if part == "encoder" and (line := linearity(rows)):
            parts.append(line)
    return "\n\n".join(parts) + "\n"


def heading(results: dict[str, Any]) -> str:
    machine, versions = results["machine"], results["versions"]
    commit = f", commit {results['commit'][:12]}" if results.get("commit") else ""
    return (
        f"Measured on {machine['threads']} threads of: {machine['cpu']}; torch {versions['torch']}{commit}. Each line "
        "in a process of its own: the median time of one run, the most memory that the process took beyond what it "
        "held before the model was made, and both as a multiple of ours. The floor is what products of matrices, "
        "scans and bytes must take at the rates measured in the same run."
    )


def table(rows: list[Row]) -> str:
    lines = [
        "| what | provider | ms | MiB | time | memory | note |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    for group, members in groups.items():
        what = group.partition(" ")[2]
        first = PROVIDERS[members[0]["part"]][0]
        ours = next((row for row in members if row["provider"] == first and row["status"] == "ok"), None)
        for row in members:
            lines.append(f"| {what} | {row['provider']} | {' | '.join(figures(row, ours))} |")
    return "\n".join(lines)


def figures(row: Row, ours: Row | None) -> list[str]:
    if row["status"] != "ok":
        return ["", "", "", "", f"{row['status']}: {row['why']}".replace("|", "/")]
    times = memory = ""
    if ours is not None:
        times = f"{row['seconds'] / ours['seconds']:.2f} ×"
        memory = f"{row['peak_bytes'] / max(1, ours['peak_bytes']):.2f} ×"
    note = ""
    if "floor" in row:
        shares = ", ".join(f"{name} {1e3 * seconds:.3g}" for name, seconds in row["floor"].items())
        note = f"{sum(row['floor'].values()) / row['seconds']:.0%} of the floor ({shares} ms)"
    return [f"{1e3 * row['seconds']:.4g}", f"{row['peak_bytes'] / 2**20:.0f}", times, memory, note]


def linearity(rows: list[Row]) -> str:
    """R² of a straight line through our times over tokens, from 512 on."""
    points = [
        (row["tokens"], row["seconds"])
        for row in rows
        if row["provider"] == "ssamba" and row["status"] == "ok" and row["tokens"] >= 512 and row["size"] == "tiny"
        if row["batch"] == 1 and row["dtype"] == "float32"
    ]
    if len(points) < 3:
        return ""
    shortest, longest = (tokens for tokens, _ in (min(points), max(points)))
    return f"Our time against tokens, {shortest} to {longest}, is a straight line with R² = {r_squared(points):.5f}."


def r_squared(points: list[tuple[float, float]]) -> float:
    """Of the least-squares line through (x, y)."""
    mean_x, mean_y = (math.fsum(values) / len(points) for values in zip(*points, strict=True))
    xx = math.fsum((x - mean_x) ** 2 for x, _ in points)
    yy = math.fsum((y - mean_y) ** 2 for _, y in points)
    xy = math.fsum((x - mean_x) * (y - mean_y) for x, y in points)
    return 1.0 if yy == 0 else xy * xy / (xx * yy)


def readme_part(results: dict[str, Any]) -> str:
    """The heading and one table: float32, one clip, without what was not run."""
    rows = [
        row
        for row in results["rows"]
        if row["dtype"] == "float32" and row["status"] in ("ok", "out of memory") and row["size"] == "tiny"
    ]
    return f"{heading(results)}\n\n" + "\n\n".join(
        f"**{title}**\n\n{table(chosen)}"
        for part, title in TITLES.items()
        if (chosen := [row for row in rows if row["part"] == part])
    )
