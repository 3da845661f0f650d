import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def fbank() -> dict[str, np.ndarray]:
    """The golden features."""
    with np.load(GOLDEN / "fbank.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def golden_wave(fbank) -> torch.Tensor:
    """One second of audio, made as golden/README.md says; the golden features are of exactly these samples."""
    n = 16000
    t = np.arange(n) / n
    noise = 2 * np.random.RandomState(101).random_sample(n) - 1
    x = 0.30 * np.sin(2 * np.pi * (200 * t + 5800 * t**2 / 2)) * (0.55 + 0.45 * np.sin(2 * np.pi * 1.7 * t))
    samples = np.clip(np.round((x + 0.020 * noise + 0.010) * 32768), -32768, 32767).astype(np.int16)
    assert hashlib.sha256(samples.tobytes()).hexdigest() == str(fbank["w1/sha256_int16"])
    return torch.from_numpy(samples.astype(np.float32) / 32768)
