"""Filling in hidden patches: each rebuilt value lands in its own cell, what was visible stays."""

import numpy as np
import pytest
import torch

from ssamba import SSAMBA, SSAMBAConfig
from ssamba.demo.hidden_patches import fill_in
from ssamba.encoder.audio_encoder import raw_patches

SIZES = {"embed_dim": 8, "depth": 1, "input_tdim": 98, "masked_patches": 10, "mean": -5.0, "std": 3.0}
WAVE = np.random.default_rng(0).standard_normal(16000).astype(np.float32) / 10


@pytest.mark.parametrize(
    "patches",
    [
        {"fshape": 16, "fstride": 16, "tshape": 16, "tstride": 16, "min_cluster": 1, "max_cluster": 2},
        {"fshape": 32, "fstride": 32, "tshape": 5, "tstride": 5, "min_cluster": 1, "max_cluster": 2},
        {"fshape": 128, "fstride": 128, "tshape": 4, "tstride": 4, "masking": "frame"},
    ],
)
def test_a_perfect_model_gives_the_clip_back_and_hides_what_it_was_asked_to(patches, monkeypatch):
    torch.manual_seed(0)
    config = SSAMBAConfig(**SIZES, **patches)
    model = SSAMBA(config)
    honest = model.pretrain_loss

    def perfect(x, seed):
        output = honest(x, seed=seed)
        shapes = (config.fshape, config.tshape), (config.fstride, config.tstride)
        return output._replace(reconstruction=raw_patches(x, *shapes)[output.mask][None])

    monkeypatch.setattr(model, "pretrain_loss", perfect)
    example = fill_in(model, WAVE, "noise", seed=3)
    assert example.log_mel.shape == (98, 128)
    assert example.hidden.sum() == 10 * config.fshape * config.tshape
    np.testing.assert_allclose(example.filled_in, example.log_mel, atol=1e-4)


def test_the_models_own_values_fill_the_hidden_cells_only():
    torch.manual_seed(0)
    model = SSAMBA(SSAMBAConfig(**SIZES, fshape=128, fstride=128, tshape=4, tstride=4, masking="frame"))
    torch.nn.init.zeros_(model.gpredlayer[2].weight)
    torch.nn.init.constant_(model.gpredlayer[2].bias, 0.5)
    example = fill_in(model, WAVE, "noise", seed=3)
    np.testing.assert_array_equal(example.filled_in[~example.hidden], example.log_mel[~example.hidden])
    np.testing.assert_allclose(example.filled_in[example.hidden], 0.5 * 2 * 3.0 - 5.0, atol=1e-6)


def test_the_same_seed_hides_the_same_patches():
    model = SSAMBA(SSAMBAConfig(**SIZES, fshape=128, fstride=128, tshape=4, tstride=4, masking="frame"))
    first, again, other = (fill_in(model, WAVE, "", seed).hidden for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_model_that_cannot_rebuild_is_refused():
    model = SSAMBA(SSAMBAConfig(**SIZES, tstride=16, objective="discriminative"))
    with pytest.raises(ValueError, match="cannot fill patches in"):
        fill_in(model, WAVE, "", 0)
