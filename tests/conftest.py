"""What the tests of the model share: the golden model, tiny models of any configuration, the same noise every time.

Imported where it is used, so that the tests of the ops do not import the model.
"""

from __future__ import annotations

import os

# Before torch is loaded: beside another worker, threads that spin while they wait take its processor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

import skips


def pytest_addoption(parser):
    skips.add_option(parser)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # what pytest-xdist's workers skip is reported where it was started
        config.pluginmanager.register(skips.Skips(), "skips")


@pytest.fixture(scope="session")
def golden():
    """The golden model, its inputs, and what the published code computes with it."""
    from golden_model import Golden

    return Golden()


@pytest.fixture(params=["f32", "f64"])
def precision(request) -> str:
    return request.param


@pytest.fixture
def make_model():
    """make_model(dtype, **overrides) -> a tiny model in eval mode, the same weights every time.

    Two narrow layers over 8 x 6 patches: fast, yet with every part.
    """
    from ssamba import SSAMBA, SSAMBAConfig

    def make(dtype: torch.dtype = torch.float32, **overrides) -> SSAMBA:
        torch.manual_seed(0)
        sizes = {"embed_dim": 32, "depth": 2, "state_size": 4, "input_tdim": 96, "masked_patches": 16, "num_classes": 5}
        return SSAMBA(SSAMBAConfig(**{**sizes, **overrides})).to(dtype).eval()

    return make


@pytest.fixture
def perturb():
    """perturb(model) -> the model, no parameter of which is at a symmetric value any more."""

    @torch.no_grad()
    def add_noise(model: torch.nn.Module) -> torch.nn.Module:
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return add_noise


@pytest.fixture
def noise():
    """noise(*shape) -> the same float32 Gaussian numbers every time."""

    def draw(*shape: int, seed: int = 1) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    return draw
