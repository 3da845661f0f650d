"""Wrong use is one clear line on stderr and exit code 2."""

from __future__ import annotations

import pytest

from tone_clips import TINY_OPTIONS


@pytest.fixture
def places(clips, pretrained, finetuned, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text((pretrained / "checkpoints/best/config.json").read_text())
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "typo.yaml").write_text("batch_sise: 3\n")
    (tmp_path / "torn.yaml").write_text("a: [1\n")
    return {"clips": clips, "pre": pretrained, "fine": finetuned, "tmp": tmp_path}


CASES = [
    ("", ""),
    ("pretrian", "unknown verb pretrian; did you mean pretrain?"),
    ("train --data x", "unknown verb train; did you mean pretrain or finetune? see ssamba --help"),
    ("help trian", "unknown verb trian"),
    ("stats {clips}", "unknown argument {clips}; did you mean --data {clips}? see ssamba stats --help"),
    ("--colour", "unknown argument --colour; see ssamba --help"),
    ("pretrain", "missing: --data, --out"),
    ("pretrain --data {clips} --out {tmp}/o --batchsize 3", "unknown argument --batchsize; did you mean --batch-size"),
    ("convert {pre} --out {tmp}/o", "unknown argument --out; see ssamba convert --help"),
    ("pretrain --data {clips} --out {tmp}/o --batch-size many", "batch_size is 'many', expected a whole number"),
    ("pretrain --data {clips} --out {tmp}/o --size huge", "size is 'huge', expected one of: tiny, small, base"),
    ("pretrain --data {clips} --out {tmp}/o --precision fp16 --device cpu", "precision fp16 needs a GPU"),
    ("pretrain --data {tmp}/nowhere --out {tmp}/o", "nowhere: does not exist"),
    ("pretrain --data {tmp}/empty --out {tmp}/o", "empty: holds no audio files and no class folders"),
    ("pretrain --data {clips} --out {clips}", "is not empty and holds no run (no config.json)"),
    ("pretrain --data {clips} --out {pre}", "already holds a run; continue it with --resume or"),
    (
        "pretrain --data {clips} --out {tmp}/o --feature-cache {tmp}/list.yaml",
        "list.yaml, where there can be no folder",
    ),
    (
        "finetune --data {clips} --out {tmp}/o --feature-cache {tmp}/f --mixup 0.5",
        "mixup mixes waveforms, which feature_",
    ),
    ("finetune --data {clips} --out {pre} --resume", "holds a pretrain run, not a finetune run"),
    ("pretrain --config {tmp}/nofile.yaml", "error: {tmp}/nofile.yaml: No such file or directory"),
    ("pretrain --config {tmp}/list.yaml", "must hold lines like 'batch_size: 64', found a list"),
    ("pretrain --config {tmp}/typo.yaml", "unknown setting batch_sise; did you mean batch_size?; in"),
    ("pretrain --config {tmp}/torn.yaml", "is not valid YAML"),
    ("finetune --data {clips}/low --out {tmp}/o", "has no labels; fine-tuning needs a folder of class folders"),
    ("finetune --data {clips} --out {tmp}/o --pretrained {tmp}/nowhere", "checkpoint {tmp}/nowhere does not exist"),
    ("finetune --data {clips} --out {tmp}/o --pretrained {tmp}/broken", "{tmp}/broken is damaged"),
    ("evaluate --checkpoint {clips} --data {clips}", "is not a checkpoint or run directory: it holds no"),
    ("evaluate --checkpoint {pre} --data {clips}", "has no classification head; fine-tune it first"),
    ("evaluate --checkpoint {fine} --data {clips}/low", "has no labels; evaluation needs"),
    ("predict --checkpoint {fine}", "missing: PATHS"),
    ("predict --checkpoint {fine} {tmp}/nowhere.wav", "nowhere.wav does not exist"),
    ("predict --checkpoint {fine} {tmp}/empty", "empty holds no audio files"),
    ("predict --checkpoint {fine} --device gpu {clips}", "device is 'gpu', expected auto, cpu, cuda, or one of"),
    ("predict --checkpoint {fine} --out {tmp}/o.json {clips}", "expected a name that ends in .csv, .tsv or .jsonl"),
    ("predict --checkpoint {fine} --resume {clips}", "resume goes on with a file: give --out"),
    ("predict --checkpoint {fine} --json --out {tmp}/o.csv {clips}", "json says how rows are printed; leave it out"),
    ("predict --checkpoint {fine} --out {tmp}/folder.npz/../list.yaml/o.csv {clips}", "list.yaml: "),
    ("embed --checkpoint {pre} --out {tmp}/f.txt {clips}", "expected a name that ends in .npz or .safetensors"),
    ("embed --checkpoint {pre} --out {tmp}/folder.npz {clips}", "folder.npz, which is a directory; give a file"),
    ("embed --checkpoint {tmp}/nowhere --out {tmp}/list.yaml/f.npz {clips}", "list.yaml: File exists"),
    ("embed --checkpoint {pre} --out {tmp}/f.npz --layers 9 {clips}", "layers is [9]"),
    ("embed --checkpoint {pre} --out {tmp}/f.npz --layers two {clips}", "layers is 'two', expected numbers"),
    ("embed --checkpoint {tmp}/broken --out {tmp}/f.npz {clips}", "{tmp}/broken is damaged"),
    ("stats --data {tmp}/empty", "empty: holds no audio files"),
    ("demo --out {tmp}/list.yaml", "list.yaml is a file; give --out a folder, new or of an earlier demo"),
    ("demo --out {tmp}/broken", "broken is not empty and holds no earlier demo; choose another --out"),
]


@pytest.mark.parametrize(("line", "message"), CASES, ids=[case[0] or "nothing" for case in CASES])
def test_error(line, message, ssamba, places):
    code, _, err = ssamba(*line.format(**places).split())
    assert code == 2
    assert message.format(**places) in err
    if message:
        assert err.startswith("ssamba: error: ")
        assert len(err.splitlines()) == 1
        assert "Traceback" not in err
    assert not (places["tmp"] / "o").exists()
    assert not (places["tmp"] / "f.npz").exists()
    assert not (places["tmp"] / "f.npz.part").exists()


def test_debug_shows_the_traceback(ssamba, tmp_path):
    code, _, err = ssamba("stats", "--data", tmp_path / "nowhere", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert "ssamba: error: " in err.splitlines()[-1]


def test_bugs_are_not_hidden(ssamba, monkeypatch):
    monkeypatch.setattr("ssamba.cli.stats.run", lambda args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ssamba("stats", "--data", "x")


def test_loss_that_is_not_finite_exits_1(ssamba, clips, tmp_path, monkeypatch):
    from ssamba.encoder.layers import BidirectionalMamba

    original = BidirectionalMamba.forward
    monkeypatch.setattr(BidirectionalMamba, "forward", lambda *a, **k: original(*a, **k) * float("nan"))
    code, _, err = ssamba("pretrain", "--data", clips, "--out", tmp_path / "run", *TINY_OPTIONS, "--epochs", "1")
    assert code == 1
    assert "layers.0.mixer (BidirectionalMamba; its input was finite)" in err
