"""packed_mixer at the sizes of tiny and base, beside the same ops one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import ssamba_ops
from mixers import mixer_inputs, op_by_op
from ssamba_ops import pack_matrix

SHAPES = [(1, 129, 192), (1, 513, 192), (4, 513, 192), (1, 513, 768)]  # B, L, D


def packed(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    matrices = {name: pack_matrix(inputs[name]) for name in ("in_proj", "x_proj", "out_proj")}
    return inputs | matrices | {"s": inputs["s"].clone()}


@pytest.mark.parametrize("provider", ["ssamba", "op by op"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mixer(benchmark, shape, provider):
    inputs = mixer_inputs(*shape)
    with torch.no_grad():
        once = packed(inputs)
        ssamba_ops.packed_mixer(**once)
        torch.testing.assert_close(once["s"], op_by_op(**inputs), rtol=0, atol=1e-4)
        # The state is not added to again and again, lest it grow without bound.
        given = packed(inputs) | {"times": 0.0}
        run, arguments = (ssamba_ops.packed_mixer, given) if provider == "ssamba" else (op_by_op, inputs)
        benchmark.group = f"packed_mixer {shape}"
        benchmark.pedantic(run, kwargs=arguments, rounds=40, warmup_rounds=5)
    if benchmark.enabled:
        benchmark.extra_info.update(threads=torch.get_num_threads(), milliseconds=benchmark.stats.stats.median * 1e3)
