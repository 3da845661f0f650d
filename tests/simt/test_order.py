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
