"""Results as tables: bench.md in the results' folder, and the README's part between its marks."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from .case import PROVIDERS
from .peers.table import peers_table
from .readme_section import replace_section

BEGIN, END = "<!-- benchmarks: begin (written by ssamba bench) -->", "<!-- benchmarks: end -->"
PEERS_BEGIN, PEERS_END = "<!-- peers: begin (written by ssamba bench) -->", "<!-- peers: end -->"
Row = dict[str, Any]
TITLES = {
    "encoder": "Encoder forward",
    "pretraining": "Pretraining step: clips of 512 patches, 400 hidden",
    "ops": "Ops",
    "features": "Log-mel of 16 clips of 10.24 s on one core",
    "loading": "An epoch of 64 wav files of 10.24 s, from disk to log-mel",
    "peers": "One direction of the scan, beside those of others",
}

# The README's lines: part, what it is called, clips, tokens; and whose numbers stand beside ours.
README_LINES = (
    ("encoder", "encode 2.5 s (128 tokens)", 1, 128),
    ("encoder", "encode 10 s (513 tokens)", 1, 513),
    ("encoder", "encode 82 s (4,096 tokens)", 1, 4096),
    ("encoder", "encode 7.5 min (22,528 tokens)", 1, 22528),
    ("pretraining", "train on a clip of 10 s", 1, 513),
    ("pretraining", "train on 8 clips of 10 s", 8, 513),
)
BESIDE = ("SSAST sdpa", "published mambapy")


def report(results: dict[str, Any]) -> str:
    """All rows: a section for each part, in it a line for each case, ratios to the first provider of the part."""
    parts = [heading(results)]
    for part, title in TITLES.items():
        rows = [row for row in results["rows"] if row["part"] == part]
        if rows:
            parts.append(f"## {title}\n\n{peers_table(rows) if part == 'peers' else table(rows)}")
        if part == "encoder" and (line := linearity(rows)):
            parts.append(line)
    return "\n\n".join(parts) + "\n"


def heading(results: dict[str, Any]) -> str:
    return (
        f"{where(results)}. Each line in a process of its own: the median time of one run, the most memory that the "
        "process took beyond what it held before the model was made, and both as a multiple of ours. The floor is what "
        "products of matrices, scans and bytes must take at the rates measured in the same run."
    )


def where(results: dict[str, Any]) -> str:
    """The machine, torch and commit of a run."""
    machine = results["machine"]
    return f"Measured on {machine['threads']} threads of: {processor(machine)}; {made_by(results)}"


def made_by(results: dict[str, Any]) -> str:
    """The torch and the commit of a run."""
    commit = f", commit {results['commit'][:12]}" if results.get("commit") else ""
    return f"torch {results['versions']['torch']}{commit}"


def processor(machine: dict[str, Any]) -> str:
    """Its name, and the instruction set in use; the first results did not say which."""
    return f"{machine['cpu']} ({machine['isa']})" if "isa" in machine else machine["cpu"]


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
    """What a reader wants to know first: six lines of ours beside a transformer and the published formulation."""
    found = {
        (row["part"], row["provider"], row["batch"], row["tokens"]): row
        for row in results["rows"]
        if (row["size"], row["dtype"]) == ("tiny", "float32")
    }
    lines = [
        f"{where(results)}. The tiny model in float32; the others as multiples of our time and memory.",
        "",
        f"| what | ssamba | {' | '.join(BESIDE)} |",
        f"|---|---|{'---|' * len(BESIDE)}",
    ]
    for part, what, batch, tokens in README_LINES:
        ours = found.get((part, "ssamba", batch, tokens))
        if ours is None or ours["status"] != "ok":
            continue
        others = [_beside(found.get((part, provider, batch, tokens)), ours) for provider in BESIDE]
        size = f"{1e3 * ours['seconds']:.4g} ms, {ours['peak_bytes'] / 2**20:.0f} MiB"
        lines.append(f"| {what} | {size} | {' | '.join(others)} |")
    return "\n".join(lines)


def _beside(row: Row | None, ours: Row) -> str:
    if row is None or row["status"] != "ok":
        return "" if row is None else row["status"]
    time, memory, *_ = figures(row, ours)[2:]
    return f"{time}, {memory}"


def peers_part(results: dict[str, Any]) -> str:
    """The scans of others beside ours."""
    rows = [row for row in results["rows"] if row["part"] == "peers"]
    return (
        f"Measured on: {results['machine']['cpu']}; {made_by(results)}. Forward, float32, one clip, 16 states a "
        f"channel: medians in a process of its own for each, and multiples of our time.\n\n{peers_table(rows)}"
    )


SECTIONS = {(BEGIN, END): readme_part, (PEERS_BEGIN, PEERS_END): peers_part}


def fill_in(file: Path, results: dict[str, Any]) -> None:
    """Writes into `file` what its marks ask for; raises ValueError if it has none."""
    text = file.read_text(encoding="utf-8")
    asked = [marks for marks in SECTIONS if marks[0] in text] or [(BEGIN, END)]
    for begin, end in asked:
        replace_section(file, begin, end, SECTIONS[begin, end](results))
