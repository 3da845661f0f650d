"""bi_conv1d with SiLU, forward and with its gradient. `copy` reads x once and writes it twice: the same bytes."""

from __future__ import annotations

import pytest
import torch
from bandwidth import DTYPES, check_against_reference, report_bandwidth, rounds
from conv_providers import BI_PROVIDERS, bi_reference, conv_inputs

# B, L, D. The first is the shape of the project's targets; the second no longer fits any cache but the last.
SHAPES = [(1, 4096, 384), (16, 4096, 384), (8, 513, 768)]
CASES = [(SHAPES[0], "float32", provider) for provider in BI_PROVIDERS]
CASES += [(shape, "float32", provider) for shape in SHAPES[1:] for provider in ("ssamba", "copy")]
CASES += [(SHAPES[0], "bfloat16", provider) for provider in ("ssamba", "F.conv1d", "copy")]


def name(case) -> str:
    shape, dtype, provider = case
    return "-".join(f"{letter}{size}" for letter, size in zip("BLD", shape, strict=True)) + f"-{dtype}-{provider}"


def check(provider: str, dtype: str) -> None:
    if provider != "copy":
        small = conv_inputs(2, 50, 24, DTYPES[dtype], directions=True)
        check_against_reference(BI_PROVIDERS[provider], bi_reference, small)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_forward(benchmark, case):
    shape, dtype, provider = case
    check(provider, dtype)
    benchmark.group = f"bi_conv1d forward {shape} {dtype}"
    inputs = conv_inputs(*shape, DTYPES[dtype], directions=True)
    with torch.no_grad():
        benchmark.pedantic(BI_PROVIDERS[provider], kwargs=inputs, **rounds(provider))
    moved = 3 * inputs["x"].nbytes
    report_bandwidth(benchmark, dict(zip("BLD", shape, strict=True)), dtype, moved)


@pytest.mark.parametrize("case", [case for case in CASES if case[2] != "copy"], ids=name)
def test_forward_and_backward(benchmark, case):
    shape, dtype, provider = case
    check(provider, dtype)
    benchmark.group = f"bi_conv1d forward + backward {shape} {dtype}"
    inputs = {name: x.requires_grad_() for name, x in conv_inputs(*shape, DTYPES[dtype], directions=True).items()}
    upstream = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1)).to(DTYPES[dtype])

    def step():
        torch.autograd.grad(BI_PROVIDERS[provider](**inputs), list(inputs.values()), upstream)

    benchmark.pedantic(step, **rounds(provider))
    moved = 7 * inputs["x"].nbytes  # x twice, out, its gradient (two directions each), dx
    report_bandwidth(benchmark, dict(zip("BLD", shape, strict=True)), dtype, moved)
