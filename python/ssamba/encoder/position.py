"""The position table on other grids than the one it was learned on.

A grid has f rows (frequency) and t columns (time). A rule says at which place of the old axis, maybe a fractional one,
each new row or column reads; the table is then read there by linear interpolation, one axis after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor


def adapt_position_table(
    table: Tensor,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    layout: str,
    stride_ratio: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Carries a position table (1, 1 + f·t, D), whose row 0 belongs to the cls token, from one grid to another.

    `stride_ratio` is new stride / old stride along frequency and along time. Rule of the sequential layout: a patch
    reads where its sound lies in the old grid (with unchanged strides: the first rows and columns), and a grid that
    reaches past the table stretches the whole table over itself. Rule of the paired layout, as published: a smaller
    grid reads the centre of the table whatever its stride, a larger one stretches the table. The same grid with the
    same strides gives the same table. Raises ValueError when the table does not fit `old_grid`.
    """
    if table.dim() != 3 or table.shape[1] != 1 + old_grid[0] * old_grid[1]:
        raise ValueError(
            f"position table has shape {tuple(table.shape)}; {old_grid[0]} x {old_grid[1]} patches and the cls token "
            f"need (1, {1 + old_grid[0] * old_grid[1]}, D)"
        )
    patches = table[0, 1:].unflatten(0, old_grid)  # (f, t, D)
    for axis in (1, 0):
        size = torch.scalar_tensor(new_grid[axis], dtype=torch.int64, device=table.device)
        places = _places(_index(new_grid[axis], table), old_grid[axis], size, layout, stride_ratio[axis])
        patches = _read(patches.movedim(axis, 0), places).movedim(0, axis)
    return torch.cat([table[:, :1], patches.flatten(0, 1).unsqueeze(0)], dim=1)


def clip_positions(table: Tensor, grid: tuple[int, int], columns: Tensor, width: int, layout: str) -> Tensor:
    """Positions of patches in a padded batch, each clip as if it were alone.

    table (1, 1 + f·t, D) on `grid` (f, t), columns (B,) valid columns per clip, width the columns of the padded grid;
    result (B, f · width, D), meaningless at padding.
    """
    rows = table[0, 1:].unflatten(0, grid).transpose(0, 1)  # (t, f, D)
    places = _places(_index(width, table), grid[1], columns[:, None], layout, 1.0)  # (B, width)
    return _read(rows, places).transpose(1, 2).flatten(1, 2)


def _index(size: int, table: Tensor) -> Tensor:
    return torch.arange(size, device=table.device, dtype=torch.promote_types(table.dtype, torch.float32))


def _places(index: Tensor, old: int, new: Tensor, layout: str, stride_ratio: float) -> Tensor:
    """Where on an axis of `old` places the items `index` of an axis of `new` places read; float, in [0, old - 1]."""
    stretched = (index + 0.5) * old / new - 0.5
    if layout == "paired":
        places = torch.where(new < old, index + (old // 2 - new // 2), stretched)
    else:
        places = torch.where((new - 1) * stride_ratio <= old - 1, index * stride_ratio, stretched)
    return places.clamp(0, old - 1)


def _read(items: Tensor, places: Tensor) -> Tensor:
    """items (n, …) at fractional places of any shape → (*places, …)."""
    below = places.long()
    above = (below + 1).clamp(max=items.shape[0] - 1)
    weight = (places - below).to(items.dtype)[(...,) + (None,) * (items.dim() - 1)]
    return torch.lerp(items[below], items[above], weight)
