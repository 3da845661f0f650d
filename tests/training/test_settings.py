"""Settings: conversion, limits, and the sizes that follow from them."""

from __future__ import annotations

import math
import time

import pytest
from torch.distributed import DistNetworkError

from ssamba.training import EvaluateSettings, FinetuneSettings, PretrainSettings, RepeatSettings, start
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


def test_home_stands_in_every_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = str(tmp_path)
    for kind in (PretrainSettings, FinetuneSettings, RepeatSettings, EvaluateSettings):
        others = {"data": "d", "out": "o", "checkpoint": "c"}
        others = {name: value for name, value in others.items() if name in kind.__dataclass_fields__}
        for name in kind.paths():
            settings = kind(**{**others, name: "~/clips"})
            assert getattr(settings, name) == f"{home}/clips", (kind, name)
        texts = {name for name, item in kind.__dataclass_fields__.items() if item.type in ("str", "str | None")}
        choices = {name for name in texts if kind.__dataclass_fields__[name].metadata["choices"]}
        assert texts - choices - set(kind.paths()) <= {"device"}
    assert make(label_csv="~").label_csv == home
    assert make(label_csv="~other/x").label_csv == "~other/x"
    assert make(audio_root="a/~/b").audio_root == "a/~/b"


def test_variables_are_not_filled_in(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"^\$HOME/clips: variables stay as they are here; .*or ~ for the home folder"):
        PretrainSettings(data="$HOME/clips", out="o")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "$HOME").mkdir()
    assert PretrainSettings(data="$HOME", out="o").data == "$HOME"


def accelerator_that(monkeypatch, error):
    def fail(**settings):
        raise error

    monkeypatch.setattr(start, "Accelerator", fail)


def test_variables_of_a_launcher_are_named(monkeypatch, capsys):
    for name in start.RENDEZVOUS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    accelerator_that(monkeypatch, ValueError("environment variable MASTER_ADDR expected, but not set"))
    said = (
        r"^the environment says that this process is one of several \(RANK=0, LOCAL_RANK=0\), but the others cannot be "
        r"reached: .* MASTER_ADDR .*; start it with torchrun or accelerate launch, or unset these variables"
    )
    with pytest.raises(ValueError, match=said):
        start.make_accelerator("no", "cpu")
    accelerator_that(monkeypatch, DistNetworkError("The client socket has timed out"))
    with pytest.raises(ValueError, match=r"this process is one of several .* has timed out"):
        start.make_accelerator("no", "cpu")
    accelerator_that(monkeypatch, ValueError("bf16 mixed precision requires a supported device"))
    with pytest.raises(ValueError, match="precision bf16 does not work here: bf16 mixed precision requires"):
        start.make_accelerator("bf16", "cpu")


def test_waiting_for_other_processes_is_not_silent(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(start, "PATIENCE", 0)

    def wait(**settings):
        time.sleep(0.2)
        raise ValueError("nobody came")

    monkeypatch.setattr(start, "Accelerator", wait)
    with pytest.raises(ValueError, match="nobody came"):
        start.make_accelerator("no", "cpu")
    assert "waiting for the others. If there are none, start it with torchrun" in capsys.readouterr().err
