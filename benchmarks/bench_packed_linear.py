"""packed_linear on the matrices of a layer of tiny and base, beside torch's linear."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssamba_ops import pack_matrix, packed_linear

# rows, K, N
SHAPES = [(129, 192, 768), (513, 192, 768), (513, 384, 44), (513, 384, 192), (4096, 192, 768), (513, 768, 3072)]


@pytest.mark.parametrize("provider", ["ssamba", "torch"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_product(benchmark, shape, provider):
    rows, inner, outputs = shape
    x, weight = torch.randn(rows, inner), torch.randn(outputs, inner)
    packed = pack_matrix(weight)
    with torch.no_grad():
        torch.testing.assert_close(packed_linear(x, packed, None, outputs), F.linear(x, weight), rtol=0, atol=1e-3)
        arguments = (x, packed, None, outputs) if provider == "ssamba" else (x, weight)
        run = packed_linear if provider == "ssamba" else F.linear
        benchmark.group = f"packed_linear {shape}"
        benchmark.pedantic(run, args=arguments, rounds=60, warmup_rounds=10)
    if benchmark.enabled:
        rate = 2 * rows * inner * outputs / benchmark.stats.stats.median / 1e9
        benchmark.extra_info.update(threads=torch.get_num_threads(), gigaflops=round(rate, 1))
