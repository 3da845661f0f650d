"""Every verb does its job on real files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open

from ssamba.audio.reading import read_audio
from ssamba.data import dataset_statistics, read_manifest
from ssamba.model import SSAMBA
from tone_clips import TINY_OPTIONS


def test_pretrain_leaves_a_run(pretrained):
    config = json.loads((pretrained / "config.json").read_text())
    settings = config["settings"]
    assert (config["verb"], settings["embed_dim"], settings["learning_rate"]) == ("pretrain", 16, 5e-3)
    records = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    assert {record["split"] for record in records} == {"train", "validation"}
    train = next(record for record in records if record["split"] == "train")
    assert train["loss"] > 0
    assert 0 <= train["data_wait"] <= 1
    assert list((pretrained / "tensorboard").iterdir())
    for name in ("best", "last"):
        assert SSAMBA.from_pretrained(pretrained / "checkpoints" / name).config.embed_dim == 16


def test_progress_outside_a_terminal_is_plain_lines(ssamba, clips, tmp_path):
    code, out, err = ssamba("pretrain", "--data", clips, "--out", tmp_path / "run", *TINY_OPTIONS, "--epochs", "2")
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[0].startswith("training on 22 clips (")
    assert [line.split(":")[0] for line in lines[1:3]] == ["epoch 1/2", "epoch 2/2"]
    assert "validation loss" in lines[1]
    assert lines[3].startswith("finished at step")
    assert "\r" not in err


def test_evaluate(ssamba, finetuned, clips, tmp_path):
    code, out, _ = ssamba("evaluate", "--checkpoint", finetuned, "--data", clips, "--out", tmp_path / "results.json")
    assert code == 0
    report = json.loads((tmp_path / "results.json").read_text())
    shown = dict(line.split() for line in out.splitlines() if line.split()[0] in ("clips", "accuracy", "map"))
    assert shown["clips"] == "24"
    assert float(shown["accuracy"]) == pytest.approx(report["accuracy"], abs=1e-4)
    assert float(shown["map"]) == pytest.approx(report["map"], abs=1e-4)
    assert report["accuracy"] > 0.8


def test_predict_table_and_json(ssamba, finetuned, clips):
    files = [clips / "low" / "0.wav", clips / "high" / "1.wav"]
    code, out, _ = ssamba("predict", "--checkpoint", finetuned, *files)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert [row[:2] for row in rows] == [[str(files[0]), "low"], [str(files[1]), "high"]]
    code, out, _ = ssamba("predict", "--checkpoint", finetuned, "--json", "--top", "2", clips / "mid")
    found = json.loads(out)
    assert [item["file"] for item in found] == [str(clips / "mid" / f"{i}.wav") for i in range(8)]
    assert all(len(item["labels"]) == 2 for item in found)
    scores = [label["score"] for label in found[0]["labels"]]
    assert scores == sorted(scores, reverse=True)


def test_predict_averages_over_windows(finetuned):
    from ssamba.cli.predictor import Predictor
    from ssamba.training.loading import load_classifier
    from ssamba.training.progress import SoundProgress

    path = finetuned.parent / "long.wav"
    wave = np.random.default_rng(0).standard_normal(12000).astype(np.float32) * 0.1
    soundfile.write(path, wave, 16000, subtype="FLOAT")
    predictor = Predictor(str(finetuned), "cpu", "float32")
    rows = list(predictor.rows([str(path)], predictor.reader(True, SoundProgress(1, "", quiet=True))))
    model, _ = load_classifier(finetuned)
    window = (32 - 1) * 160 + 400  # two whole windows; the rest is shorter than a patch
    with torch.no_grad():
        x, _ = model.features(torch.from_numpy(wave[: 2 * window]).view(2, window))
        expected = model.eval().classify(x).softmax(dim=1).mean(dim=0)
    found = {item["label"]: item["score"] for item in rows[0]["labels"]}
    assert [found[name] for name in model.config.classes] == pytest.approx(expected.tolist(), abs=1e-6)


def test_embed_clip_level(ssamba, pretrained, clips, tmp_path):
    out = tmp_path / "features.npz"
    code, text, _ = ssamba("embed", "--checkpoint", pretrained, "--out", out, clips)
    assert code == 0
    assert "24x16 of 24 files" in text
    stored = np.load(out)
    model = SSAMBA.from_pretrained(pretrained / "checkpoints" / "best").eval()
    for name, row in zip(stored["files"], stored["features"], strict=True):
        expected = model.extract(read_audio(str(name)), 16000)
        np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)


def test_embed_frames_and_layers(ssamba, pretrained, clips, tmp_path):
    files = [clips / "low" / "0.wav", clips / "high" / "0.wav"]
    options = ["--checkpoint", pretrained, "--layers", "0,-1"]
    assert ssamba("embed", *options, "--level", "frame", "--out", tmp_path / "f.safetensors", *files)[0] == 0
    assert ssamba("embed", *options, "--level", "patch", "--out", tmp_path / "p.npz", *files)[0] == 0
    with safe_open(tmp_path / "f.safetensors", "np") as stored:
        assert json.loads(stored.metadata()["files"]) == [str(file) for file in files]
        frames = {name: stored.get_tensor(name) for name in ("features", "offsets", "times")}
    patches = np.load(tmp_path / "p.npz")
    model = SSAMBA.from_pretrained(pretrained / "checkpoints" / "best").eval()
    for i, file in enumerate(files):
        part = slice(frames["offsets"][i], frames["offsets"][i + 1])
        expected = model.extract(read_audio(file), 16000, "frame", layers=[0, -1])  # (layers, T', D)
        np.testing.assert_allclose(frames["features"][part], expected.numpy().swapaxes(0, 1), atol=1e-5)
        expected = model.extract(read_audio(file), 16000, "patch", layers=[0, -1])  # (layers, rows, T', D)
        np.testing.assert_allclose(patches["features"][part], np.moveaxis(expected.numpy(), 2, 0), atol=1e-5)
    np.testing.assert_allclose(frames["times"], model.column_times(len(frames["times"])).numpy())


def test_stats(ssamba, clips, tmp_path):
    code, out, _ = ssamba("stats", "--data", clips, "--out", tmp_path / "stats.json")
    assert code == 0
    found = json.loads((tmp_path / "stats.json").read_text())
    expected = dataset_statistics(read_manifest(clips))
    assert (found["mean"], found["std"], found["clips"]) == pytest.approx((expected.mean, expected.std, 24), rel=1e-6)
    assert f"--mean {found['mean']:.6f} --std {found['std']:.6f}" in out


def test_unreadable_files_are_named_counted_and_left_out(ssamba, pretrained, finetuned, clips, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFFxxxx")
    (tmp_path / "empty.flac").write_bytes(b"")
    (tmp_path / "good.wav").symlink_to(clips / "low" / "0.wav")
    code, out, err = ssamba("embed", "--checkpoint", pretrained, "--out", tmp_path / "f.npz", tmp_path)
    assert code == 1
    assert np.load(tmp_path / "f.npz")["files"].tolist() == [str(tmp_path / "good.wav")]
    assert str(tmp_path / "bad.wav") in err
    assert f"{tmp_path / 'empty.flac'}: is empty" in err
    assert "2 files were skipped" in err
    code, out, err = ssamba("predict", "--checkpoint", finetuned, "--json", tmp_path)
    assert code == 1
    assert [item["file"] for item in json.loads(out)] == [str(tmp_path / "good.wav")]
    assert "2 files were skipped" in err
    code, _, err = ssamba("embed", "--checkpoint", pretrained, "--out", tmp_path / "g.npz", "--strict", tmp_path)
    assert code == 2
    assert err.startswith("ssamba: error: ")
    assert not (tmp_path / "g.npz").exists()
    code, _, err = ssamba("embed", "--checkpoint", pretrained, "--out", tmp_path / "g.npz", tmp_path / "bad.wav")
    assert code == 2
    assert "none of the 1 files could be read" in err


def test_yaml_then_command_line(ssamba, clips, tmp_path):
    config = tmp_path / "settings.yaml"
    config.write_text(
        f"data: {clips}\nembed-dim: 16\ndepth: 2\ninput_tdim: 32\nbatch_size: 4\nlearning_rate: 1e-4\n"
        "max_steps: 5\nquiet: true\n"
    )
    assert ssamba("pretrain", "--config", config, "--out", tmp_path / "run", "--max_steps", "2")[0] == 0
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (settings["embed_dim"], settings["learning_rate"], settings["max_steps"]) == (16, 1e-4, 2)


def test_resume_brings_its_own_settings(ssamba, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(clips.parent)
    run = tmp_path / "run"
    assert ssamba("pretrain", "--data", clips.name, "--out", run, *TINY_OPTIONS, "--epochs", "1", "--quiet")[0] == 0
    monkeypatch.chdir(tmp_path)
    code, _, err = ssamba("pretrain", "--out", "run", "--resume")
    assert code == 0
    assert err.splitlines()[1].startswith("already finished at step 5; best at step 5: loss")
    code, _, err = ssamba("pretrain", "--out", "run", "--resume", "--seed", "5")
    assert code == 2
    assert "seed was 0, now 5" in err


def test_doctor_and_demo_are_passed_on(ssamba, monkeypatch):
    monkeypatch.setattr("ssamba.cli.diagnosis.run", lambda stream: print("one problem", file=stream) or 1)
    assert ssamba("doctor") == (1, "one problem\n", "")
    monkeypatch.setattr("ssamba.demo.main", lambda args: print(f"seed {args.seed}") or 0)
    assert ssamba("demo", "--seed", "4") == (0, "seed 4\n", "")
