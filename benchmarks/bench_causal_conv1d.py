"""causal_conv1d with SiLU, forward and with its gradient. `copy` copies x: the same bytes."""

from __future__ import annotations

import pytest
import torch
from bandwidth import DTYPES, check_against_reference, report_bandwidth, rounds
from conv_providers import CAUSAL_PROVIDERS, causal_reference, conv_inputs

# B, L, D. The first is the shape of the project's targets; the second no longer fits any cache but the last.
SHAPES = [(1, 4096, 384), (16, 4096, 384), (8, 513, 768)]
CASES = [(SHAPES[0], "float32", provider) for provider in CAUSAL_PROVIDERS]
CASES += [(shape, "float32", provider) for shape in SHAPES[1:] for provider in ("ssamba", "copy")]
CASES += [(SHAPES[0], "bfloat16", provider) for provider in ("ssamba", "F.conv1d", "copy")]


def name(case) -> str:
    shape, dtype, provider = case
    return "-".join(f"{letter}{size}" for letter, size in zip("BLD", shape, strict=True)) + f"-{dtype}-{provider}"


def check(provider: str, dtype: str) -> None:
    if provider != "copy":
        small = conv_inputs(2, 50, 24, DTYPES[dtype], directions=False)
        check_against_reference(CAUSAL_PROVIDERS[provider], causal_reference, small)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_forward(benchmark, case):
    shape, dtype, provider = case
    check(provider, dtype)
    benchmark.group = f"causal_conv1d forward {shape} {dtype}"
    inputs = conv_inputs(*shape, DTYPES[dtype], directions=False)
    with torch.no_grad():
        benchmark.pedantic(CAUSAL_PROVIDERS[provider], kwargs=inputs, **rounds(provider))
    moved = 2 * inputs["x"].nbytes
    report_bandwidth(benchmark, dict(zip("BLD", shape, strict=True)), dtype, moved)


@pytest.mark.parametrize("case", [case for case in CASES if case[2] != "copy"], ids=name)
def test_forward_and_backward(benchmark, case):
    shape, dtype, provider = case
    check(provider, dtype)
    benchmark.group = f"causal_conv1d forward + backward {shape} {dtype}"
    inputs = {name: x.requires_grad_() for name, x in conv_inputs(*shape, DTYPES[dtype], directions=False).items()}
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(DTYPES[dtype])

    def step():
        torch.autograd.grad(CAUSAL_PROVIDERS[provider](**inputs), list(inputs.values()), upstream)

    benchmark.pedantic(step, **rounds(provider))
    moved = 5 * inputs["x"].nbytes  # x twice, out, its gradient, dx
    report_bandwidth(benchmark, dict(zip("BLD", shape, strict=True)), dtype, moved)
