"""Every op once, forward and backward, in whole packs and with edges: what a sanitizer of memory is run over.

On a GPU, compute-sanitizer takes minutes for what takes seconds without it, so this is small, and yet each kernel that
a training step starts is in it.
"""

from __future__ import annotations

import pytest
import torch

import ssamba_ops
from ssamba_ops import reference

B, L, N, W = 2, 50, 16, 4
CHANNELS = [64, 37]  # whole packs, and edges
DTYPES = [torch.float32, torch.bfloat16]


def arguments(op: str, channels: int, dtype: torch.dtype) -> tuple:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, to: torch.dtype = dtype) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float32).to(to)

    def parameter(*shape: int) -> torch.Tensor:
        return normal(*shape, to=torch.float32)

    D = channels
    rows = normal(B, L, D)
    scan = [normal(2, B, L, D), normal(2, B, L, D), -parameter(2, D, N).abs(), normal(2, B, L, N), normal(2, B, L, N)]
    options = [parameter(2, D), normal(B, L, D), parameter(2, D)]
    one = [*(x[0] for x in scan), options[0][0], options[1], options[2][0]]
    return {
        "bi_scan": (*scan, *options, True),
        "selective_scan": (*one, True, parameter(B, D, N)),
        "causal_conv1d": (rows, parameter(D, W), parameter(D), True, normal(B, W - 1, D)),
        "bi_conv1d": (rows, parameter(2, D, W), parameter(2, D), True),
        "patch_mask": (rows, parameter(B, L) > 0, parameter(D), parameter(L, D)),
    }[op]


def step(function, given: tuple, dtype: torch.dtype | None, device: torch.device) -> list[torch.Tensor]:
    """Results and gradients, in float64 on the CPU; the op is computed in its inputs' dtypes, or in the one given."""

    def leaf(x):
        if not isinstance(x, torch.Tensor):
            return x
        x = x.to(device)
        return (x.to(dtype or x.dtype, copy=True).detach().requires_grad_()) if x.is_floating_point() else x

    leaves = [leaf(x) for x in given]
    out = function(*leaves)
    out = out if isinstance(out, tuple) else (out,)
    sum(x.double().sum() for x in out).backward()
    gradients = [x.grad for x in leaves if isinstance(x, torch.Tensor) and x.requires_grad]
    return [x.detach().double().cpu() for x in (*out, *gradients)]


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("op", ["bi_scan", "selective_scan", "causal_conv1d", "bi_conv1d", "patch_mask"])
def test_every_op_once(op, channels, dtype, gpu):
    given = arguments(op, channels, dtype)
    actual = step(getattr(ssamba_ops, op), given, None, gpu)
    expected = step(getattr(reference, op), given, torch.float64, torch.device("cpu"))
    tolerance = 1e-4 if dtype == torch.float32 else 3e-2
    for a, e in zip(actual, expected, strict=True):
        assert (a - e).abs().max() <= tolerance * e.abs().max().clamp_min(1)


@pytest.mark.cuda
def test_masks_are_drawn_as_on_the_cpu(gpu):
    given = (4, 8, 16, 50, 3, 5, 7)
    assert torch.equal(ssamba_ops.sample_patch_mask(*given, device=gpu).cpu(), reference.sample_patch_mask(*given))
