"""selective_scan, one direction with the state going in and coming out, beside its definition."""

from __future__ import annotations

import pytest
import torch

import ssamba_ops
from ssamba.bench.scans import bi_scan_inputs
from ssamba_ops import reference

SHAPE = (1, 513, 384, 16)  # B, L, D, N
PROVIDERS = {"ssamba": ssamba_ops.selective_scan, "reference": reference.selective_scan}


def one_direction(batch: int, length: int, channels: int, state: int) -> dict[str, torch.Tensor]:
    both = bi_scan_inputs(batch, length, channels, state, torch.float32)
    return {name: x if name == "z" else x[0] for name, x in both.items()} | {
        "initial_state": torch.ones(batch, channels, state),
        "delta_softplus": True,
    }


@pytest.mark.parametrize("provider", PROVIDERS)
def test_forward(benchmark, provider):
    small = one_direction(2, 50, 24, 16)
    for ours, expected in zip(PROVIDERS[provider](**small), reference.selective_scan(**small), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    benchmark.group = f"selective_scan forward {SHAPE} float32"
    benchmark.extra_info.update(provider=provider, threads=torch.get_num_threads())
    with torch.no_grad():
        benchmark.pedantic(
            PROVIDERS[provider], kwargs=one_direction(*SHAPE), rounds=15 if provider == "ssamba" else 3, warmup_rounds=1
        )
