"""Turns a pytest-benchmark run of the ops into a table, and puts it where its marks are.

pytest benchmarks --benchmark-only --benchmark-json=run.json
python benchmarks/report.py run.json                                     # a table to read
python benchmarks/report.py run.json --save benchmarks/results/cpu.json  # what is kept of a run
cd benchmarks/results; python ../report.py cpu.json --groups '4096, 384.*float32' --readme README.md
python benchmarks/report.py benchmarks/results/gpu/ops.json              # what benchmarks/gpu.py has written
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from ssamba.bench.readme_section import replace_section

BEGIN, END = "<!-- ops: begin (written by benchmarks/report.py) -->", "<!-- ops: end -->"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="JSON of pytest-benchmark, or what --save has kept")
    parser.add_argument("--save", type=Path, help="keep the figures, without what is private to the machine")
    parser.add_argument("--groups", default="", help="only groups whose name matches this regular expression")
    parser.add_argument("--readme", type=Path, help="put the table between the marks in this file")
    arguments = parser.parse_args(argv)
    run = json.loads(arguments.run.read_text())
    run = kept(run) if "benchmarks" in run else run
    if arguments.save:
        arguments.save.parent.mkdir(parents=True, exist_ok=True)
        arguments.save.write_text(json.dumps(run, indent=1) + "\n")
    run = run | {"rows": [row for row in run["rows"] if re.search(arguments.groups, row["group"])]}
    text = tables(run)
    if arguments.readme:
        replace_section(arguments.readme, BEGIN, END, text)
    print(text)
    return 0


def kept(run: dict) -> dict:
    """Machine, versions and medians of a pytest-benchmark run."""
    import torch

    info = run["machine_info"]
    rows = [
        {
            "group": x["group"],
            "provider": x["extra_info"].get("provider", x["name"].split("-")[-1].rstrip("]")),
            "median_ms": x["stats"]["median"] * 1e3,
            "rounds": x["stats"]["rounds"],
            **x["extra_info"],
        }
        for x in run["benchmarks"]
    ]
    threads = rows[0].get("threads", torch.get_num_threads())
    machine = {"cpu": info["cpu"]["brand_raw"], "isa": info["isa"], "threads": threads}
    versions = {"python": info["python_version"], "torch": torch.__version__}
    return {"machine": machine, "versions": versions, "commit": run["commit_info"]["id"], "rows": rows}


def tables(run: dict) -> str:
    """One table: a line for each group and provider, times relative to ours within the group."""
    groups = defaultdict(list)
    for row in run["rows"]:
        groups[row["group"]].append(row)
    lines = [heading(run), "", "| what | provider | ms | ratio | note |", "|---|---|--:|--:|---|"]
    for group, rows in groups.items():
        ours = next((row["median_ms"] for row in rows if row["provider"] == "ssamba"), None)
        for row in sorted(rows, key=lambda row: row["median_ms"]):
            ratio = f"{row['median_ms'] / ours:.2f}" if ours else ""
            lines.append(f"| {group} | {row['provider']} | {row['median_ms']:.3g} | {ratio} | {note(row)} |")
    if run.get("not_run"):
        lines += ["", "Not run:", ""]
        lines += [f"- {x['provider']}, {x['group']}: {x['reason']}" for x in run["not_run"]]
    return "\n".join(lines)


def heading(run: dict) -> str:
    """Where and how the run was measured."""
    machine, torch_version = run["machine"], run["versions"]["torch"]
    medians = "Medians of one run; a ratio is a provider's time over ours."
    if "gpu" not in machine:
        return (
            f"Measured on {machine['threads']} threads of: {machine['cpu']}; torch {torch_version}. {medians} The "
            "floor is arithmetic alone, at the rate of multiply-adds measured in the same run."
        )
    return (
        f"Measured on one {machine['gpu']}; torch {torch_version}. {medians} The floor is the longest of bytes, "
        "exponentials and multiply-adds at the rates measured in the same run: "
        f"{machine['copy_gigabytes_per_second']:.0f} GB/s copied, {machine['exponentials_per_ns']:.0f} exponentials "
        f"and {machine['fmas_per_ns']:.0f} multiply-adds a nanosecond."
    )


def note(row: dict) -> str:
    parts = []
    if "floor_ratio" in row:
        parts.append(f"{row['floor_ratio']:.2f} × floor, {row['ns_per_token_channel_direction_core']:.2f} ns")
    if "gigabytes_per_second" in row:
        parts.append(f"{row['gigabytes_per_second']:.1f} GB/s")
    if "floor_share" in row:
        parts.append(f"{row['floor_share']:.0%} of the floor ({row['floor']})")
    if "peak_megabytes" in row:
        parts.append(f"{row['peak_megabytes']:.0f} MB")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
