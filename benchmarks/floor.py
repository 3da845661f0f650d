"""The arithmetic floor of the selective scan on this machine, measured in the same run as the kernels."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

# One token, channel, direction and state: the product delta A, exp2 (seven operations), and three fused multiply-adds
# for decay, input and output, a little rounded up.
OPERATIONS_PER_STATE = 12


@functools.cache
def vector_rate() -> tuple[int, float]:
    """Lanes of the widest float32 vector, and fused multiply-adds on such vectors a nanosecond, on one core."""
    source = Path(__file__).with_suffix(".cpp")
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
