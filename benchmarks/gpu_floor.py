"""Floors of the ops on a GPU: the least time that bytes, exponentials or multiply-adds alone would take there.

The rates are measured on the card in the same run (gpu_floor.cu), the counts follow from the shape.
"""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from pathlib import Path

CHECKPOINT_TOKENS = 16
ACC_BYTES = 4

# For one token, channel, direction and state. Forward: delta A, delta u B, and two multiply-adds for state and output.
# Backward: those of the replay and eight for the gradients.
FORWARD_FMAS, BACKWARD_FMAS = 4, 12


@dataclasses.dataclass(frozen=True)
class Rates:
    """Of a card, for each nanosecond."""

    bytes: float
    exponentials: float
    fmas: float


@dataclasses.dataclass(frozen=True)
class Work:
    """What an op cannot do without: each input read once, each output written once, nothing computed twice."""

    bytes: int
    exponentials: int = 0
    fmas: int = 0

    def floors_ms(self, rates: Rates) -> dict[str, float]:
        return {
            "bytes": self.bytes / rates.bytes / 1e6,
            "exponentials": self.exponentials / rates.exponentials / 1e6,
            "fma": self.fmas / rates.fmas / 1e6,
        }


def measure_rates(nvcc: str) -> Rates:
    source = Path(__file__).with_suffix(".cu")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "gpu_floor"
        subprocess.run([nvcc, "-O3", "-std=c++17", "-arch=native", source, "-o", program], check=True)
        rates = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    return Rates(*map(float, rates))


def bi_scan_work(batch: int, length: int, channels: int, state: int, element: int, gradient: bool) -> Work:
    rows, states = batch * length * channels, 2 * batch * length * channels * state
    projections = 4 * batch * length * state * element  # B and C of both directions
    forward = 6 * rows * element + projections  # u and delta of both directions, z, out
    if not gradient:
        return Work(forward, states, FORWARD_FMAS * states)
    checkpoints = states // CHECKPOINT_TOKENS * ACC_BYTES
    backward = 11 * rows * element + 2 * projections  # u, delta, z, dout; du, ddelta, dz
    return Work(forward + backward + 2 * checkpoints, 2 * states, (FORWARD_FMAS + BACKWARD_FMAS) * states)


def bi_conv1d_work(batch: int, length: int, channels: int, element: int, gradient: bool) -> Work:
    rows = batch * length * channels * element
    return Work((3 + 4 * gradient) * rows)  # x and out of both directions; x, dout of both directions, dx


def patch_mask_work(batch: int, length: int, channels: int, element: int, gradient: bool) -> Work:
    rows = batch * length * channels * element
    return Work((2 + 2 * gradient) * rows)
