"""Results of the kernels do not depend on the order in which threads and blocks take their turns: not by a bit."""

from __future__ import annotations

import pytest
import torch

import emulator

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

LIBRARY = emulator.load()
SEEDS = range(8)


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def calls(dtype):
    B, L, D, W = 3, 200, 36, 4
    lengths = torch.tensor([L, 131, 0])
    x, dout, mask = normal(B, L, D, dtype=dtype), normal(2, B, L, D, dtype=dtype), normal(B, L) > 0
    weight, bias, state = normal(2, D, W), normal(2, D), normal(B, W - 1, D, dtype=dtype)
    one, wide = (weight[0], bias[0], True), (normal(D, 7), bias[0], True)
    return {
        "causal_conv1d": (x, *one, state, True, lengths),
        "causal_conv1d_backward": (dout[0], x, *one, None, False, lengths),
        "causal_conv1d_backward with a state": (dout[0], x, *one, state, True, lengths),
        "causal_conv1d_backward of 7 taps": (dout[0], x, *wide, None, False, lengths),
        "bi_conv1d": (x, weight, bias, True, lengths),
        "bi_conv1d_backward": (dout, x, weight, bias, True, lengths),
        "patch_mask": (x, mask, normal(D), normal(L, D)),
        "patch_mask_backward": (x, mask, True),
    } | scan_calls(dtype)


def scan_calls(dtype):
    """Tiles of 16 tokens: three in one clip, whose middle one both directions reach at once, two in another."""
    B, L, D, N = 3, 41, 20, 16
    lengths = torch.tensor([L, 23, 0])
    u, delta, dout = (normal(2, B, L, D, dtype=dtype) for _ in range(3))
    A, skip, bias, z = -normal(2, D, N).abs(), normal(2, D), normal(2, D), normal(B, L, D, dtype=dtype)
    projections = normal(2, B, L, N, dtype=dtype), normal(2, B, L, 1, N, dtype=dtype).flatten(3)
    both = (u, delta, A, *projections, skip, z, bias, True, lengths)
    alike = (u[0], *both[1:])
    state = normal(B, D, N)
    one = (u[0], delta[0], A[0], *(x[0] for x in projections), skip[0], z, bias[0], True, state, True, lengths)
    checkpoints = [torch.ops.ssamba_simt.bi_scan_forward(*x)[1] for x in (both, alike)]
    checkpoints.append(torch.ops.ssamba_simt.selective_scan_forward(*one)[2])
    return {
        "bi_scan": both,
        "bi_scan_backward": (dout[0], checkpoints[0], *both),
        "bi_scan_backward of one input": (dout[0], checkpoints[1], *alike),
        "selective_scan": one,
        "selective_scan_backward": (dout[0], state, checkpoints[2], *one),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("call", calls(torch.float32))
def test_any_order_gives_the_same_bits(call, dtype):
    op = getattr(torch.ops.ssamba_simt, call.split()[0])
    results = []
    try:
        for seed in SEEDS:
            LIBRARY.ssamba_simt_seed(seed)
            result = op(*calls(dtype)[call])
            results.append(result if isinstance(result, tuple) else (result,))
    finally:
        LIBRARY.ssamba_simt_seed(0)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
