"""Every op once, forward and backward, in whole packs and with edges: what a sanitizer of memory is run over.

On a GPU, compute-sanitizer takes minutes for what takes seconds without it, so this is small, and yet each kernel that
a training step starts is in it.
"""

from __future__ import annotations

import pytest
import torch

import ssamba_ops
from op_arguments import OPS, arguments
from ssamba_ops import reference

CHANNELS = [64, 37]  # whole packs, and edges
DTYPES = [torch.float32, torch.bfloat16]


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
@pytest.mark.parametrize("op", OPS)
def test_every_op_once(op, channels, dtype, gpu):
    given = arguments(50, channels, dtype)[op]
    actual = step(getattr(ssamba_ops, op), given, None, gpu)
    expected = step(getattr(reference, op), given, torch.float64, torch.device("cpu"))
    tolerance = 1e-4 if dtype == torch.float32 else 3e-2
    for a, e in zip(actual, expected, strict=True):
        assert (a - e).abs().max() <= tolerance * e.abs().max().clamp_min(1)


@pytest.mark.cuda
def test_masks_are_drawn_as_on_the_cpu(gpu):
    given = (4, 8, 16, 50, 3, 5, 7)
    assert torch.equal(ssamba_ops.sample_patch_mask(*given, device=gpu).cpu(), reference.sample_patch_mask(*given))
