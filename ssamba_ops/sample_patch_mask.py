"""Drawing of patch masks."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_patch_mask(
    batch: int,
    rows: int,
    cols: int,
    masked: int,
    min_cluster: int,
    max_cluster: int,
    seed: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """Draws masks as clusters: squares of patches, placed at random until exactly `masked` of a clip are covered.

    Each clip draws the side of its squares once, uniformly from min_cluster to max_cluster. Squares are placed evenly
    over all places in which at least one patch is covered; what lies outside the grid is cut off. So each patch, at
    the border or not, is covered by a square with the same probability. Of what the last square covers anew, patches
    drawn at random are given back. For the published grid (8 x 64, 250 to 400 masked, sides 3 to 5) the rate at which a
    patch is masked is the same everywhere to within 0.01.

    Clip b depends on (seed, b) and the other arguments alone: not on batch, the number of threads, the device or the
    platform.

    Args:
        batch: clips, B.
        rows: patches along frequency, at least 1.
        cols: patches along time, at least 1.
        masked: patches to mask in each clip, from 0 to rows * cols.
        min_cluster: least side of a square in patches, at least 1. With 1 for both, single patches are drawn.
        max_cluster: greatest side of a square in patches.
        seed: any integer of 64 bits.
        device: where to draw; on the CPU if not given.

    Returns:
        bool (B, rows * cols) on `device`, true where masked; the patch at (row, col) has index row * cols + col.

    Raises:
        RuntimeError: a number is out of its range; the message names it.

    Source: Gong et al., "SSAST", arXiv 2110.09784, algorithm 1, without its preference for some places of the grid.
    """
    arguments = (batch, rows, cols, masked, min_cluster, max_cluster, seed)
    if device is None:
        return torch.ops.ssamba.sample_patch_mask(*arguments)
    return torch.ops.ssamba.sample_patch_mask.like(torch.empty(0, device=device), *arguments)


@torch.library.register_fake("ssamba::sample_patch_mask")
def _fake(batch: int, rows: int, cols: int, masked: int, min_cluster: int, max_cluster: int, seed: int) -> Tensor:
    return torch.empty((batch, rows * cols), dtype=torch.bool, device="cpu")


@torch.library.register_fake("ssamba::sample_patch_mask.like")
def _fake_like(
    like: Tensor, batch: int, rows: int, cols: int, masked: int, min_cluster: int, max_cluster: int, seed: int
) -> Tensor:
    return like.new_empty((batch, rows * cols), dtype=torch.bool)
