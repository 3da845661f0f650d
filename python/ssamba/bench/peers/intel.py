"""The selective scan of Intel's extension for PyTorch, in a Python of its own: its last version, 2.8, wants torch 2.8.

That Python runs intel_scan.py. Each run is asked for by a line and answered by one, which is timed with it: 0.1 ms.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .comparison import Scan
from .registry import INTEL_PYTHON

SCRIPT = Path(__file__).with_name("intel_scan.py")


def prepare(inputs: dict[str, Any], resources: ExitStack) -> Scan:
    python = os.environ.get(INTEL_PYTHON)
    if not python:
        raise ImportError(f"{INTEL_PYTHON} is not set", name="intel_extension_for_pytorch")
    folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
    np.savez(folder / "inputs.npz", **{name: x.numpy() for name, x in inputs.items() if isinstance(x, Tensor)})
    process = resources.enter_context(started(python, folder))
    about = answer(process, folder)
    y = torch.from_numpy(np.load(folder / "y.npy"))

    def run() -> Tensor:
        """Runs once more; the numbers are those of the first run."""
        process.stdin.write("\n")
        process.stdin.flush()
        answer(process, folder)
        return y

    return Scan(run, about.get("version", ""), about.get("instructions", ""))


def started(python: str, folder: Path) -> Popen:
    command = [python, "-I", str(SCRIPT), str(folder), str(torch.get_num_threads())]
    try:
        with (folder / "errors").open("w") as errors:
            return Popen(command, stdin=PIPE, stdout=PIPE, stderr=errors, text=True, encoding="utf-8")
    except OSError as error:
        raise RuntimeError(f"{INTEL_PYTHON} is {python!r}, which does not start ({error.strerror})") from error


def answer(process: Popen, folder: Path) -> dict[str, Any]:
    """What the script says next; raises RuntimeError if that is nothing, no JSON, or that something went wrong."""
    line = process.stdout.readline()
    if not line:
        *_, last = (folder / "errors").read_text(encoding="utf-8").strip().splitlines() or ["none"]
        raise RuntimeError(f"{INTEL_PYTHON} ended with code {process.wait()}, its last words: {last}")
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise RuntimeError(f"{INTEL_PYTHON} answered {line.strip()[:60]!r}, expected an object in JSON")
    if "error" in found:
        raise RuntimeError(f"{INTEL_PYTHON} cannot run the scan: {found['error']}")
    return found
