"""Fixtures of the model's tests: the golden model, and tiny models of any configuration."""

from __future__ import annotations

import pytest
import torch

from golden_model import PRECISIONS, Golden
from ssamba.config import SSAMBAConfig
from ssamba.model import SSAMBA


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden()


@pytest.fixture(params=PRECISIONS)
def precision(request) -> str:
    return request.param


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


def tiny_config(**overrides) -> SSAMBAConfig:
    """Two narrow layers over 8 x 6 patches: fast, yet with every part."""
    sizes = {"embed_dim": 32, "depth": 2, "state_size": 4, "input_tdim": 96, "masked_patches": 16, "num_classes": 5}
    return SSAMBAConfig(**{**sizes, **overrides})


@pytest.fixture
def make_model():
    """make_model(**overrides) -> a tiny model in eval mode, the same weights every time."""

    def make(dtype: torch.dtype = torch.float32, **overrides) -> SSAMBA:
        torch.manual_seed(0)
        return SSAMBA(tiny_config(**overrides)).to(dtype).eval()

    return make


@pytest.fixture
def noise():
    """noise(*shape) -> the same float32 Gaussian numbers every time."""

    def draw(*shape: int, seed: int = 1) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    return draw
