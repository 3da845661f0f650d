"""Results of more than 2^31 elements on the CPU: `make large`. Each takes gigabytes; inputs repeat one row.

A clip whose tokens are all alike ends as a short one does, and is the same from the middle of one to the middle of the
other. What an index of 32 bits would write elsewhere is missing there.
"""

from __future__ import annotations

import pytest
import torch

import ssamba_ops  # noqa: F401  registers the ops
from op_calls import as_tuple, normal

pytestmark = [pytest.mark.large, pytest.mark.host]

D, EDGE = 64, 200  # channels; tokens that are compared at each end, and in the middle
SHORT = 4096


def row(*shape: int) -> torch.Tensor:
    return normal(*shape, dtype=torch.bfloat16)


def conv(length: int) -> tuple:
    return row(1, 1, D).expand(1, length, D), normal(D, 4), normal(D)


def bi_conv(length: int) -> tuple:
    return row(1, 1, D).expand(1, length, D), normal(2, D, 4), normal(2, D)


def mask(length: int) -> torch.Tensor:
    return torch.ones(1, 1, dtype=torch.bool).expand(1, length)


def scan(length: int, directions: int) -> tuple:
    """One state; steps of softplus(1)."""
    two = (2,) if directions == 2 else ()
    u, one = row(*two, 1, 1, D), torch.ones(*two, 1, 1, 1, dtype=torch.bfloat16)
    parameters = -normal(*two, D, 1).abs() - 0.1, one.expand(*two, 1, length, 1)
    delta = torch.ones_like(u).expand(*two, 1, length, D)
    return u.expand(*two, 1, length, D), delta, *parameters, parameters[1], None, None, None, True


def scan_gradient(length: int, directions: int) -> tuple:
    given, ops = scan(length, directions), torch.ops.ssamba
    dout = row(1, 1, D).expand(1, length, D)
    if directions == 2:
        return ops.bi_scan_backward(dout, ops.bi_scan_forward(*given, None)[1], *given, None)[:2]
    _, state, checkpoints = ops.selective_scan_forward(*given, None, False, None)
    return ops.selective_scan_backward(dout, state * 0, checkpoints, *given, None, False, None)[:2]


# By call: the result for clips of so many tokens, and how many directions lie side by side in it.
CALLS = {
    "causal_conv1d": (lambda n: torch.ops.ssamba.causal_conv1d(*conv(n), True), 1),
    "causal_conv1d_backward": (
        lambda n: torch.ops.ssamba.causal_conv1d_backward(conv(n)[0], *conv(n), True, None, False, None)[0],
        1,
    ),
    "bi_conv1d": (lambda n: torch.ops.ssamba.bi_conv1d(*bi_conv(n), True), 2),
    "bi_conv1d_backward": (
        lambda n: torch.ops.ssamba.bi_conv1d_backward(bi_conv(n)[0].expand(2, 1, n, D), *bi_conv(n), True, None)[0],
        1,
    ),
    "patch_mask": (
        lambda n: torch.ops.ssamba.patch_mask(conv(n)[0], mask(n), normal(D), row(1, D).expand(n, D)),
        1,
    ),
    "patch_mask_backward": (
        lambda n: torch.ops.ssamba.patch_mask_backward(conv(n)[0], mask(n).logical_not(), False)[0],
        1,
    ),
    "selective_scan": (lambda n: torch.ops.ssamba.selective_scan(*scan(n, 1))[0], 1),
    "selective_scan_backward": (lambda n: scan_gradient(n, 1), 1),
    "bi_scan": (lambda n: torch.ops.ssamba.bi_scan(*scan(n, 2)), 1),
    "bi_scan_backward": (lambda n: scan_gradient(n, 2), 2),
}


def pieces(x: torch.Tensor) -> torch.Tensor:
    """The tokens at both ends and in the middle."""
    middle = x.shape[-2] // 2
    return torch.cat([x[..., :EDGE, :], x[..., middle : middle + EDGE, :], x[..., -EDGE:, :]], dim=-2)


@pytest.mark.parametrize("call", CALLS)
def test_more_elements_than_32_bits_count(call):
    run, directions = CALLS[call]
    long = 2**31 // D // directions // SHORT * SHORT + SHORT
    assert long * D * directions > 2**31
    expected = [pieces(x) for x in as_tuple(run(SHORT))]
    found = [pieces(x) for x in as_tuple(run(long))]
    assert all((x != 0).any() for x in expected)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-6)


def test_more_cells_than_32_bits_count():
    clips, grid = 2**18 + 1, (64, 128, 300, 3, 5)
    assert clips * grid[0] * grid[1] > 2**31
    masks = torch.ops.ssamba.sample_patch_mask(clips, *grid, 7)
    assert (masks.view(torch.uint8)[-1000:].sum(1, dtype=torch.int64) == grid[2]).all()
