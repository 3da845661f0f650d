"""How far an op may be from the float64 reference: one table, scaled by the length of the reduction.

A result is rounded once to its dtype (`STORE`, one unit in the last place), and comes from sums in the accumulation
type whose rounding errors add up like a random walk: `SUM` times the square root of the number of terms, relative to
the largest value in the tensor. 16 leaves room for the error of exp (2 units) and for products of several factors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STORE = {dtype: torch.finfo(dtype).eps for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}
SUM = {
    torch.float64: 16 * torch.finfo(torch.float64).eps,
    torch.float32: 16 * torch.finfo(torch.float32).eps,
    torch.float16: 16 * torch.finfo(torch.float32).eps,
    torch.bfloat16: 16 * torch.finfo(torch.float32).eps,
}


def assert_close(
    actual: Tensor, expected: Tensor, terms: int = 1, what: str = "", dtype: torch.dtype | None = None
) -> None:
    """Compares with the float64 `expected`; `terms` is the length of the longest sum behind one value.

    `dtype` is that of the op's activations, if `actual` is kept in the accumulation type.
    """
    assert actual.shape == expected.shape, f"{what}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if expected.numel() == 0:
        return
    error = (actual.double() - expected).abs()
    scale = expected.abs().max().item()
    bound = STORE[actual.dtype] * expected.abs() + SUM[dtype or actual.dtype] * math.sqrt(max(terms, 1)) * scale
    assert torch.isfinite(actual).all(), f"{what}: not finite"
    worst = (error - bound).max().item()
    assert worst <= 0, f"{what}: error {error.max().item():.3g} where values reach {scale:.3g} ({actual.dtype})"
