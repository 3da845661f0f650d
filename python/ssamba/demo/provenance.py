"""What a figure was measured on: the machine and the versions of what ran there."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from ssamba.training.run_directory import versions
from ssamba_ops import current_cpu_isa

from .speech_engine import engine_version


def machine() -> dict[str, str]:
    """Processor, instruction set of the kernels, cores and threads, operating system."""
    return {
        "processor": _processor(),
        "instruction set": current_cpu_isa(),
        "cores, threads used": f"{os.cpu_count()}, {torch.get_num_threads()}",
        "system": platform.platform(),
    }


def software() -> dict[str, str]:
    """Versions of Python, of the packages that can change a result, and of the speech engine."""
    return {**versions(), "espeakng-loader": engine_version()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
