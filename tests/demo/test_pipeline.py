"""The demo from end to end on a handful of sounds: what it leaves, what it prints, what it refuses."""

import argparse
import json
from pathlib import Path

import pytest

from ssamba import cli
from ssamba.demo import add_arguments, main, pipeline, recipe, spoken_words
from ssamba.demo.recipe import Recipe
from ssamba.demo.spoken_words import SpokenWordsSettings
from ssamba.training.run_lock import locked

MODEL = {**recipe.MODEL, "embed_dim": 8, "depth": 1}
PRETRAIN = {"batch_size": 4, "max_steps": 2, "validate_every": 1, "log_every": 1, **recipe.OBJECTIVE}
FINETUNE = {"batch_size": 4, "max_steps": 2, "validate_every": 1, "log_every": 1}


@pytest.fixture
def tiny_demo(monkeypatch, few_voices):
    def tiny(quick, seed):
        sounds = SpokenWordsSettings(variants=(1, 1, 1), seed=seed)
        return Recipe(sounds, PRETRAIN, FINETUNE, labels_per_word=2, model_settings=MODEL)

    monkeypatch.setattr(pipeline, "recipe", tiny)
    monkeypatch.setattr(pipeline, "WORDS", spoken_words.WORDS)
    monkeypatch.setattr(pipeline, "VOICES", few_voices)


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(given)


def test_the_demo_runs_from_sounds_to_report_and_again(tiny_demo, tmp_path, capsys):
    out = tmp_path / "demo"
    given = arguments("--out", str(out), "--quiet", "--seeds", "2", "--seed", "5")
    assert main(given) == 0
    results = json.loads((out / "results.json").read_text())
    assert [one["seed"] for one in results["seeds"]] == [5, 6]
    assert sum(map(sum, results["confusion"])) == 4
    assert results["classes"] == ["zero", "seven", "left", "stop"]
    first = results["seeds"][0]
    hits = sum(results["confusion"][index][index] for index in range(4))
    assert first["pretrained"] == pytest.approx(hits / 4)
    waits = results["facts"]["Time spent waiting for data"]
    assert all(
        0 < float(waits[name].removesuffix(" %")) < 100 for name in ("pretraining", "fine-tuning", "from scratch")
    )
    page = (out / "report.html").read_text()
    for one in results["seeds"]:
        for way in ("pretrained", "scratch", "baseline"):
            assert f"{100 * one[way]:.1f} %" in page

    printed = capsys.readouterr().out
    assert f"{100 * results['test_accuracy']['SSAMBA, pretrained']['mean']:.1f} %" in printed
    assert max(map(len, printed.replace(str(out), "runs/demo").splitlines())) <= 80
    command = printed.splitlines()[-1].split()
    assert command[0] == "ssamba"
    assert cli.main([*command[1:], "--json"]) == 0
    assert [Path(one["file"]).name for one in json.loads(capsys.readouterr().out)] == ["f2-000.wav"]

    assert main(given) == 0
    assert "used again" in capsys.readouterr().out
    again = json.loads((out / "results.json").read_text())["seeds"]
    ways = ("seed", "pretrained", "scratch", "baseline")
    assert [[one[way] for way in ways] for one in again] == [[one[way] for way in ways] for one in results["seeds"]]


def test_both_fine_tunings_differ_only_in_where_they_start(tiny_demo, tmp_path):
    main(arguments("--out", str(tmp_path / "demo"), "--quiet"))
    runs = [tmp_path / "demo" / "seed-0" / name for name in ("finetune", "finetune-from-scratch")]
    started = [json.loads((run / "config.json").read_text()) for run in runs]
    shape = {"out", "pretrained", "mean", "std", *MODEL}
    assert started[0]["settings"]["pretrained"] is not None
    assert started[1]["settings"]["pretrained"] is None
    for name in started[0]["settings"].keys() - shape:
        assert started[0]["settings"][name] == started[1]["settings"][name], name
    models = [json.loads((run / "checkpoints" / "last" / "config.json").read_text()) for run in runs]
    pretraining_only = {"masked_patches", "masking", "objective", "generative_weight", "min_cluster", "max_cluster"}
    for name in models[0].keys() - pretraining_only:
        assert models[0][name] == models[1][name], name


@pytest.mark.parametrize(
    ("place", "message"), [("", "holds no earlier demo"), ("seed-0/pretrain", "not a training run")]
)
def test_somebody_elses_folder_is_left_alone(tiny_demo, tmp_path, place, message):
    mine = tmp_path / "demo" / place / "results.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    if place:
        (tmp_path / "demo" / "words").mkdir()
    with pytest.raises(FileExistsError, match=message):
        main(arguments("--out", str(tmp_path / "demo"), "--quiet"))
    assert mine.read_text() == "mine"


def test_two_demos_do_not_share_a_folder(tiny_demo, tmp_path):
    with locked(tmp_path / "demo"), pytest.raises(ValueError, match="demo is in use by process"):
        main(arguments("--out", str(tmp_path / "demo"), "--quiet"))
    assert list(tmp_path.iterdir()) == []


def test_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file; give --out a folder"):
        main(arguments("--out", str(tmp_path / "demo"), "--quiet"))


@pytest.mark.parametrize("given", [["--seed", "-1"], ["--seeds", "0"], ["--seeds", "two"]])
def test_wrong_numbers_are_refused(given, capsys):
    with pytest.raises(SystemExit):
        arguments(*given)
    assert "is not a whole number of at least" in capsys.readouterr().err
