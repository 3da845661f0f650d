"""The selective scan as each provider computes it, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import ssamba_ops
from ssamba_ops import reference


def bi_scan_inputs(
    batch: int, length: int, channels: int, state: int, dtype: torch.dtype, device: str = "cpu"
) -> dict[str, Tensor]:
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    activations = {
        "u": normal(2, batch, length, channels),
        "delta": normal(2, batch, length, channels),
        "B": normal(2, batch, length, state),
        "C": normal(2, batch, length, state),
        "z": normal(batch, length, channels),
    }
    parameters = {
        "A": -torch.arange(1.0, state + 1, device=device).expand(2, channels, state).contiguous(),
        "D": torch.ones(2, channels, device=device),
        "delta_bias": normal(2, channels) - 4,
    }
    return {name: x.to(dtype) for name, x in activations.items()} | parameters


def ssamba(**x: Tensor) -> Tensor:
    return ssamba_ops.bi_scan(**x, delta_softplus=True)


def python_loop(**x: Tensor) -> Tensor:
    return reference.bi_scan(**x, delta_softplus=True)


def in_turn(u, delta, A, B, C, z, D, delta_bias) -> Tensor:
    """Both directions by mambapy, with the flips that it needs."""
    forward = parallel_scan(u[0], delta[0], A[0], B[0], C[0], D[0], z, delta_bias[0])
    flipped = (x.flip(1) for x in (u[1], delta[1]))
    B, C, z = (x.flip(1) for x in (B[1], C[1], z))
    return forward + parallel_scan(*flipped, A[1], B, C, D[1], z, delta_bias[1]).flip(1)


def parallel_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
) -> Tensor:
    """One gated direction (B, L, D) by mambapy's parallel scan; raises ImportError without it."""
    from mambapy.pscan import pscan

    step = F.softplus(delta + delta_bias)
    states = pscan(torch.exp(step.unsqueeze(-1) * A), (step * u).unsqueeze(-1) * B.unsqueeze(2))
    return ((states @ C.unsqueeze(-1)).squeeze(3) + D * u) * F.silu(z)


def step_by_step(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
) -> Tensor:
    """One gated direction by the definition: a Python loop over time."""
    return reference.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus=True)[0]


BOTH_DIRECTIONS: dict[str, Callable[..., Tensor]] = {"ssamba": ssamba, "reference": python_loop, "mambapy": in_turn}
ONE_DIRECTION: dict[str, Callable[..., Tensor]] = {"reference": step_by_step, "mambapy": parallel_scan}
