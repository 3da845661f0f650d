"""Where decoded samples come from: one protocol for every decoder."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Source(Protocol):
    """The decoded samples of one file; a decoder that gives fewer than `frames` raises AudioError.

    Attributes:
        sample_rate: in Hz.
        channels: of every block that is read.
        frames: samples of each channel, exactly those that reading gives.
        format: short name of the format.
        notes: what is odd about a file that is read all the same.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str
    notes: list[str]

    def seek(self, frame: int) -> None:
        """Go to a sample, 0 .. frames."""

    def read(self, frames: int) -> np.ndarray:
        """The next (n, channels) samples, float32; n is less than `frames` only at the end."""

    def close(self) -> None:
        """Give back the file."""
