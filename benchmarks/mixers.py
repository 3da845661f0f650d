"""A mixer of the sizes of tiny and base, and what computes it op by op."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import ssamba_ops

STATES, TAPS = 16, 4


def mixer_inputs(batch: int, length: int, width: int) -> dict[str, Tensor]:
    inner, rank = 2 * width, width // 16

    def normal(*shape: int, fan: int = 1) -> Tensor:
        return torch.randn(*shape) / fan**0.5

    return {
        "s": normal(batch, length, width),
        "x": normal(batch, length, width),
        "in_proj": normal(2, inner, width, fan=width),
        "in_bias": normal(2, inner),
        "conv": normal(2, inner, TAPS, fan=TAPS),
        "conv_bias": normal(2, inner),
        "x_proj": normal(2, rank + 2 * STATES, inner, fan=inner),
        "dt_proj": normal(2, inner, rank, fan=rank),
        "dt_bias": normal(2, inner) - 4,
        "A": -torch.arange(1.0, STATES + 1).repeat(2, inner, 1),
        "D": normal(2, inner),
        "out_proj": normal(width, inner, fan=inner),
    }


def op_by_op(
    s: Tensor,
    x: Tensor,
    in_proj: Tensor,
    in_bias: Tensor,
    conv: Tensor,
    conv_bias: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    out_proj: Tensor,
) -> Tensor:
    a, z = (F.linear(x, in_proj[r], in_bias[r]) for r in range(2))
    u = ssamba_ops.bi_conv1d(a, conv, conv_bias, silu=True)
    projected = torch.matmul(u.flatten(1, 2), x_proj.mT)
    dt, B, C = projected.split([dt_proj.shape[2], STATES, STATES], dim=-1)
    delta, B, C = (one.unflatten(1, x.shape[:2]) for one in (torch.matmul(dt, dt_proj.mT), B, C))
    return s + F.linear(ssamba_ops.bi_scan(u, delta, A, B, C, D, z, dt_bias, True), out_proj) / 2
