"""What figures were measured on, and the file that they are kept in, row by row."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ssamba.bench.results import cpu_name, write_results
from ssamba.inference.instructions import KINDS, instructions
from ssamba.training.run_directory import versions
from ssamba_ops import current_cpu_isa

Row = dict[str, Any]


def begin(path: Path) -> Row:
    """The results in `path`, to be added to, or new ones without rows; ValueError if they are of another machine."""
    today = {"machine": machine(), "versions": versions()}
    if not path.is_file():
        return {**today, "rows": []}
    results = read(path)
    if not {"machine", "versions", "rows"} <= results.keys():
        raise ValueError(f"{path} holds no figures of this kind; give another --results")
    for what, then, now in (
        ("machine", results["machine"], today["machine"]),
        ("torch", results["versions"]["torch"], today["versions"]["torch"]),
    ):
        if then != now:
            raise ValueError(f"{path} holds figures of another {what}: {then}, now {now}; give another --results")
    return {**today, "rows": results["rows"]}


def read(path: Path) -> Row:
    """What is kept in `path`; FileNotFoundError where nothing is."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; measure first, without --report")
    return json.loads(path.read_text(encoding="utf-8"))


def machine() -> Row:
    """The processor, what our kernels run on there, and what it has for products in less than float32."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "isa": current_cpu_isa(),
        "instructions": {kind: instructions(kind) for kind in KINDS},
        "system": f"{platform.system()} {platform.machine()}",
    }


def is_kept(results: Row, case: Row) -> bool:
    return any(row.items() >= case.items() for row in results["rows"])


def keep(path: Path, results: Row, case: Row, found: Row) -> None:
    """Puts what was found of a case into the results, in place of an earlier row, and writes them."""
    row = {**case, **found, "commit": commit(), "date": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    results["rows"] = [*(other for other in results["rows"] if not other.items() >= case.items()), row]
    write_results(path, results)


def commit() -> str:
    """Of the checkout that this file lies in; empty outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip()


def heading(results: Row) -> str:
    """Such as: Measured on: a processor (avx2), 2 cores; torch 2.13.0, commit 0123456789ab."""
    on, torch_version = results["machine"], results["versions"]["torch"]
    commits = sorted({row["commit"][:12] for row in results["rows"] if row["commit"]})
    at = f", commit {', '.join(commits)}" if commits else ""
    return f"Measured on: {on['cpu']} ({on['isa']}), {on['cores']} cores; torch {torch_version}{at}"
