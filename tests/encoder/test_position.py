"""The position table carried to other grids."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssamba.encoder.position import adapt_position_table, clip_positions

TABLE = torch.randn(1, 1 + 8 * 20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
GRID = (8, 20)


def patches(table, grid):
    return table[0, 1:].unflatten(0, grid)  # (f, t, D)


@pytest.mark.parametrize("layout", ["sequential", "paired"])
def test_same_grid_is_the_same_table(layout):
    assert torch.equal(adapt_position_table(TABLE, GRID, GRID, layout), TABLE)


def test_a_shorter_grid_reads_the_first_columns_or_the_centre():
    first = adapt_position_table(TABLE, GRID, (8, 7), "sequential")
    assert torch.equal(patches(first, (8, 7)), patches(TABLE, GRID)[:, :7])
    centre = adapt_position_table(TABLE, GRID, (8, 7), "paired")
    assert torch.equal(patches(centre, (8, 7)), patches(TABLE, GRID)[:, 7:14])  # 20 // 2 - 7 // 2
    assert torch.equal(first[:, 0], TABLE[:, 0])


@pytest.mark.parametrize("layout", ["sequential", "paired"])
@pytest.mark.parametrize("grid", [(8, 33), (12, 20), (13, 41)])
def test_a_larger_grid_stretches_the_table(layout, grid):
    found = patches(adapt_position_table(TABLE, GRID, grid, layout), grid)
    image = patches(TABLE, GRID).permute(2, 0, 1).unsqueeze(0)
    wanted = F.interpolate(image, grid, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_other_strides_keep_the_place_in_the_sound():
    """With a table that is linear in time and frequency, every patch finds its own place exactly."""
    row, column = torch.meshgrid(torch.arange(8.0).double(), torch.arange(20.0).double(), indexing="ij")
    table = torch.cat([torch.zeros(1, 2), torch.stack([16 * row, 16 * column], -1).flatten(0, 1)]).unsqueeze(0)
    grid = (12, 31)
    found = patches(adapt_position_table(table, GRID, grid, "sequential", (10 / 16, 10 / 16)), grid)
    torch.testing.assert_close(found[:, 5, 0], 10 * torch.arange(12.0).double())
    torch.testing.assert_close(found[4, :, 1], 10 * torch.arange(31.0).double())


@pytest.mark.parametrize("layout", ["sequential", "paired"])
@pytest.mark.parametrize("width", [15, 26])
def test_clips_of_a_batch_each_get_their_own(layout, width):
    columns = torch.tensor([width, 1, 6, 13])
    found = clip_positions(TABLE, GRID, columns, width, layout).unflatten(1, (8, width))
    for clip, valid in enumerate(columns.tolist()):
        alone = patches(adapt_position_table(TABLE, GRID, (8, valid), layout), (8, valid))
        torch.testing.assert_close(found[clip, :, :valid], alone, rtol=0, atol=1e-13)


def test_a_table_that_does_not_fit_its_grid():
    with pytest.raises(ValueError, match=r"shape \(1, 161, 6\); 8 x 21 patches and the cls token need \(1, 169, D\)"):
        adapt_position_table(TABLE, (8, 21), (8, 21), "sequential")
