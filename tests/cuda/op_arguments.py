"""Arguments of every op that has a gradient, the same numbers for the same sizes."""

from __future__ import annotations

import torch

OPS = ("bi_scan", "selective_scan", "causal_conv1d", "bi_conv1d", "patch_mask")
B, N, W = 2, 16, 4


def arguments(
    length: int, channels: int = 64, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> dict[str, tuple]:
    """By op: activations in `dtype`, parameters and states in float32."""
    generator = torch.Generator().manual_seed(0)
    L, D = length, channels

    def parameter(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    def normal(*shape: int) -> torch.Tensor:
        return parameter(*shape).to(dtype)

    scan = [normal(2, B, L, D), normal(2, B, L, D), -parameter(2, D, N).abs(), normal(2, B, L, N), normal(2, B, L, N)]
    skip, gate, bias = parameter(2, D), normal(B, L, D), parameter(2, D)
    one = [x[0] for x in scan]
    return {
        "bi_scan": (*scan, skip, gate, bias, True),
        "selective_scan": (*one, skip[0], gate, bias[0], True, parameter(B, D, N)),
        "causal_conv1d": (normal(B, L, D), parameter(D, W), parameter(D), True, normal(B, W - 1, D)),
        "bi_conv1d": (normal(B, L, D), parameter(2, D, W), parameter(2, D), True),
        "patch_mask": (normal(B, L, D), parameter(B, L) > 0, parameter(D), parameter(L, D)),
    }
