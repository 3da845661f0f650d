"""bi_mixer and its gradient at the sizes of tiny and base, beside the same ops one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import ssamba_ops
from mixers import mixer_inputs, op_by_op

SHAPES = [(1, 513, 192), (8, 513, 192), (1, 513, 768)]  # B, L, D


def one_op(s: Tensor, in_proj: Tensor, in_bias: Tensor, out_proj: Tensor, **others: Tensor) -> Tensor:
    flat = {"in_proj": in_proj.flatten(0, 1), "in_bias": in_bias.flatten(), "out_proj": out_proj / 2}
    return s + ssamba_ops.bi_mixer(**flat, **others)


@pytest.mark.parametrize("provider", ["ssamba", "op by op"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mixer_with_gradients(benchmark, shape, provider):
    inputs = {name: x.requires_grad_() for name, x in mixer_inputs(*shape).items()}
    dout = torch.randn(shape)

    def gradients(function) -> tuple[Tensor, ...]:
        return torch.autograd.grad(function(**inputs), list(inputs.values()), dout)

    for found, expected in zip(gradients(one_op), gradients(op_by_op), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    benchmark.group = f"bi_mixer {shape}"
    benchmark.pedantic(gradients, args=[one_op if provider == "ssamba" else op_by_op], rounds=15, warmup_rounds=2)
    if benchmark.enabled:
        benchmark.extra_info.update(threads=torch.get_num_threads(), milliseconds=benchmark.stats.stats.median * 1e3)
