"""patch_mask with positions, forward and with its gradient. `copy` copies x, masked patches too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import ssamba_ops
from bandwidth import DTYPES, check_against_reference, report_bandwidth, rounds
from ssamba_ops import reference

PROVIDERS: dict[str, Callable[..., Tensor]] = {
    "ssamba": ssamba_ops.patch_mask,
    "reference": reference.patch_mask,
    "compile": torch.compile(reference.patch_mask),
    "copy": lambda x, mask, mask_token, pos: x.clone(),
}
# B, P, D: a batch of 10 s clips at tiny and base, one long clip.
SHAPES = [(64, 512, 192), (64, 512, 768), (1, 4096, 384)]
CASES = [(SHAPES[0], "float32", provider) for provider in PROVIDERS]
CASES += [(shape, "float32", provider) for shape in SHAPES[1:] for provider in ("ssamba", "copy")]
CASES += [(SHAPES[0], "bfloat16", provider) for provider in ("ssamba", "copy")]
MASKED = 400 / 512


def mask_inputs(batch: int, patches: int, channels: int, dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(batch, patches, channels, generator=generator).to(dtype),
        "mask": torch.rand(batch, patches, generator=generator) < MASKED,
        "mask_token": torch.randn(channels, generator=generator),
        "pos": torch.randn(patches, channels, generator=generator),
    }


def check(provider: str, dtype: str) -> None:
    if provider != "copy":
        small = mask_inputs(2, 50, 24, DTYPES[dtype])
        check_against_reference(PROVIDERS[provider], reference.patch_mask, small)


def name(case) -> str:
    shape, dtype, provider = case
    return "-".join(f"{letter}{size}" for letter, size in zip("BPD", shape, strict=True)) + f"-{dtype}-{provider}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_forward(benchmark, case):
    shape, dtype, provider = case
    check(provider, dtype)
    benchmark.group = f"patch_mask forward {shape} {dtype}"
    inputs = mask_inputs(*shape, DTYPES[dtype])
    with torch.no_grad():
        benchmark.pedantic(PROVIDERS[provider], kwargs=inputs, **rounds(provider))
    kept = 1 if provider == "copy" else 1 - inputs["mask"].float().mean().item()
    moved = int((1 + kept) * inputs["x"].nbytes) + (provider != "copy") * inputs["pos"].nbytes
    report_bandwidth(benchmark, dict(zip("BPD", shape, strict=True)), dtype, moved)


@pytest.mark.parametrize("case", [case for case in CASES if case[2] != "copy"], ids=name)
def test_forward_and_backward(benchmark, case):
    shape, dtype, provider = case
    check(provider, dtype)
    benchmark.group = f"patch_mask forward + backward {shape} {dtype}"
    inputs = mask_inputs(*shape, DTYPES[dtype])
    leaves = [inputs[name].requires_grad_() for name in ("x", "mask_token", "pos")]
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(DTYPES[dtype])
    benchmark.pedantic(lambda: torch.autograd.grad(PROVIDERS[provider](**inputs), leaves, upstream), **rounds(provider))
    moved = int((4 - MASKED) * inputs["x"].nbytes) + 2 * inputs["pos"].nbytes
    report_bandwidth(benchmark, dict(zip("BPD", shape, strict=True)), dtype, moved)
