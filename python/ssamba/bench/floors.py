"""What this machine could do at best, measured in the same run as what is compared with it."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from ..config import SSAMBAConfig

# One token, channel, direction and state: the product delta A, exp2 (seven operations), and three fused multiply-adds
# for decay, input and output, a little rounded up.
OPERATIONS_PER_STATE = 12


@functools.cache
def vector_rate() -> tuple[int, float]:
    """Lanes of the widest float32 vector, and fused multiply-adds on such vectors a nanosecond, on one core.

    Raises OSError or CalledProcessError where there is no C++ compiler.
    """
    source = Path(__file__).with_name("floor.cpp")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "floor"
        compiler = os.environ.get("CXX", "c++")
        subprocess.run([compiler, "-O2", "-march=native", "-std=c++17", source, "-o", program], check=True)
        lanes, rate = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    return int(lanes), float(rate)


def scan_floor_ns(state: int) -> float:
    """Nanoseconds for one token, channel and direction on one core, if nothing but arithmetic took time."""
    lanes, rate = vector_rate()
    return OPERATIONS_PER_STATE * state / lanes / rate


def product_rate(width: int, dtype: torch.dtype) -> float:
    """Multiply-adds a second of the largest matrix product of a layer, on all threads, by torch's `linear`."""
    x, weight = torch.randn(1024, width).to(dtype), torch.randn(4 * width, width).to(dtype)
    with torch.inference_mode():
        return x.numel() * len(weight) / _best_of(lambda: F.linear(x, weight))


def copy_rate(moved: float) -> float:
    """Bytes a second that a copy reads and writes on all threads, `moved` bytes in all: caches help as they would."""
    x = torch.ones(max(1, int(moved) // 8))
    y = torch.empty_like(x)
    return 2 * x.nbytes / _best_of(lambda: y.copy_(x))


def encoder_floor(config: SSAMBAConfig, tokens: int, dtype: torch.dtype) -> dict[str, float]:
    """Seconds that the encoder must spend on `tokens` tokens in all: products, scans, and bytes of everything else.

    The bytes are those of what is neither product nor scan, each read or written once: norm (2 D), convolution (E in,
    2 E out), residual (3 D).
    """
    width, inner, rank, states = config.embed_dim, config.inner_dim, config.time_step_rank, config.state_size
    products = 2 * width * inner + 2 * inner * (rank + 2 * states) + 2 * rank * inner + inner * width
    moved = (5 * width + 3 * inner) * torch.empty((), dtype=dtype).element_size()
    layers = tokens * config.depth
    return {
        "products": layers * products / product_rate(width, dtype),
        "scans": layers * 2 * inner * scan_floor_ns(states) * 1e-9 / torch.get_num_threads(),
        "bytes": layers * moved / copy_rate(tokens * moved),
    }


def _best_of(run: Callable[[], object], seconds: float = 0.3) -> float:
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
