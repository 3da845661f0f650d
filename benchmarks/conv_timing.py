"""The depthwise convolutions as each provider computes them, SiLU included, and how they are timed.

`copy` reads x once and writes as many bytes as the op does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import ssamba_ops
from bandwidth import DTYPES, check_against_reference, report_bandwidth, rounds
from ssamba_ops import reference

WIDTH = 4
# B, L, D. The first is the shape of the project's targets; the second fits no cache but the last.
SHAPES = [(1, 4096, 384), (16, 4096, 384), (8, 513, 768)]
CASES = [(SHAPES[0], "float32", provider) for provider in ("ssamba", "reference", "compile", "F.conv1d", "copy")]
CASES += [(shape, "float32", provider) for shape in SHAPES[1:] for provider in ("ssamba", "copy")]
CASES += [(SHAPES[0], "bfloat16", provider) for provider in ("ssamba", "F.conv1d", "copy")]
GRADIENT_CASES = [case for case in CASES if case[2] != "copy"]

Case = tuple[tuple[int, int, int], str, str]


def name(case: Case) -> str:
    shape, dtype, provider = case
    return "-".join(f"{letter}{size}" for letter, size in zip("BLD", shape, strict=True)) + f"-{dtype}-{provider}"


def directions(op: str) -> int:
    return 2 if op == "bi_conv1d" else 1


def conv_inputs(op: str, shape: tuple[int, int, int], dtype: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    two = (2,) if directions(op) == 2 else ()
    return {
        "x": torch.randn(*shape, generator=generator).to(DTYPES[dtype]),
        "weight": torch.randn(*two, shape[2], WIDTH, generator=generator) / WIDTH**0.5,
        "bias": torch.randn(*two, shape[2], generator=generator),
    }


def torch_conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What a model without this library does: channels first, a padded grouped convolution, SiLU, channels last."""
    if weight.dim() == 3:
        backward = torch_conv1d(x.flip(1), weight[1], bias[1]).flip(1)
        return torch.stack([torch_conv1d(x, weight[0], bias[0]), backward])
    weight, bias = weight.to(x.dtype).unsqueeze(1), bias.to(x.dtype)
    y = F.conv1d(x.mT, weight, bias, padding=WIDTH - 1, groups=x.shape[2])[..., : x.shape[1]]
    return F.silu(y).mT.contiguous()


def providers(op: str) -> dict[str, Callable[..., Tensor]]:
    kernel, definition = getattr(ssamba_ops, op), getattr(reference, op)

    def with_silu(**inputs: Tensor) -> Tensor:
        return definition(**inputs, silu=True)

    def copy(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return x.expand(directions(op), *x.shape).clone(memory_format=torch.contiguous_format)

    return {
        "ssamba": lambda **inputs: kernel(**inputs, silu=True),
        "reference": with_silu,
        "compile": torch.compile(with_silu),
        "F.conv1d": torch_conv1d,
        "copy": copy,
    }


def checked_provider(op: str, dtype: str, provider: str) -> Callable[..., Tensor]:
    run = providers(op)
    if provider != "copy":
        check_against_reference(run[provider], run["reference"], conv_inputs(op, (2, 50, 24), dtype))
    return run[provider]


def time_forward(benchmark, op: str, case: Case) -> None:
    shape, dtype, provider = case
    run = checked_provider(op, dtype, provider)
    benchmark.group = f"{op} forward {shape} {dtype}"
    inputs = conv_inputs(op, shape, dtype)
    with torch.no_grad():
        benchmark.pedantic(run, kwargs=inputs, **rounds(provider))
    moved = (1 + directions(op)) * inputs["x"].nbytes
    report_bandwidth(benchmark, dict(zip("BLD", shape, strict=True)), dtype, moved)


def time_forward_and_backward(benchmark, op: str, case: Case) -> None:
    shape, dtype, provider = case
    run = checked_provider(op, dtype, provider)
    benchmark.group = f"{op} forward + backward {shape} {dtype}"
    inputs = {name: x.requires_grad_() for name, x in conv_inputs(op, shape, dtype).items()}
    out = run(**inputs)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    benchmark.pedantic(lambda: torch.autograd.grad(run(**inputs), list(inputs.values()), upstream), **rounds(provider))
    moved = (3 + 2 * directions(op)) * inputs["x"].nbytes  # x twice, dx, and per direction out and its gradient
    report_bandwidth(benchmark, dict(zip("BLD", shape, strict=True)), dtype, moved)
