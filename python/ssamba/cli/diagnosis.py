"""`ssamba doctor`: what is installed, which kernels run here, whether they are right, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from . import processors

if TYPE_CHECKING:
    from ssamba_ops.selftest import Check

# What each optional package is for, and the extra that brings it.
OPTIONAL = {
    "torchaudio": ("its data sets", "audio"),
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
    hints: list[str] = []  # right, but slower than need be
    _machine(stream)
    _packages(stream, advice)
    if not advice:
        _decoders(stream, advice)
        _threads(stream, hints)
        _kernels(stream, advice)
    print(file=stream)
    for line in hints:
        print(f"hint: {line}", file=stream)
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


def _decoders(stream: TextIO, advice: list[str]) -> None:
    try:
        from soundfile import __libsndfile_version__ as libsndfile
    except OSError as error:
        advice.append(f"soundfile finds no libsndfile ({error}): pip install --force-reinstall soundfile")
        return
    try:
        import av
    except ImportError:
        ffmpeg = "no FFmpeg; pip install 'ssamba[formats]' if you want m4a, wma, webm and the like"
    else:
        ffmpeg = f"FFmpeg {av.ffmpeg_version_info} by PyAV {av.__version__}"
    print(f"decoders         libsndfile {libsndfile}; {ffmpeg}", file=stream)


def _threads(stream: TextIO, hints: list[str]) -> None:
    import torch

    allowed, limit, threads = processors.affinity(), processors.quota(), torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS")
    print(f"processors       {processors.describe(allowed, limit)}", file=stream)
    print(f"threads          {threads}{f' (OMP_NUM_THREADS={asked})' if asked else ''}", file=stream)
    if hint := processors.too_many(threads, allowed, limit):
        hints.append(hint)


def _kernels(stream: TextIO, advice: list[str]) -> None:
    try:
        from ssamba_ops import _C, current_cpu_isa
        from ssamba_ops._library import cuda_problem
        from ssamba_ops.selftest import cuda_selftest, selftest
    except ImportError as error:
        advice.append(str(error))
        return
    import torch

    from ..inference.instructions import KINDS, instructions

    print(f"built with       {_C.compiler}, torch {_C.torch_headers} headers", file=stream)
    print(f"CPU kernels      {', '.join(_C.cpu_isa_levels)}; this processor runs {current_cpu_isa()}", file=stream)
    made_for = [f"in {kind} {', '.join(instructions(kind)).upper() or 'none'}" for kind in KINDS]
    print(f"instructions     for products {'; '.join(made_for)}", file=stream)
    problem = cuda_problem()
    print(f"CUDA kernels     {', '.join(_C.cuda_archs) or 'not built'}", file=stream)
    print(f"GPUs             {problem or torch.cuda.device_count()}", file=stream)
    if problem and torch.cuda.device_count():
        advice.append(problem)
    started = time.perf_counter()
    _compare(selftest(), stream, advice)
    for index in range(0 if problem else torch.cuda.device_count()):
        _compare(cuda_selftest(index), stream, advice)
    print(f"self-test        done in {time.perf_counter() - started:.1f} s", file=stream)


def _compare(checks: Iterable[Check], stream: TextIO, advice: list[str]) -> None:
    for check in checks:
        verdict = "ok" if check.passed else "FAILED" if check.failure else "WRONG"
        print(f"self-test        {check.op:<24} {check.isa:<9} {verdict}, error {check.error:.1e}", file=stream)
        if not check.passed:
            found = check.failure or f"is off by {check.error:.1e}, more than {check.tolerance:.0e}"
            advice.append(
                f"{check.op} on {check.isa}: {found}: do not use it; "
                "rebuild with `pip install --force-reinstall --no-cache-dir .` and report it if that does not help."
            )
