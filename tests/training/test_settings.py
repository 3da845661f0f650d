"""Settings: conversion, limits, and the sizes that follow from them."""

from __future__ import annotations

import math

import pytest

from ssamba.training import FinetuneSettings, PretrainSettings
from ssamba.training.finetuning import classifier_config
from ssamba.training.pretraining import pretrain_config
from ssamba.training.start import clip_seconds, input_frames


def make(**more):
    return PretrainSettings(data="d", out="o", **more)


def test_lossless_conversion():
    settings = make(learning_rate="1e-4", epochs="3", seconds=2, batch_size=4.0)
    assert (settings.learning_rate, settings.epochs, settings.seconds, settings.batch_size) == (1e-4, 3, 2.0, 4)
    assert isinstance(settings.seconds, float)
    assert isinstance(settings.batch_size, int)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"epochs": 2.5}, "epochs is 2.5, expected a whole number"),
        ({"epochs": True}, "epochs is True, expected a whole number"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"learning_rate": 0}, "learning_rate is 0.0, expected more than 0"),
        ({"learning_rate": math.nan}, "learning_rate is not a number"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', expected a number"),
        ({"size": "huge"}, "size is 'huge', expected one of: tiny, small, base"),
        ({"strict": "yes"}, "strict is 'yes', expected true or false"),
        ({"validation_share": 0.95}, "validation_share is 0.95, expected at most 0.9"),
    ],
)
def test_refusals(more, message):
    with pytest.raises(ValueError, match=message):
        make(**more)


def test_input_length_follows_from_seconds():
    assert input_frames(make(seconds=1.0), 1024) == 98
    assert input_frames(make(), 1024) == 1024
    assert input_frames(make(input_tdim=200, seconds=1.0), 1024) == 200
    with pytest.raises(ValueError, match="seconds 3 makes 298 frames, more than input_tdim 200"):
        input_frames(make(input_tdim=200, seconds=3.0), 1024)
    config = pretrain_config(make(seconds=1.0))
    assert clip_seconds(make(seconds=1.0), config) == 1.0
    assert clip_seconds(make(input_tdim=98), config) == pytest.approx((97 * 160 + 400) / 16000)


def test_published_choices_reach_the_model():
    config = pretrain_config(make(layout="paired", backward_dt_init="like_forward", infonce="paper"))
    assert (config.layout, config.backward_dt_init, config.infonce_orientation) == ("paired", "like_forward", "paper")
    assert pretrain_config(make(layout="paired")).infonce_orientation == "published_code"
    scratch = FinetuneSettings(data="d", out="o", backward_dt_init="like_forward")
    assert classifier_config(scratch, ("a", "b")).backward_dt_init == "like_forward"


def test_masked_patches_follow_the_grid():
    assert pretrain_config(make()).masked_patches == 400
    assert pretrain_config(make(input_tdim=64)).masked_patches == 25  # of 8 x 4, 78.125 %
    frames = pretrain_config(make(input_tdim=64, masking="frame"))
    assert frames.masked_patches == 24  # three of four whole columns
    short = pretrain_config(make(input_tdim=32, masking="frame"))
    assert short.masked_patches == 8  # one of two
    with pytest.raises(ValueError, match=r"16 frames make only 8 patches, some of which must stay visible"):
        pretrain_config(make(input_tdim=16, masking="frame"))
    with pytest.raises(ValueError, match=r"masked_patches is 40, but 64 frames make only 32 patches"):
        pretrain_config(make(input_tdim=64, masked_patches=40))


def test_sizes_reach_the_configuration():
    config = pretrain_config(make(size="small", depth=4, layout="paired", objective="generative", drop_path=0.0))
    assert (config.embed_dim, config.depth, config.layout, config.objective) == (384, 4, "paired", "generative")
    assert config.drop_path == 0.0


def test_scratch_classifier():
    config = classifier_config(FinetuneSettings(data="d", out="o", embed_dim=32, seconds=2.0), ("a", "b"))
    assert (config.embed_dim, config.input_tdim, config.classes, config.num_classes) == (32, 198, ("a", "b"), 2)
