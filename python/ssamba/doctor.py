"""`ssamba doctor`: what is installed, which kernels run here, whether they are right, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from typing import TextIO

# What each optional package is for, and the extra that brings it.
OPTIONAL = {
    "torchaudio": ("its data sets", "audio"),
    "transformers": ("the Hugging Face interface", "hf"),
    "espeakng_loader": ("ssamba demo", "demo"),
    "pytest_benchmark": ("the benchmarks", "bench"),
}
REQUIRED = (
    "torch",
    "numpy",
    "soundfile",
    "soxr",
    "safetensors",
    "accelerate",
    "sklearn",
    "matplotlib",
    "tensorboard",
    "tqdm",
    "yaml",
)
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "espeakng_loader": "espeakng-loader",
    "pytest_benchmark": "pytest-benchmark",
}


def run(stream: TextIO) -> int:
    """Writes the report to `stream`; returns 0, or 1 if there is a problem."""
    advice: list[str] = []
    _machine(stream)
    _packages(stream, advice)
    if not advice:
        _kernels(stream, advice)
    print(file=stream)
    for line in advice:
        print(f"problem: {line}", file=stream)
    if not advice:
        print("No problem found.", file=stream)
    return 1 if advice else 0


def _machine(stream: TextIO) -> None:
    print(f"system           {platform.system()} {platform.machine()}, {os.cpu_count()} cores", file=stream)
    print(f"python           {platform.python_version()} at {sys.executable}", file=stream)


def _packages(stream: TextIO, advice: list[str]) -> None:
    for name in REQUIRED:
        version = _version(name)
        print(f"{DISTRIBUTIONS.get(name, name):<16} {version or 'missing'}", file=stream)
        if version is None:
            advice.append(f"{name} is missing: pip install {DISTRIBUTIONS.get(name, name)}")
    for name, (purpose, extra) in OPTIONAL.items():
        version = _version(name) or f"not installed; pip install 'ssamba[{extra}]' if you want {purpose}"
        print(f"{DISTRIBUTIONS.get(name, name):<16} {version}", file=stream)


def _version(name: str) -> str | None:
    if find_spec(name) is None:
        return None
    try:
        return metadata.version(DISTRIBUTIONS.get(name, name))
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _kernels(stream: TextIO, advice: list[str]) -> None:
    try:
        from ssamba_ops import _C, current_cpu_isa
        from ssamba_ops.selftest import TOLERANCE, selftest
    except ImportError as error:
        advice.append(str(error))
        return
    import torch

    print(f"built with       {_C.compiler}, torch {_C.torch_headers} headers", file=stream)
    print(f"CPU kernels      {', '.join(_C.cpu_isa_levels)}; this processor runs {current_cpu_isa()}", file=stream)
    print(f"CUDA kernels     {', '.join(_C.cuda_archs) or 'not built'}", file=stream)
    print(f"threads          {torch.get_num_threads()}", file=stream)
    started = time.perf_counter()
    for check in selftest():
        verdict = "ok" if check.passed else "WRONG"
        print(f"self-test        {check.op:<18} {check.isa:<9} {verdict}, error {check.error:.1e}", file=stream)
        if not check.passed:
            advice.append(
                f"{check.op} on {check.isa} is off by {check.error:.1e}, more than {TOLERANCE:.0e}: do not use it; "
                "rebuild with `pip install --force-reinstall --no-cache-dir .` and report it if that does not help."
            )
    print(f"self-test        done in {time.perf_counter() - started:.1f} s", file=stream)
