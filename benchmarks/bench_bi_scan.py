"""bi_scan, forward and with its gradient: softplus, skip and gate included.

`floor_ratio` is the time over the arithmetic floor measured in the same run (ssamba.bench.floors), that of the forward
pass, for forward + backward too.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from ssamba.bench.floors import scan_floor_ns
from ssamba.bench.scans import BOTH_DIRECTIONS, bi_scan_inputs

PROVIDERS = {name: run for name, run in BOTH_DIRECTIONS.items() if name != "mambapy" or find_spec("mambapy")}

# B, L, D, N. The first is the shape of the project's targets; the others are layers of tiny and base.
SHAPES = [(1, 4096, 384, 16), (8, 513, 384, 16), (1, 22528, 384, 16), (4, 513, 1536, 16)]
SHORT = (1, 513, 384, 16)  # short enough for a Python loop over time
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CASES = [(SHAPES[0], "float32", provider) for provider in PROVIDERS if provider != "reference"]
CASES += [(SHORT, "float32", provider) for provider in PROVIDERS]
CASES += [(shape, "float32", "ssamba") for shape in SHAPES[1:]] + [(SHAPES[0], "bfloat16", "ssamba")]


def check_against_reference(provider: str, dtype: torch.dtype) -> None:
    """Once before timing, on a small shape: a fast wrong result is no result."""
    small = bi_scan_inputs(2, 50, 24, 16, dtype)
    expected = PROVIDERS["reference"](**{name: x.double() for name, x in small.items()})
    tolerance = 1e-4 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(PROVIDERS[provider](**small).double(), expected, rtol=tolerance, atol=tolerance)


def report(benchmark, shape, dtype_name: str) -> None:
    batch, length, channels, state = shape
    cores = torch.get_num_threads()
    ns = benchmark.stats.stats.median * 1e9 * cores / (2 * batch * length * channels)
    benchmark.extra_info.update(
        shape=dict(zip("BLDN", shape, strict=True)),
        dtype=dtype_name,
        threads=cores,
        ns_per_token_channel_direction_core=round(ns, 3),
        floor_ns=round(scan_floor_ns(state), 3),
        floor_ratio=round(ns / scan_floor_ns(state), 3),
    )


def rounds(provider: str) -> dict:
    return {"rounds": 60, "warmup_rounds": 10} if provider == "ssamba" else {"rounds": 3, "warmup_rounds": 1}


def name(case) -> str:
    shape, dtype, provider = case
    return "-".join(f"{letter}{size}" for letter, size in zip("BLDN", shape, strict=True)) + f"-{dtype}-{provider}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_forward(benchmark, case):
    shape, dtype, provider = case
    check_against_reference(provider, DTYPES[dtype])
    benchmark.group = f"bi_scan forward {shape} {dtype}"
    inputs = bi_scan_inputs(*shape, DTYPES[dtype])
    with torch.no_grad():
        benchmark.pedantic(PROVIDERS[provider], kwargs=inputs, **rounds(provider))
    if benchmark.enabled:
        report(benchmark, shape, dtype)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_forward_and_backward(benchmark, case):
    shape, dtype, provider = case
    check_against_reference(provider, DTYPES[dtype])
    benchmark.group = f"bi_scan forward + backward {shape} {dtype}"
    inputs = {name: x.requires_grad_() for name, x in bi_scan_inputs(*shape, DTYPES[dtype]).items()}
    upstream = torch.randn(shape[:3], generator=torch.Generator().manual_seed(1)).to(DTYPES[dtype])

    def step():
        torch.autograd.grad(PROVIDERS[provider](**inputs), list(inputs.values()), upstream)

    benchmark.pedantic(step, **rounds(provider))
    if benchmark.enabled:
        report(benchmark, shape, dtype)
