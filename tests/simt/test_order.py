"""Results of the kernels do not depend on the order in which threads and blocks take their turns: not by a bit."""

from __future__ import annotations

import pytest
import torch

import emulator
from op_calls import OPS, calls, same

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

LIBRARY = emulator.load()
SEEDS = range(8)
# Tokens, channels, and lengths of clips. Scans go in tiles of 16 tokens: three in one clip, whose middle one both
# directions reach at once, two in another.
OF_SCANS, OF_OTHERS = (41, 20, [41, 23, 0]), (200, 36, [200, 131, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("op", OPS)
def test_any_order_gives_the_same_bits(op, dtype):
    sizes = OF_SCANS if op.endswith("scan") else OF_OTHERS
    for call, (function, *arguments) in calls(op, dtype, *sizes, torch.ops.ssamba_simt).items():
        results = []
        try:
            for seed in SEEDS:
                LIBRARY.ssamba_simt_seed(seed)
                results.append(function(*arguments))
        finally:
            LIBRARY.ssamba_simt_seed(0)
        assert all(same(results[0], other) for other in results[1:]), call
