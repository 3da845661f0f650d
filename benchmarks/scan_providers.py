"""The selective scan as each provider computes it, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import ssamba_ops
from ssamba_ops import reference

try:
    from mambapy.pscan import pscan
except ImportError:
    pscan = None


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


def parallel_scan(u, delta, A, B, C, z, D, delta_bias) -> Tensor:
    """mambapy's parallel scan in each direction, with the flips that it needs."""
    y = 0
    for r in range(2):
        u_r, delta_r, B_r, C_r = (x[r].flip(1) if r else x[r] for x in (u, delta, B, C))
        step = F.softplus(delta_r + delta_bias[r])
        decay = torch.exp(step.unsqueeze(-1) * A[r])
        states = pscan(decay, (step * u_r).unsqueeze(-1) * B_r.unsqueeze(2))
        y_r = (states @ C_r.unsqueeze(-1)).squeeze(3) + D[r] * u_r
        y = y + (y_r.flip(1) if r else y_r)
    return y * F.silu(z)


PROVIDERS: dict[str, Callable[..., Tensor]] = {"ssamba": ssamba, "reference": python_loop}
if pscan is not None:
    PROVIDERS["mambapy"] = parallel_scan
