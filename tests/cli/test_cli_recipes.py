"""Every recipe: real settings, the published numbers, and from a data set as downloaded to a result in two commands."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from ssamba.cli.prepare import DATASETS
from ssamba.cli.training_verb import RECIPES, recipes
from ssamba.training import FinetuneSettings, PretrainSettings, RepeatSettings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from miniature_data_sets import WRITERS

NAMES = [path.stem for path in sorted(RECIPES.glob("*.yaml"))]
FINETUNED = [name for name in NAMES if name != "pretraining"]
SMALL = ["--embed-dim", "16", "--depth", "2", "--epochs", "1", "--workers", "0", "--device", "cpu"]
OVERRIDES = {
    "audioset20k": ["--input-tdim", "64", "--average-from", "1", "--average-to", "1", "--batch-size", "3"],
    "esc50": ["--seconds", "0.5", "--folds", "2"],
    "iemocap": ["--seconds", "0.5", "--folds", "5", "--max-steps", "2"],
    "speech_commands_v1": ["--seconds", "0.5"],
    "speech_commands_v2": ["--seconds", "0.5"],
    "urban8k": ["--seconds", "4", "--folds", "10"],
    "voxceleb1": ["--seconds", "0.5", "--max-steps", "1"],
}


def test_recipes_and_preparers_are_all_there():
    assert NAMES == sorted(DATASETS) == sorted(WRITERS)
    assert recipes("pretrain") == ["pretraining"]
    assert recipes("finetune") == FINETUNED


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_settings(name):
    text = (RECIPES / f"{name}.yaml").read_text()
    settings = yaml.safe_load(text)
    kinds = [PretrainSettings] if name == "pretraining" else [FinetuneSettings, RepeatSettings]
    for kind in kinds:
        made = kind(data="d", out="o", **settings)
        assert all(getattr(made, key) == value for key, value in settings.items())
    assert f"ssamba prepare {name} --root DIR" in text
    assert "not the published" in text or "not it" in text  # its deviations
    assert all(line.isascii() and len(line) <= 120 for line in text.splitlines())


def rates(name):
    values = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    keys = ("learning_rate", "batch_size", "epochs", "freq_mask", "time_mask", "mixup", "noise", "loss")
    return [values.get(key) for key in (*keys, "decay_start", "decay_every", "decay_factor")]


def test_published_numbers():
    assert rates("audioset20k") == [1e-4, 24, 40, 48, 192, 0.5, None, "bce", 15, 10, 0.75]
    assert rates("esc50") == [1e-4, 48, 50, 24, 96, None, True, "ce", 6, 1, 0.85]
    assert rates("speech_commands_v1") == [2.5e-4, 128, 30, 48, 48, 0.6, True, "bce", 5, 1, 0.85]
    assert rates("speech_commands_v2") == rates("speech_commands_v1")
    assert rates("urban8k") == [1e-4, 5, 50, 48, 192, None, None, "ce", 20, 10, 0.85]
    assert rates("pretraining") == [1e-4, 64, 10, *[None] * 7, 0.5]


@pytest.fixture
def prepared(ssamba, tmp_path, monkeypatch):
    """prepared(name) -> folder that `ssamba prepare` wrote from a miniature."""

    def prepare(name):
        module = import_module(f"ssamba.data.preparers.{name}")
        monkeypatch.setattr(module, "EXPECTED", WRITERS[name](tmp_path / "downloaded"))
        code, out, err = ssamba("prepare", name, "--root", tmp_path / "downloaded", "--out", tmp_path / "prepared")
        assert (code, err) == (0, "")
        assert "missing: " not in out
        assert str(tmp_path / "prepared") in out
        return tmp_path / "prepared"

    return prepare


@pytest.mark.parametrize("name", FINETUNED)
def test_from_download_to_result(name, ssamba, prepared, tmp_path):
    data, out = prepared(name), tmp_path / "runs"
    code, shown, _ = ssamba("repeat", "--recipe", name, "--data", data, "--out", out, *SMALL, *OVERRIDES[name])
    assert code == 0
    results = json.loads((out / "results.json").read_text())
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    assert all(results["settings"][key] == recipe[key] for key in ("learning_rate", "loss", "mean", "optimizer"))
    (run,) = results["runs"]
    assert run["steps"] >= 1
    expected = {"audioset20k": "average", "urban8k": "last"}.get(name, "best")
    assert run["checkpoint"] == expected
    assert load_file(out / run["directory"] / "checkpoints" / expected / "model.safetensors")["head.1.bias"].any()
    assert f"{run['test']['map']:.4f}" in shown
    assert f"written to {out / 'results.json'}" in shown


def test_pretraining(ssamba, prepared, tmp_path):
    data = prepared("pretraining")
    options = ["--data", data / "train.csv", "--validation", data / "validation.csv", "--out", tmp_path / "run"]
    small = [*SMALL, "--input-tdim", "64", "--masked-patches", "20", "--batch-size", "4", "--quiet"]
    assert ssamba("pretrain", "--recipe", "pretraining", *options, *small)[0] == 0
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (settings["weight_decay"], settings["schedule"], settings["masked_patches"]) == (5e-8, "plateau", 20)


def test_recipe_then_config_then_command_line(ssamba, clips, tmp_path):
    (tmp_path / "mine.yaml").write_text("epochs: 1\nfreq_mask: 3\nseconds: 0.4\nworkers: 0\nbatch_size: 5\n")
    common = ["--recipe", "esc50", "--config", tmp_path / "mine.yaml", "--freq-mask", "2", *SMALL[:4]]
    run = ["--data", clips, "--out", tmp_path / "run"]
    assert ssamba("finetune", *common, *run, "--quiet")[0] == 0
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert [settings[key] for key in ("freq_mask", "epochs", "time_mask", "batch_size")] == [2, 1, 96, 5]
    code, _, err = ssamba("finetune", "--out", tmp_path / "run", "--resume")
    assert code == 0
    assert err.splitlines()[1].startswith("already finished")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prepare", "missing: DATASET, one of audioset20k, esc50"),
        ("prepare esc5 --root {tmp}", "unknown data set esc5; did you mean esc50?"),
        ("prepare esc50", "missing: --root, the folder that the data set was unpacked to"),
        ("prepare esc50 --root {tmp}/nowhere", "nowhere is not a folder; give the folder of ESC-50"),
        ("prepare speech-commands-v2 --root {tmp}", "speech_commands_v2: found none of {tmp}/testing_list.txt"),
        ("finetune --recipe esc5 --data d --out o", "unknown recipe esc5; did you mean esc50?"),
        ("finetune --recipe pretraining --data d --out o", "recipe pretraining is for ssamba pretrain; for finetune"),
        (
            "pretrain --recipe urban8k --data d --out o",
            "recipe urban8k is for ssamba finetune and repeat; for pretrain",
        ),
        ("repeat --recipe esc50", "missing: --data, --out"),
        ("repeat --data {tmp}/prepared --out {tmp}/o", "nothing to test on; it is for ssamba pretrain"),
        ("finetune --data {tmp}/prepared --out {tmp}/o", "train and test on all of it with ssamba repeat, or give one"),
    ],
)
def test_errors(line, message, ssamba, tmp_path):
    (tmp_path / "prepared").mkdir()
    splits = {"dataset": "pretraining", "folds": {"1": {"train": "train.csv"}}, "label_csv": None}
    (tmp_path / "prepared" / "splits.json").write_text(json.dumps(splits))
    code, _, err = ssamba(*line.format(tmp=tmp_path).split())
    assert code == 2
    assert message.format(tmp=tmp_path) in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_prepare_says_what_is_missing(ssamba, tmp_path):
    WRITERS["esc50"](tmp_path / "data")
    (tmp_path / "data" / "audio" / "1-1000-A-0.wav").unlink()
    code, _, err = ssamba("prepare", "esc50", "--root", tmp_path / "data", "--out", tmp_path / "out")
    assert code == 2
    assert "1 of 40 clips are missing" in err
    assert "With --incomplete, what is there is used." in err
    code, out, _ = ssamba("prepare", "esc50", "--root", tmp_path / "data", "--out", tmp_path / "out", "--incomplete")
    assert code == 1
    assert "missing: 1 of 40 clips are missing" in out
    assert f"fold 1: {tmp_path / 'out'}/fold1/train.csv, " in out


@pytest.mark.parametrize("verb", ["prepare", "repeat"])
def test_help(verb, ssamba):
    code, out, _ = ssamba(verb, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert f"example:\n  ssamba {verb} " in out
