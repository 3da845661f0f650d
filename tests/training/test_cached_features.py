"""Training and evaluation from a feature cache give what they give without it, where crops are alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from ssamba.data import FeatureCache
from ssamba.training import EvaluateSettings, FinetuneSettings, PretrainSettings, evaluate, finetune, pretrain
from tone_clips import TINY

WHOLE = {**TINY, "input_tdim": 80, "max_steps": 6, "seed": 3}  # 0.815 s: every clip as a whole
MASKS = {"freq_mask": 8, "time_mask": 8, "noise": True, "validation_share": 0.25}


def run(verb, data, out, **more):
    start, settings = {"pretrain": (pretrain, PretrainSettings), "finetune": (finetune, FinetuneSettings)}[verb]
    return start(settings(data=data, out=out, **{**WHOLE, **(MASKS if verb == "finetune" else {}), **more}))


def assert_same_weights(one, other):
    first, second = (load_file(result.directory / "checkpoints/last/model.safetensors") for result in (one, other))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("verb", "more"), [("pretrain", {}), ("pretrain", {"features": "compat"}), ("finetune", {"workers": 1})]
)
def test_the_same_weights(verb, more, tones, tmp_path):
    without = run(verb, tones, tmp_path / "without", **more)
    made = run(verb, tones, tmp_path / "made", feature_cache=tmp_path / "cache", **more)
    found = run(verb, tones, tmp_path / "found", feature_cache=tmp_path / "cache", **more)
    assert len(list((tmp_path / "cache").glob("*/*/*.f32"))) == 24
    assert_same_weights(without, made)
    assert_same_weights(made, found)
    assert without.best == pytest.approx(found.best, rel=1e-4)


def test_the_same_evaluation(tones, tmp_path):
    trained = run("finetune", tones, tmp_path / "run")

    def measured(**more):
        return evaluate(EvaluateSettings(checkpoint=trained.checkpoint, data=tones, quiet=True, **more))

    without, cached = measured(), measured(feature_cache=tmp_path / "cache")
    assert list((tmp_path / "cache").glob("*/*/*.f32"))
    np.testing.assert_allclose(cached.scores, without.scores, rtol=0, atol=1e-6)
    assert cached.paths == without.paths


def test_the_second_run_computes_nothing(tones, tmp_path, monkeypatch):
    run("pretrain", tones, tmp_path / "one", feature_cache=tmp_path / "cache")
    monkeypatch.setattr(FeatureCache, "_compute", lambda cache, path: pytest.fail(f"computed {path}"))
    run("pretrain", tones, tmp_path / "two", feature_cache=tmp_path / "cache", input_tdim=32)


def test_resuming_needs_a_cache_but_not_the_same_folder(tones, tmp_path):
    first = {"max_steps": 2, "feature_cache": tmp_path / "cache"}
    run("pretrain", tones, tmp_path / "run", **first)
    moved = run("pretrain", tones, tmp_path / "run", resume=True, **{**first, "feature_cache": tmp_path / "moved"})
    assert moved.status == "already finished"
    with pytest.raises(ValueError, match=r"started with other settings: feature_cache was '.*moved', now None"):
        run("pretrain", tones, tmp_path / "run", resume=True, max_steps=2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mixup": 0.5}, "mixup mixes waveforms, which feature_cache does not read; set mixup to 0"),
        ({"cache": True}, "cache keeps waveforms, which feature_cache does not read; leave one of the two out"),
    ],
)
def test_what_needs_waveforms_is_refused(more, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        FinetuneSettings(data="d", out="o", feature_cache=str(tmp_path), **more)


def test_room_is_said_once(tones, tmp_path, capsys):
    run("pretrain", tones, tmp_path / "run", feature_cache=tmp_path / "cache", quiet=False)
    assert capsys.readouterr().err.count(f"feature cache {tmp_path / 'cache'}: 0 bytes in it, ") == 1


@pytest.mark.parametrize("cached", [False, True])
def test_a_silent_file_is_named_once_while_training_and_counted_at_the_end(cached, tones, tmp_path, capsys, caplog):
    data = tmp_path / "data"
    data.mkdir()
    for file in (tones / "low").iterdir():
        (data / file.name).symlink_to(file)
    soundfile.write(data / "silent.wav", np.zeros(16000), 16000)
    more = {"feature_cache": tmp_path / "cache"} if cached else {}
    result = run("pretrain", data, tmp_path / "run", validation_share=0, batch_size=3, **more)
    assert [message.split(":")[0] for message in caplog.messages] == ["left out from now on"]
    assert capsys.readouterr().err == "1 file was skipped\n"
    assert [reason for _, reason in result.skipped] == ["is silent: every sample is 0"]


def test_the_wait_for_data_is_logged(tones, tmp_path):
    result = run("pretrain", tones, tmp_path / "run", log_every=2)
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    waits = [line["data_wait"] for line in lines if line["split"] == "train"]
    assert len(waits) == 3
    assert all(0 < wait < 1 for wait in waits)
