"""The classification head on its four poolings."""

from __future__ import annotations

import pytest
import torch


def test_mean_and_cls_pooling_are_the_head_on_tokens(make_model, noise):
    model, x = make_model(), noise(2, 96, 128)
    with torch.no_grad():
        tokens = model.encode(x)
        assert torch.equal(model.classify(x, "cls"), model.head(tokens[:, 0]))
        torch.testing.assert_close(model.classify(x), model.head(tokens[:, 1:].mean(1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("strides", [{}, {"fstride": 10, "tstride": 10}], ids=["stride16", "stride10"])
def test_segments_are_seconds(make_model, noise, strides):
    """Column by column: a second is the mean of the columns that touch it, by the frames they share."""
    model, x = make_model(torch.float64, input_tdim=298, **strides), noise(2, 298, 128).double()
    rows, width = model.config.grid
    stride = model.config.tstride
    with torch.no_grad():
        columns = model.encode(x)[:, 1:].unflatten(1, (rows, width)).mean(1)
        found = model.classify(x, "segments")
        assert found.shape[1] == 3  # 3 s of audio give 298 frames
        for second in range(3):
            frames = set(range(100 * second, 100 * second + 100))
            shared = [len(frames & set(range(stride * c, stride * c + 16))) for c in range(width)]
            pooled = sum(n * columns[:, c] for c, n in enumerate(shared)) / sum(shared)
            torch.testing.assert_close(found[:, second], model.head(pooled), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("frames", "seconds"), [(16, 1), (98, 1), (101, 1), (128, 2), (198, 2), (1098, 11)])
def test_number_of_segments(make_model, noise, frames, seconds):
    model = make_model(depth=1, embed_dim=8)
    with torch.no_grad():
        assert model.classify(noise(1, frames, 128), "segments").shape == (1, seconds, 5)


def test_published_segments_are_runs_of_tokens(make_model, noise):
    model, x = make_model(layout="paired"), noise(2, 270, 128)  # 8 x 16 patches and cls: 129 tokens
    with torch.no_grad():
        found = model.classify(x, "published_segments")
        tokens = model.encode(x)
        for segment in (0, 1, 59):
            wanted = model.head(tokens[:, 2 * segment : 2 * segment + 2].mean(1))
            torch.testing.assert_close(found[:, segment], wanted, rtol=0, atol=1e-6)
    assert found.shape == (2, 60, 5)
    with pytest.raises(ValueError, match="needs at least 59 patches and no padding"):
        model.classify(x[:, :64], "published_segments")


def test_refusals(make_model, noise):
    x = noise(1, 96, 128)
    with pytest.raises(ValueError, match="no classification head; set num_classes"):
        make_model(num_classes=None).classify(x)
    with pytest.raises(ValueError, match=r"pooling is 'mean'; choose one of 'avgtok', 'cls', 'segments'$"):
        make_model().classify(x, "mean")
    with pytest.raises(ValueError, match="pooling is 'published_segments'"):
        make_model().classify(x, "published_segments")
