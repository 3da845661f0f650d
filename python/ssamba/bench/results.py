"""What is kept of a run: its rows, and on what they were measured."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ssamba", "torch", "numpy", "mambapy", "transformers", "torchaudio")


def new_results(rows: list[dict[str, Any]], threads: int, isa: str) -> dict[str, Any]:
    """`isa` is the instruction set that our kernels ran on."""
    system = f"{platform.system()} {platform.machine()}"
    return {
        "machine": {"cpu": cpu_name(), "isa": isa, "system": system, "threads": threads},
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rows": rows,
    }


def write_results(path: Path, results: dict[str, Any]) -> None:
    from ..checkpoints.folder import save_atomically

    save_atomically(path, lambda aside: aside.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8"))


def read_results(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError or ValueError saying what the file should be."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; run `ssamba bench --out {path.parent}` first")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(results, dict) or not {"machine", "versions", "rows"} <= set(results):
        raise ValueError(f"{path} holds no results of `ssamba bench`: it needs machine, versions and rows")
    return results


def cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit() -> str:
    """Of the checkout that the package lies in; empty for an installed one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
