"""benchmarks/low_precision.py from sounds to tables, on a handful of words."""

from __future__ import annotations

import json

import pytest

import low_precision
from ssamba.demo import recipe
from ssamba.demo.recipe import Recipe
from ssamba.demo.spoken_words import SpokenWordsSettings

MODEL = {**recipe.MODEL, "embed_dim": 32, "depth": 2}
PRETRAIN = {"batch_size": 4, "max_steps": 2, "validate_every": 1, **recipe.OBJECTIVE}
FINETUNE = {"batch_size": 4, "max_steps": 2, "validate_every": 1}


@pytest.fixture
def tiny_recipe(monkeypatch, few_voices):
    sounds = SpokenWordsSettings(variants=(1, 1, 1))
    tiny = Recipe(sounds, PRETRAIN, FINETUNE, labels_per_word=2, model_settings=MODEL)
    monkeypatch.setattr(recipe, "recipe", lambda quick, seed: tiny)


def test_from_sounds_to_tables(tiny_recipe, tmp_path, capfd):
    results, readme = tmp_path / "results.json", tmp_path / "README.md"
    readme.write_text(f"before\n{low_precision.BEGIN}\n{low_precision.END}\nafter\n")
    command = ["--out", str(tmp_path / "runs"), "--results", str(results), "--threads", "1", "--seconds", "0"]
    command += ["--sizes", "", "--readme", str(readme)]
    assert low_precision.main(command) == 0
    (row,) = json.loads(results.read_text())["rows"]
    assert row["clips"] == 4
    assert row["ratio"]["float32"] == {"median": 1.0, "quartiles": [1.0, 1.0], "rounds": 3}
    assert row["accuracy"]["float32"]["largest_logit_error"] == 0
    assert all(0 < row["accuracy"][dtype]["largest_logit_error"] < 0.1 for dtype in low_precision.DTYPES[1:])
    text = readme.read_text()
    assert "\n4 spoken words in batches of 16, 1 threads:\n" in text
    assert "| int8, weights only | " in text
    capfd.readouterr()

    assert low_precision.main(command) == 0  # nothing is left to do
    assert capfd.readouterr().err == ""
    assert low_precision.main([*command, "--again"]) == 0  # what was trained is used again
    assert capfd.readouterr().err.count("already finished") == 2
    assert len(json.loads(results.read_text())["rows"]) == 1


def test_a_checkpoint_needs_clips(capsys):
    with pytest.raises(SystemExit):
        low_precision.main(["--checkpoint", "x"])
    assert "--checkpoint and --data belong together" in capsys.readouterr().err
