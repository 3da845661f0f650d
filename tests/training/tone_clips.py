"""Tiny data sets of tones, and settings small enough for the reference kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

PITCHES = {"high": 3000, "low": 300, "mid": 1000}
TINY = {"embed_dim": 16, "depth": 2, "input_tdim": 32, "batch_size": 4, "learning_rate": 1e-3, "quiet": True}
TINY_OPTIONS = [
    "--embed-dim",
    "16",
    "--depth",
    "2",
    "--input-tdim",
    "32",
    "--batch-size",
    "4",
    "--learning-rate",
    "5e-3",
]


def write_tones(root: Path, clips: int = 8, seed: int = 0) -> Path:
    """`clips` noisy tones of 0.3 to 0.7 s in a folder for each class."""
    random = np.random.default_rng(seed)
    for label, pitch in PITCHES.items():
        (root / label).mkdir(parents=True)
        for number in range(clips):
            time = np.arange(int(16000 * random.uniform(0.3, 0.7))) / 16000
            tone = 0.3 * np.sin(2 * np.pi * pitch * random.uniform(0.95, 1.05) * time)
            soundfile.write(root / label / f"{number}.wav", tone + 0.01 * random.standard_normal(len(time)), 16000)
    return root
