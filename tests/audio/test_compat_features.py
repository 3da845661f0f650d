"""Features "compat" are what the published data loader gives the network; "sound" pads with the mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssamba.audio.log_mel import log_mel
from ssamba.model import SSAMBA

STATISTICS = {"pre1024": {"input_tdim": 1024}, "sc128": {"input_tdim": 128, "mean": -6.845978, "std": 5.5654526}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", STATISTICS)
def test_equal_the_published_loader(make_model, fbank, golden_wave, case, dtype):
    model = make_model(features="compat", **STATISTICS[case])
    x, frames = model.features(golden_wave[None].to(dtype))
    assert frames is None
    assert x.shape == (1, model.config.input_tdim, 128)
    error = np.abs(x[0].numpy()[fbank[f"w1/{case}_rows"]] - fbank[f"w1/{case}_norm_f32"])
    assert error.max() < 2e-3
    assert np.quantile(error, 0.99) < 1e-4
    np.testing.assert_allclose([x.mean(), x.std(correction=0)], fbank[f"w1/{case}_mean_std_of_all"], rtol=0, atol=2e-5)
    padding = torch.full_like(x[:, 98:], -model.config.mean / (2 * model.config.std))
    torch.testing.assert_close(x[:, 98:], padding, rtol=0, atol=1e-6)
    assert padding[0, 0, 0].item() == pytest.approx({"pre1024": 0.46703, "sc128": 0.61504}[case], abs=1e-5)


def test_long_clips_keep_their_first_frames(make_model, golden_wave):
    model = make_model(features="compat", input_tdim=60)
    x, _ = model.features(golden_wave[None])
    raw = log_mel(golden_wave, 16000, subtract_mean=True)
    torch.testing.assert_close(x, (raw[:, :60] - model.config.mean) / (2 * model.config.std), rtol=0, atol=1e-6)


def test_a_padded_batch_gives_what_each_clip_gives(make_model, golden_wave):
    model = make_model(features="compat", input_tdim=80)
    lengths = torch.tensor([16000, 8000, 399])
    batch = golden_wave.repeat(3, 1)
    x, frames = model.features(batch, lengths)
    assert frames is None
    alone = [model.features(batch[i : i + 1, :length])[0] for i, length in enumerate(lengths[:2])]
    torch.testing.assert_close(x[:2], torch.cat(alone), rtol=0, atol=1e-4)
    assert (x[2] == x[2, -1, 0]).all()  # not one frame: padding only
    torch.testing.assert_close(x[2, 0, 0].item(), -model.config.mean / (2 * model.config.std))


def test_sound_is_the_default_and_pads_with_the_mean(make_model, golden, golden_wave):
    model = make_model()
    assert model.config.features == "sound"
    x, frames = model.features(golden_wave.repeat(2, 1), torch.tensor([16000, 8000]))
    assert x.shape == (2, 98, 128)
    assert frames.tolist() == [98, 48]
    assert not x[1, 48:].any()
    assert SSAMBA.from_official(golden.path).config.features == "compat"


def test_extraction_pads_nothing(make_model, golden_wave):
    """`extract` takes audio of any length, in windows; the loader's padding and cutting is not for it."""
    sound, compat = make_model(), make_model(features="compat")
    for samples in (8000, 16000):
        assert torch.equal(sound.extract(golden_wave[:samples], 16000), compat.extract(golden_wave[:samples], 16000))
