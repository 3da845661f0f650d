"""Clips in a padded batch give what they give alone."""

from __future__ import annotations

import pytest
import torch

TOLERANCE = {"rtol": 0, "atol": 1e-5}
FRAMES = [150, 150, 97, 16, 64]  # in columns: 9, 9, 6, 1, 4


def padded(noise, frames=FRAMES, junk=0.0, width=None):
    x = noise(len(frames), width or max(frames), 128)
    for clip, length in zip(x, frames, strict=True):
        clip[length:] = junk
    return x


@pytest.mark.parametrize("layout", ["sequential", "paired"])
@pytest.mark.parametrize("input_tdim", [256, 96], ids=["shorter-than-table", "longer-than-table"])
def test_padded_batch_equals_clip_by_clip(make_model, noise, layout, input_tdim):
    model = make_model(layout=layout, input_tdim=input_tdim)
    x = padded(noise, junk=3.0, width=190)  # 11 columns: two more than any clip has
    with torch.no_grad():
        tokens = model.encode(x, lengths=torch.tensor(FRAMES))
        patches = tokens[:, 1:].unflatten(1, (8, 11))
        scores = {
            pooling: model.classify(x, pooling, torch.tensor(FRAMES)) for pooling in ("avgtok", "cls", "segments")
        }
        for clip, frames in enumerate(FRAMES):
            alone = model.encode(x[clip : clip + 1, :frames])[0]
            columns = (frames - 16) // 16 + 1
            torch.testing.assert_close(tokens[clip, 0], alone[0], **TOLERANCE)
            torch.testing.assert_close(patches[clip, :, :columns], alone[1:].unflatten(0, (8, columns)), **TOLERANCE)
            assert not patches[clip, :, columns:].any()
            for pooling, score in scores.items():
                own = model.classify(x[clip : clip + 1, :frames], pooling)[0]
                if pooling == "segments":  # the padding reaches into a second that this clip does not
                    torch.testing.assert_close(score[clip, : len(own)], own, **TOLERANCE)
                    assert not score[clip, len(own) :].any()
                else:
                    torch.testing.assert_close(score[clip], own, **TOLERANCE)


def test_padding_gets_no_gradient_and_clips_do(make_model, noise):
    model = make_model(torch.float64)
    x = padded(noise).double().requires_grad_()
    model.classify(x, lengths=FRAMES).square().sum().backward()
    for clip, frames in enumerate(FRAMES):
        used = 16 * ((frames - 16) // 16 + 1)
        assert not x.grad[clip, used:].any()
        assert x.grad[clip, :used].abs().min() > 0


def test_full_lengths_change_nothing(make_model, noise):
    model, x = make_model(), noise(2, 96, 128)
    with torch.no_grad():
        assert torch.equal(model.encode(x), model.encode(x, lengths=torch.tensor([96, 96])))
        assert torch.equal(model.encode(x), model.encode(x, lengths=[90 + 6, 96]))


def test_pretraining_of_a_padded_batch(make_model, noise):
    """The losses over a padded batch are those of its clips, weighted by their hidden patches."""
    model, frames = make_model(torch.float64, masked_patches=24), [96, 48]
    x = padded(noise, frames).double()
    with torch.no_grad():
        batch = model.pretrain_loss(x, lengths=torch.tensor(frames), seed=3)
        mask = batch.mask.unflatten(1, (8, 6))
        assert mask.flatten(1).sum(1).tolist() == [24, 12]
        assert not mask[1, :, 3:].any()
        first = model.pretrain_loss(x[:1], mask=mask[:1].flatten(1))
        second = model.pretrain_loss(x[1:, :48], mask=mask[1:, :, :3].flatten(1))
    for name in ("discriminative", "generative", "accuracy"):
        wanted = (24 * getattr(first, name) + 12 * getattr(second, name)) / 36
        torch.testing.assert_close(getattr(batch, name), wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(batch.reconstruction[1, :12], second.reconstruction[0], rtol=0, atol=1e-10)
    assert not batch.reconstruction[1, 12:].any()


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([96, 97], r"lengths holds 97; valid frames must be at least one patch \(16\) and at most the 96"),
        ([96, 15], "lengths holds 15"),
        ([96], r"lengths must be 2 integers, got torch.int64 of shape \(1,\)"),
        ([96.0, 20.0], "lengths must be 2 integers, got torch.float32"),
    ],
)
def test_bad_lengths(make_model, noise, lengths, message):
    with pytest.raises(ValueError, match=message):
        make_model().encode(noise(2, 96, 128), lengths=torch.tensor(lengths))
