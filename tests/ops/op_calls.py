"""Every kernel's op with every tensor that it takes, gradients included: what tests go through that are about how
tensors lie in memory, and not about values."""

from __future__ import annotations

import torch
from torch import Tensor

OPS = ("causal_conv1d", "bi_conv1d", "patch_mask", "bi_scan", "selective_scan")


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape) + len(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def as_tuple(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def same(a, b) -> bool:
    """The same bits in two results."""
    return all(torch.equal(x, y) for x, y in zip(as_tuple(a), as_tuple(b), strict=True))


def calls(
    op: str, dtype: torch.dtype, length: int, channels: int, lengths: list[int], ops=torch.ops.ssamba
) -> dict[str, tuple]:
    """By call: (op, argument, ...). A call's name begins with the name of its op; a clip for each of `lengths`."""
    sizes = len(lengths), length, channels
    build = {"causal_conv1d": _conv, "bi_conv1d": _bi_conv, "patch_mask": _patch_mask}
    build |= {"bi_scan": _bi_scan, "selective_scan": _selective_scan}
    given = build[op](dtype, *sizes, torch.tensor(lengths), ops)
    return {name: (getattr(ops, name.split()[0]), *arguments) for name, arguments in given.items()}


def parameter(dtype: torch.dtype, *shape: int) -> Tensor:
    return normal(*shape, dtype=torch.float64 if dtype == torch.float64 else torch.float32)


def _conv(dtype, B, L, D, lengths, ops) -> dict[str, tuple]:
    W = 4
    x, dout, state = (normal(B, rows, D, dtype=dtype) for rows in (L, L, W - 1))
    weight, bias = parameter(dtype, D, W), parameter(dtype, D)
    wide = parameter(dtype, D, 7), bias, True
    return {
        "causal_conv1d": (x, weight, bias, True, state, True, lengths),
        "causal_conv1d of 7 taps": (x, *wide, None, False, lengths),
        "causal_conv1d_backward": (dout, x, weight, bias, True, None, False, lengths),
        "causal_conv1d_backward with a state": (dout, x, weight, bias, True, state, True, lengths),
        "causal_conv1d_backward of 7 taps": (dout, x, *wide, None, False, lengths),
    }


def _bi_conv(dtype, B, L, D, lengths, ops) -> dict[str, tuple]:
    x, weight, bias = normal(B, L, D, dtype=dtype), parameter(dtype, 2, D, 4), parameter(dtype, 2, D)
    dout = normal(2, B, L, D, dtype=dtype)
    return {
        "bi_conv1d": (x, weight, bias, True, lengths),
        "bi_conv1d_backward": (dout, x, weight, bias, True, lengths),
    }


def _patch_mask(dtype, B, L, D, lengths, ops) -> dict[str, tuple]:
    x, mask = normal(B, L, D, dtype=dtype), normal(B, L) > 0
    token, pos = parameter(dtype, D), parameter(dtype, L, D)
    return {
        "patch_mask": (x, mask, token, pos),
        "patch_mask of narrow positions": (x, mask, token, pos.to(dtype)),
        "patch_mask_backward": (x, mask, True),
    }


def _bi_scan(dtype, B, L, D, lengths, ops) -> dict[str, tuple]:
    N = 16
    u, delta = (normal(2, B, L, D, dtype=dtype) for _ in range(2))
    A, skip, bias = -parameter(dtype, 2, D, N).abs(), parameter(dtype, 2, D), parameter(dtype, 2, D)
    z, dout = normal(B, L, D, dtype=dtype), normal(B, L, D, dtype=dtype) * 0.5
    given = (u, delta, A, normal(2, B, L, N, dtype=dtype), normal(2, B, L, 1, N, dtype=dtype).flatten(3))
    both = (*given, skip, z, bias, True, lengths)
    alike = (u[0], *both[1:])
    return {
        "bi_scan": both,
        "bi_scan_backward": (dout, ops.bi_scan_forward(*both)[1], *both),
        "bi_scan_backward of one input": (dout, ops.bi_scan_forward(*alike)[1], *alike),
    }


def _selective_scan(dtype, B, L, D, lengths, ops) -> dict[str, tuple]:
    N = 16
    u, delta, z, dout = (normal(B, L, D, dtype=dtype) * scale for scale in (1, 0.7, 0.5, 0.3))
    A, skip, bias = -parameter(dtype, D, N).abs(), parameter(dtype, D), parameter(dtype, D)
    B_, C, state = normal(B, L, N, dtype=dtype), normal(B, L, N, dtype=dtype) * 0.5, parameter(dtype, B, D, N)
    one = (u, delta, A, B_, C, skip, z, bias, True, state, True, lengths)
    return {
        "selective_scan": one,
        "selective_scan_backward": (dout, state * 0.5, ops.selective_scan_forward(*one)[2], *one),
    }
