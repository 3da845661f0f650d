"""sample_patch_mask for a batch. `reference` is the definition in Python; `topk` masks single patches, no clusters."""

from __future__ import annotations

import pytest
import torch

import ssamba_ops
from ssamba_ops import reference

# batch, rows, cols, masked, min_cluster, max_cluster
SHAPES = [(64, 8, 64, 400, 3, 5), (64, 8, 64, 250, 3, 5), (16, 12, 1000, 9000, 3, 5)]


def topk(batch, rows, cols, masked, min_cluster, max_cluster, seed):
    scores = torch.rand(batch, rows * cols, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(batch, rows * cols, dtype=torch.bool)
    return mask.scatter_(1, scores.topk(masked, dim=1).indices, True)


PROVIDERS = {"ssamba": ssamba_ops.sample_patch_mask, "reference": reference.sample_patch_mask, "topk": topk}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sample(benchmark, shape, provider):
    small = (2, 8, 64, 400, 3, 5, 7)
    if provider == "topk":
        assert topk(*small).sum(1).tolist() == [400, 400]
    else:
        assert torch.equal(PROVIDERS[provider](*small), reference.sample_patch_mask(*small))
    benchmark.group = f"sample_patch_mask {shape}"
    fast = {"rounds": 50, "warmup_rounds": 5}
    benchmark.pedantic(PROVIDERS[provider], args=(*shape, 1), **({"rounds": 2} if provider == "reference" else fast))
    if benchmark.enabled:
        benchmark.extra_info.update(threads=torch.get_num_threads(), milliseconds=benchmark.stats.stats.median * 1e3)
