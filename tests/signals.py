"""A sound whose samples are known at any rate."""

import numpy as np


def sweep(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A sound below 3.5 kHz that is different everywhere, and different for every seed; (samples,) float64."""
    t = np.arange(round(seconds * rate)) / rate
    speed = 1 + 0.1 * seed
    rising = np.sin(2 * np.pi * (200 * t + 500 * speed * t**2 / max(seconds, 1e-9)))
    return 0.3 * rising + 0.2 * np.sin(2 * np.pi * 440 * speed * t) + 0.05
