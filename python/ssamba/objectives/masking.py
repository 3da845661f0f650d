"""Which patches pretraining hides."""

from __future__ import annotations

import torch
from torch import Tensor

import ssamba_ops

from ..config import SSAMBAConfig


def sample_mask(
    config: SSAMBAConfig, batch: int, columns: int, valid_columns: Tensor | None = None, seed: int | None = None
) -> Tensor:
    """Draws the hidden patches of a batch: bool (batch, rows · columns), frequency-major, on the CPU.

    masking "cluster" hides squares of min_cluster to max_cluster patches, `masked_patches` per clip in all; "frame"
    hides whole time columns, drawn uniformly (the published frame mask, for patches that span all mel bins);
    "published_cluster" is the published rule for squares, which hides some places of the grid less often than others
    (see `published_clusters`). With `valid_columns` (batch,) only patches of these first columns are hidden, as many as
    the clip's share of the grid: max(1, floor(masked_patches · valid / columns)), in columns for "frame". The same seed
    gives the same mask; without one it comes from torch's default generator. Raises ValueError when nothing would stay
    visible, or too little for the published rule.
    """
    rows, masked = config.rows, config.masked_patches
    if masked >= rows * columns:
        raise ValueError(
            f"masked_patches is {masked}, but the input has only {rows} x {columns} = {rows * columns} patches and "
            "some must stay visible; lower masked_patches or use longer clips"
        )
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    if config.masking == "frame":
        return _frame_mask(rows, columns, masked, batch, valid_columns, seed)
    sampler = published_clusters if config.masking == "published_cluster" else ssamba_ops.sample_patch_mask
    clusters = sampler(batch, rows, columns, masked, config.min_cluster, config.max_cluster, seed)  # (B, P)
    if valid_columns is None:
        return clusters
    valid = (torch.arange(columns) < valid_columns.cpu()[:, None]).repeat(1, rows)  # (B, P)
    wanted = (masked * valid.sum(1) // (rows * columns)).clamp(min=1)
    # The clusters hide about this many valid patches; a random few are put back or added to hide exactly as many.
    return _highest(_uniform(valid.shape, seed) + clusters.float(), valid, wanted)


def published_clusters(
    batch: int, rows: int, columns: int, masked: int, min_cluster: int, max_cluster: int, seed: int
) -> Tensor:
    """The published cluster mask, of all clips at once: bool (batch, rows · columns), `masked` true in each clip.

    Each clip draws the side c of its squares, uniform in min_cluster … max_cluster, then squares until they cover more
    than `masked` patches, of which the lowest `masked` are hidden. A square covers the patches start + columns · i + j,
    i, j in 0 … c - 1, that lie in 1 … P - 1, with start uniform in 0 … P - 1: it may run on into the next row, and
    patch 0 is never covered. Which patches the published code lets go depends on the order of a Python set; for its
    8 x 64 patches and masked ≥ 100 these are the highest, as here. Raises ValueError when masked ≥ P - 1, which can
    never be exceeded: the published code does not end there.
    """
    patches = rows * columns
    if masked > patches - 2:
        raise ValueError(
            f"masked_patches is {masked}, but the published cluster rule covers only patches 1 to {patches - 1} and "
            f"ends when it has covered more than it hides; with {rows} x {columns} = {patches} patches it can hide "
            f"{max(patches - 2, 0)} at most"
        )
    generator = torch.Generator().manual_seed(seed)
    side = torch.randint(min_cluster, max_cluster + 1, (batch, 1, 1), generator=generator)
    step = torch.arange(max_cluster)
    offset = (columns * step[:, None] + step).flatten()  # (c²,)
    inside = ((step[:, None] < side) & (step < side)).flatten(1)  # (B, c²)
    squares, drawn, never = 1 + 2 * patches // min_cluster**2, 0, torch.iinfo(torch.int64).max
    covered_by = torch.full((batch, patches), never)  # number of the first square that covers the patch
    while True:  # each round covers any given patch with a fixed chance, so this ends
        place = torch.randint(patches, (batch, squares, 1), generator=generator) + offset  # (B, squares, c²)
        place = torch.where(inside[:, None] & (place < patches), place, 0)
        number = torch.arange(drawn, drawn + squares)[:, None].expand_as(place)
        covered_by.scatter_reduce_(1, place.flatten(1), number.flatten(1), "amin")
        covered_by[:, 0] = never
        last = covered_by.kthvalue(masked + 1, dim=1, keepdim=True).values  # the square that makes more than enough
        if (last < never).all():
            break
        drawn += squares
    covered = covered_by <= last
    return covered & (covered.cumsum(1) <= masked)


def hidden_patches(mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lists the hidden patches of a mask (B, P), of which `valid` (B, P) may be hidden.

    Returns the mask; the index of each hidden patch, ascending, (B, K), K the most of any clip; and which entries of
    that list are hidden patches, bool (B, K). Raises ValueError or TypeError when the mask does not fit the batch,
    hides no patch of a clip or every one, or hides padding.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"mask is {mask.dtype}; give a bool tensor, True at hidden patches")
    if mask.shape != valid.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, the batch {tuple(valid.shape)} (clips, patches)")
    if not len(mask):
        raise ValueError("the batch holds no clips")
    counts = mask.sum(dim=1)
    fewest, most, padding = torch.stack([counts.min(), counts.max(), (mask & ~valid).sum()]).tolist()
    if fewest < 1 or most >= mask.shape[1]:
        raise ValueError(f"mask hides {fewest} to {most} of {mask.shape[1]} patches a clip; at least 1, and never all")
    if padding:
        raise ValueError(f"mask hides {padding} patches of padding")
    index = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    return mask, index, torch.arange(most, device=mask.device) < counts[:, None]


def take_patches(patches: Tensor, index: Tensor) -> Tensor:
    """patches (B, P, E) at index (B, K) → (B, K, E)."""
    return patches.gather(1, index.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def _frame_mask(rows: int, columns: int, masked: int, batch: int, valid_columns: Tensor | None, seed: int) -> Tensor:
    if masked % rows:
        raise ValueError(
            f"masked_patches is {masked}, but masking whole columns of {rows} patches needs a multiple of {rows}"
        )
    valid = torch.full((batch,), columns) if valid_columns is None else valid_columns.cpu()
    wanted = (masked // rows * valid // columns).clamp(min=1)
    hidden = _highest(_uniform((batch, columns), seed), torch.arange(columns) < valid[:, None], wanted)
    return hidden.repeat(1, rows)


def _uniform(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _highest(score: Tensor, allowed: Tensor, wanted: Tensor) -> Tensor:
    """True at each row's `wanted` (B,) highest scores (B, n) among the allowed."""
    order = score.masked_fill(~allowed, -1.0).argsort(dim=1, descending=True)
    chosen = torch.arange(score.shape[1]) < wanted[:, None]
    return torch.zeros_like(allowed).scatter(1, order, chosen)
