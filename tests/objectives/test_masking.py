"""Hidden patches: how many, where, and the same again for the same seed."""

from __future__ import annotations

import pytest
import torch

from ssamba.config import SSAMBAConfig
from ssamba.objectives.masking import hidden_patches, sample_mask

CLUSTER = SSAMBAConfig.tiny(masked_patches=200)
FRAME = SSAMBAConfig.tiny(masked_patches=200, masking="frame")


@pytest.mark.parametrize("config", [CLUSTER, FRAME], ids=["cluster", "frame"])
def test_exact_count_and_seed(config):
    mask = sample_mask(config, 16, 64, seed=5)
    assert mask.shape == (16, 512)
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [200] * 16
    assert torch.equal(mask, sample_mask(config, 16, 64, seed=5))
    assert not torch.equal(mask, sample_mask(config, 16, 64, seed=6))
    assert not torch.equal(mask[0], mask[1])


@pytest.mark.parametrize("config", [CLUSTER, FRAME], ids=["cluster", "frame"])
def test_without_a_seed_the_default_generator_decides(config):
    torch.manual_seed(7)
    first, second = sample_mask(config, 2, 64), sample_mask(config, 2, 64)
    torch.manual_seed(7)
    assert torch.equal(first, sample_mask(config, 2, 64))
    assert not torch.equal(first, second)


def test_frame_masks_are_whole_columns_drawn_uniformly():
    mask = sample_mask(FRAME, 2000, 64, seed=0).unflatten(1, (8, 64))
    assert torch.equal(mask.all(1), mask.any(1))
    share = mask[:, 0].float().mean(0)
    assert (share - 25 / 64).abs().max() < 5 * (25 / 64 * 39 / 64 / 2000) ** 0.5


def test_cluster_masks_reach_every_patch():
    mask = sample_mask(CLUSTER, 2000, 64, seed=0)
    assert mask.any(0).all()
    assert not mask.all(0).any()


@pytest.mark.parametrize(
    ("config", "wanted"), [(CLUSTER, [200, 100, 3, 6]), (FRAME, [200, 96, 8, 8])], ids=["cluster", "frame"]
)
def test_shorter_clips_hide_their_share_inside_themselves(config, wanted):
    columns = torch.tensor([64, 32, 1, 2])
    mask = sample_mask(config, 4, 64, columns, seed=1)
    assert mask.sum(1).tolist() == wanted
    for clip, valid in enumerate(columns):
        assert not mask[clip].unflatten(0, (8, 64))[:, valid:].any()
    assert torch.equal(mask, sample_mask(config, 4, 64, columns, seed=1))


def test_shorter_clips_keep_clusters():
    """Pairs of hidden neighbours are more frequent than if patches were hidden one by one."""
    clips = torch.full((50,), 48)
    mask = sample_mask(CLUSTER, 50, 64, clips, seed=2).unflatten(1, (8, 64))[:, :, :48].float()
    random_share = 150 / 384
    assert (mask[:, :, :-1] * mask[:, :, 1:]).mean() > 1.5 * random_share**2


def test_refusals():
    with pytest.raises(ValueError, match=r"masked_patches is 200, but the input has only 8 x 25 = 200 patches"):
        sample_mask(CLUSTER, 2, 25)
    with pytest.raises(
        ValueError, match="masked_patches is 100, but masking whole columns of 8 patches needs a multiple"
    ):
        sample_mask(SSAMBAConfig.tiny(masked_patches=100, masking="frame"), 2, 64)
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[1, 4:] = False
    half = torch.tensor([[True, False] * 3] * 2)
    for mask, message in [
        (half.int(), "mask is torch.int32"),
        (half[:1], r"mask has shape \(1, 6\), the batch \(2, 6\)"),
        (half, "mask hides 1 patches of padding"),
        (torch.zeros_like(half), "mask hides 0 to 0 of 6 patches a clip"),
        (torch.ones_like(half), "mask hides 6 to 6 of 6"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            hidden_patches(mask, valid)


def test_hidden_patches_are_listed_in_order():
    mask = torch.tensor([[True, False, True, True, False], [False, False, False, False, True]])
    _, index, chosen = hidden_patches(mask, torch.ones_like(mask))
    assert index[0].tolist() == [0, 2, 3]
    assert index[1, 0] == 4
    assert chosen.tolist() == [[True] * 3, [True, False, False]]


def test_a_hidden_patch_does_not_reach_the_encoder(make_model, noise):
    model, x = make_model(), noise(1, 96, 128)
    mask = torch.zeros(1, 48, dtype=torch.bool)
    mask[0, 8] = True  # second band, third column
    changed = x.clone()
    changed[0, 32:48, 16:32] += 1.0
    with torch.no_grad():
        before, after = model.pretrain_loss(x, mask=mask), model.pretrain_loss(changed, mask=mask)
        assert torch.equal(before.reconstruction, after.reconstruction)
        assert before.generative != after.generative
        assert not torch.equal(model.encode(x), model.encode(changed))
