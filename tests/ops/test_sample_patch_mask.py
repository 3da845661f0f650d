from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import ssamba_ops
from machine import device
from ssamba_ops import reference

PUBLISHED = (8, 64)  # rows, cols of a 128 x 1024 spectrogram in patches of 16 x 16


def sample_patch_mask(*arguments, **named):
    return ssamba_ops.sample_patch_mask(*arguments, **named, device=device()).cpu()


@pytest.mark.parametrize(
    "arguments",
    [
        (3, 8, 64, 400, 3, 5),
        (3, 8, 64, 250, 3, 5),
        (2, 8, 64, 512, 3, 5),
        (2, 8, 64, 0, 3, 5),
        (4, 12, 101, 300, 1, 1),
        (4, 1, 40, 13, 2, 4),
        (4, 40, 1, 13, 2, 4),
        (4, 3, 5, 7, 30, 100),
        (5, 1, 1, 1, 1, 1),
        (0, 8, 64, 400, 3, 5),
    ],
    ids=str,
)
def test_matches_reference_seed_for_seed(arguments):
    batch, rows, cols, masked = arguments[:4]
    for seed in (0, 1, -1, 2**63 - 1, -(2**63)):
        mask = sample_patch_mask(*arguments, seed)
        assert mask.dtype == torch.bool
        assert mask.shape == (batch, rows * cols)
        assert torch.equal(mask, reference.sample_patch_mask(*arguments, seed).cpu())
        assert mask.sum(1).tolist() == [masked] * batch


@pytest.mark.parametrize("arguments", [(3, 2, 4096, 40, 2, 3), (33, 3, 2731, 40, 2, 3)], ids=str)
def test_grids_around_what_a_block_of_a_gpu_holds(arguments):
    """8192 cells, and one more, which a GPU draws where they are written; then 33 clips are more than a block has."""
    assert torch.equal(sample_patch_mask(*arguments, 5), reference.sample_patch_mask(*arguments, 5).cpu())


def test_known_draw():
    """Pins the generator: these bits may never change, or seeds in users' configurations mean another thing."""
    mask = sample_patch_mask(1, 4, 12, 20, 2, 3, 42).view(4, 12).tolist()
    assert ["".join(".#"[cell] for cell in row) for row in mask] == [
        "###.....###.",
        "###.....###.",
        "####....###.",
        "...#........",
    ]


def test_clip_depends_on_seed_and_position_only():
    many = sample_patch_mask(50, *PUBLISHED, 300, 3, 5, 7)
    for count in (1, 8, 9, 49):
        assert torch.equal(many[:count], sample_patch_mask(count, *PUBLISHED, 300, 3, 5, 7))
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(many, sample_patch_mask(50, *PUBLISHED, 300, 3, 5, 7))
    finally:
        torch.set_num_threads(threads)


def test_clips_and_seeds_differ():
    drawn = torch.cat([sample_patch_mask(100, *PUBLISHED, 300, 3, 5, seed) for seed in range(10)])
    assert len(drawn.unique(dim=0)) == 1000


@pytest.mark.parametrize("masked", [250, 300, 400])
def test_every_place_is_masked_equally_often(masked):
    """Row by row, column by column and in the corners. The published rule masks its lowest band half as often."""
    clips = 20_000
    mask = sample_patch_mask(clips, *PUBLISHED, masked, 3, 5, 1).view(clips, *PUBLISHED).float()
    mean = masked / 512
    rows, cols = mask.mean((0, 2)), mask.mean((0, 1))
    corners = mask[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(0)
    # Five standard errors of 20,000 draws are 0.018 for a single patch; means over rows and columns leave less.
    assert (rows - mean).abs().max() < 0.006
    assert (cols - mean).abs().max() < 0.009
    assert (corners - mean).abs().max() < 0.02


def test_excess_is_not_removed_by_index():
    """With one square larger than asked for, what is kept of it is uniform: 4 of the 9 patches of a full grid."""
    clips = 9000
    rate = sample_patch_mask(clips, 3, 3, 4, 50, 50, 3).float().mean(0)
    assert (rate - 4 / 9).abs().max() < 5 * (4 / 9 * 5 / 9 / clips) ** 0.5


def test_masks_are_clusters():
    """Neighbours of a masked patch are masked more often than in a mask of single patches of the same size."""

    def neighbours(min_cluster, max_cluster):
        mask = sample_patch_mask(500, *PUBLISHED, 128, min_cluster, max_cluster, 5).view(-1, *PUBLISHED)
        return (mask[:, :, 1:] & mask[:, :, :-1]).float().mean() / mask.float().mean()

    assert abs(neighbours(1, 1) - 0.25) < 0.02
    assert neighbours(3, 5) > 0.6


@pytest.mark.parametrize("max_cluster", [3, 4, 5])
def test_squares_have_the_sides_asked_for(max_cluster):
    """9 patches are one whole square if its side is 3 and it lies inside: 28 of 32 positions along each axis."""
    clips = 6000
    mask = sample_patch_mask(clips, 30, 30, 9, 3, max_cluster, 11).view(clips, 1, 30, 30).float()
    whole = F.avg_pool2d(mask, 3, stride=1, divisor_override=1).amax((1, 2, 3)) == 9
    expected = (28 / 32) ** 2 / (max_cluster - 2)
    assert abs(whole.float().mean() - expected) < 5 * (expected * (1 - expected) / clips) ** 0.5


@pytest.mark.host
def test_without_a_device_is_drawn_on_the_cpu():
    mask = ssamba_ops.sample_patch_mask(3, *PUBLISHED, 300, 3, 5, 7)
    assert mask.is_cpu
    assert torch.equal(mask, ssamba_ops.sample_patch_mask(3, *PUBLISHED, 300, 3, 5, 7, device="cpu"))
    with pytest.raises(RuntimeError, match="sample_patch_mask: rows is 0; expected 1 to"):
        ssamba_ops.sample_patch_mask(2, 0, 6, 5, 1, 2, 0)


def test_large_grids_match_reference():
    arguments = (2, 101, 100, 3000, 3, 20, 5)
    assert torch.equal(sample_patch_mask(*arguments), reference.sample_patch_mask(*arguments).cpu())


def test_opcheck_and_compile():
    torch.library.opcheck(torch.ops.ssamba.sample_patch_mask.default, (2, 4, 6, 5, 1, 2, 3))
    torch.library.opcheck(torch.ops.ssamba.sample_patch_mask.like, (torch.empty(0), 2, 4, 6, 5, 1, 2, 3))
    compiled = torch.compile(lambda: sample_patch_mask(2, 4, 6, 5, 1, 2, 3).sum(1), fullgraph=True)
    assert compiled().tolist() == [5, 5]


@pytest.mark.host
def test_compiled_for_any_size_with_a_fixed_seed():
    """Sizes are part of what a mask follows from, though no tensor goes in: one graph serves all of them."""

    def draw(x):
        return sample_patch_mask(x.shape[0], 4, x.shape[1] // 2, x.shape[1], 1, 2, 0)

    compiled = torch.compile(draw, fullgraph=True, dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for batch, cols in ((2, 16), (2, 24), (3, 50)):
            x = torch.empty(batch, cols)
            assert torch.equal(compiled(x), draw(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": -1}, "batch is -1; expected 0 to"),
        ({"rows": 0}, "rows is 0; expected 1 to"),
        ({"cols": -3}, "cols is -3; expected 1 to"),
        ({"masked": -1}, r"masked is -1; expected 0 to rows \* cols = 24"),
        ({"masked": 25}, r"masked is 25; expected 0 to rows \* cols = 24"),
        ({"min_cluster": 0}, "min_cluster is 0; expected 1 to max_cluster = 2"),
        ({"min_cluster": 3}, "min_cluster is 3; expected 1 to max_cluster = 2"),
        ({"max_cluster": 0}, "max_cluster is 0; expected 1 to"),
        ({"max_cluster": 2**40}, "max_cluster is 1099511627776; expected 1 to 2147483647"),
    ],
    ids=str,
)
def test_bad_input_is_named(change, message):
    arguments = {"batch": 2, "rows": 4, "cols": 6, "masked": 5, "min_cluster": 1, "max_cluster": 2, "seed": 0}
    with pytest.raises(RuntimeError, match=f"sample_patch_mask: {message}"):
        sample_patch_mask(**arguments | change)
