"""Fine-tuning and evaluation: losses, what is trained, held-out clips, results."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, average_precision_score

from ssamba.training import EvaluateSettings, FinetuneSettings, PretrainSettings, evaluate, finetune, pretrain
from ssamba.training.scoring import classification_loss
from tone_clips import PITCHES, TINY, write_tones


@pytest.fixture(scope="module")
def pretrained(tones, tmp_path_factory):
    settings = PretrainSettings(**TINY, data=str(tones), out=str(tmp_path_factory.mktemp("pre") / "run"), max_steps=2)
    return pretrain(settings)


@pytest.fixture(scope="module")
def finetuned(tones, pretrained, tmp_path_factory):
    settings = FinetuneSettings(
        **{**TINY, "learning_rate": 5e-3},
        data=str(tones),
        out=str(tmp_path_factory.mktemp("fine") / "run"),
        pretrained=str(pretrained.directory),
        epochs=6,
        validation_share=0.25,
    )
    return finetune(settings)


def test_soft_labels_in_cross_entropy():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hard = torch.tensor([0, 1, 2, 3, 1])
    mixed = 0.3 * F.one_hot(hard, 4).double() + 0.7 * F.one_hot(hard.flip(0), 4).double()
    expected = 0.3 * F.cross_entropy(logits, hard) + 0.7 * F.cross_entropy(logits, hard.flip(0))
    assert classification_loss(logits, mixed, "ce").item() == pytest.approx(expected.item(), abs=1e-12)
    assert classification_loss(logits, F.one_hot(hard, 4).double(), "ce").item() == pytest.approx(
        F.cross_entropy(logits, hard).item(), abs=1e-12
    )


def test_binary_cross_entropy_takes_logits():
    logits, targets = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.25]])
    probability = torch.sigmoid(logits)
    by_hand = -(targets * probability.log() + (1 - targets) * (1 - probability).log()).mean()
    assert classification_loss(logits, targets, "bce").item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_learns_to_tell_tones_apart(finetuned, tmp_path):
    assert finetuned.best["accuracy"] >= 0.9
    new = write_tones(tmp_path / "new", clips=4, seed=9)
    result = evaluate(
        EvaluateSettings(checkpoint=str(finetuned.directory), data=str(new), out=str(tmp_path / "r.json"), quiet=True)
    )
    assert result.metrics.accuracy >= 0.9
    assert result.metrics.accuracy == accuracy_score(result.targets.argmax(1), result.scores.argmax(1))
    assert result.metrics.map == pytest.approx(
        average_precision_score(result.targets, result.scores, average="macro"), abs=1e-9
    )
    np.testing.assert_allclose(result.scores.sum(axis=1), 1.0)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["accuracy"] == result.metrics.accuracy
    assert report["classes"] == sorted(PITCHES)
    assert np.array(report["confusion_matrix"]).sum() == report["clips"] == 12
    assert report["model"]["embed_dim"] == 16
    assert report["settings"]["data"] == str(new)
    assert (report["training"]["seed"], report["training"]["epochs"]) == (0, 6)
    assert {"torch", "python"} <= report["versions"].keys()


def test_starts_from_the_pretrained_weights_and_statistics(tones, pretrained, tmp_path):
    settings = FinetuneSettings(
        **{**TINY, "learning_rate": 1e-12},
        data=str(tones),
        out=str(tmp_path / "run"),
        pretrained=str(pretrained.directory),
        max_steps=1,
        validation_share=0,
    )
    result = finetune(settings)
    assert result.best == {}
    before = load_file(pretrained.checkpoint / "model.safetensors")
    after = load_file(result.checkpoint / "model.safetensors")
    assert result.checkpoint.name == "last"
    assert {name for name in after if name not in before} == {
        "head.0.weight",
        "head.0.bias",
        "head.1.weight",
        "head.1.bias",
    }
    assert all(torch.allclose(after[name], tensor, atol=1e-6) for name, tensor in before.items())
    configs = [json.loads((path / "config.json").read_text()) for path in (pretrained.checkpoint, result.checkpoint)]
    assert (configs[0]["mean"], configs[0]["std"]) == (configs[1]["mean"], configs[1]["std"])


def test_linear_probe_trains_the_head_only(tones, pretrained, tmp_path):
    settings = FinetuneSettings(
        **{**TINY, "learning_rate": 1e-2},
        data=str(tones),
        out=str(tmp_path / "run"),
        pretrained=str(pretrained.directory),
        max_steps=3,
        freeze_encoder=True,
    )
    after = load_file(finetune(settings).directory / "checkpoints" / "last" / "model.safetensors")
    before = load_file(pretrained.checkpoint / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert after["head.1.bias"].abs().sum() > 0


def test_several_labels_use_bce_and_sigmoid(tones, tmp_path):
    rows = ["path,label"]
    rows += [
        f"{tones}/{label}/{i}.wav,{label};{'even' if i % 2 == 0 else 'odd'}" for label in PITCHES for i in range(8)
    ]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    common = {**TINY, "data": str(tmp_path / "clips.csv"), "max_steps": 2, "validation_share": 0.25}
    result = finetune(FinetuneSettings(**common, out=str(tmp_path / "run"), mixup=1.0))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["loss"] == "bce"
    scored = evaluate(EvaluateSettings(checkpoint=str(result.checkpoint), data=common["data"], quiet=True))
    assert scored.classes == ("even", "high", "low", "mid", "odd")
    assert scored.metrics.confusion is None
    assert not np.allclose(scored.scores.sum(axis=1), 1.0, atol=1e-3)
    with pytest.raises(ValueError, match="loss ce needs one label a clip"):
        finetune(FinetuneSettings(**common, out=str(tmp_path / "other"), loss="ce"))


def test_evaluation_matches_classes_by_name(finetuned, tones, tmp_path):
    some = tmp_path / "some"
    for label in ("mid", "high"):
        (some / label).mkdir(parents=True)
        for i in range(3):
            (some / label / f"{i}.wav").symlink_to(tones / label / f"{i}.wav")
    result = evaluate(EvaluateSettings(checkpoint=str(finetuned.directory), data=str(some), quiet=True))
    assert result.classes == ("high", "low", "mid")
    assert result.metrics.without_positives == [1]
    assert result.report["classes_without_positives"] == ["low"]
    assert result.metrics.accuracy >= 0.8
    (some / "alien").mkdir()
    (some / "alien" / "0.wav").symlink_to(tones / "low" / "0.wav")
    with pytest.raises(ValueError, match="label 'alien' is not one of the 3 classes"):
        evaluate(EvaluateSettings(checkpoint=str(finetuned.directory), data=str(some), quiet=True))


def test_shared_clips_are_refused(tones, tmp_path):
    with pytest.raises(ValueError, match="24 clips are in both data and validation"):
        finetune(FinetuneSettings(**TINY, data=str(tones), validation=str(tones), out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_too_few_to_hold_out(tmp_path):
    data = write_tones(tmp_path / "data", clips=1)
    with pytest.raises(ValueError, match=r"3 clips are too few to hold out 0.1 of each class"):
        finetune(FinetuneSettings(**TINY, data=str(data), out=str(tmp_path / "run")))


def test_patience_stops_early(tones, tmp_path):
    settings = FinetuneSettings(
        **{**TINY, "learning_rate": 1e-12},
        data=str(tones),
        out=str(tmp_path / "run"),
        epochs=9,
        patience=2,
        select="accuracy",
        validation_share=0.25,
        drop_path=0.0,
        schedule="constant",
    )
    result = finetune(settings)
    assert result.status == "stopped early"
    assert result.step < 36


def test_skipped_files_are_named_and_counted(tones, tmp_path, capsys, caplog):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(tones, data)
    (data / "low" / "0.wav").write_bytes(b"")
    soundfile.write(data / "mid" / "0.wav", np.zeros(16000), 16000)
    result = finetune(FinetuneSettings(**TINY, data=str(data), out=str(tmp_path / "run"), epochs=1))
    skipped = dict(result.skipped)
    assert skipped.keys() == {str(data / "low" / "0.wav"), str(data / "mid" / "0.wav")}
    assert "silent" in skipped[str(data / "mid" / "0.wav")]
    shown = capsys.readouterr().err
    assert (shown + caplog.text).count(str(data / "mid" / "0.wav")) == 1
    assert "2 files were skipped" in shown
    with pytest.raises(ValueError, match=r"0.wav"):
        finetune(FinetuneSettings(**TINY, data=str(data), out=str(tmp_path / "strict"), epochs=1, strict=True))


def test_changing_the_shape_of_a_pretrained_model_is_refused(tones, pretrained, tmp_path):
    settings = FinetuneSettings(
        **{**TINY, "embed_dim": 24}, data=str(tones), out=str(tmp_path / "run"), pretrained=str(pretrained.directory)
    )
    with pytest.raises(ValueError, match=r"embed_dim is 24, but the pretrained model's is 16"):
        finetune(settings)
    settings = FinetuneSettings(size="tiny", data=str(tones), out=str(tmp_path / "run"), pretrained=settings.pretrained)
    with pytest.raises(ValueError, match=r"size has no meaning beside pretrained"):
        finetune(settings)
