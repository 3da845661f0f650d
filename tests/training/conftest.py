"""The data set that the training tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tone_clips import write_tones


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """These shapes are too small for two; restored for other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones")
