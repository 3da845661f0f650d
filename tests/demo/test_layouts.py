"""The study of layouts: trains what is missing, keeps each run as it ends, and tables what it has."""

import json

import numpy as np
import pytest

import layouts
from layouts_table import BEGIN, END, table
from ssamba.demo.experiment import Outcome
from ssamba.demo.spoken_words import SpokenWords
from ssamba.training import Interrupted

ACCURACY = {"like_forward": 0.5, "zero_bias": 0.25}


@pytest.fixture
def trained(monkeypatch, tmp_path, engine):
    """Stands in for training; the list of (layout, start, seed) that were trained, which a test may limit."""
    log, limit = [], [None]

    def run(words, recipe, seed, folder, say, quiet):
        if limit[0] is not None and len(log) >= limit[0]:
            raise Interrupted("stopped", 2)
        start = recipe.model_settings["backward_dt_init"]
        log.append((recipe.model_settings["layout"], start, seed))
        folder.mkdir(parents=True)
        steps = [{"step": step, "accuracy": step / 10, "discriminative": 2.0, "generative": 0.5} for step in (1, 2)]
        lines = [json.dumps({"split": "validation", **step}) for step in steps]
        (folder / "metrics.jsonl").write_text("\n".join(lines))
        accuracy = {"pretrained": ACCURACY[start] + 0.1 * seed, "scratch": 0.2, "baseline": 0.1}
        return Outcome(seed, accuracy, np.eye(2), ("a", "b"), {"testing": 1.23}, {"pretrain": folder}, 4321)

    words = SpokenWords(tmp_path / "words", {"train": 7, "valid": 2, "test": 3}, 1, True)
    monkeypatch.setattr(layouts, "run_experiment", run)
    monkeypatch.setattr(layouts, "make_spoken_words", lambda folder, settings: words)
    return log, limit


@pytest.fixture
def given(tmp_path):
    return ["--seeds", "2", "--results", str(tmp_path / "layouts.json"), "--out", str(tmp_path / "runs")]


def test_a_stopped_study_goes_on_where_it_was(trained, given, tmp_path, capsys):
    log, limit = trained
    limit[0] = 3
    assert layouts.main(given) == 130
    assert "the same command trains what is missing" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "layouts.json").read_text())["runs"]) == 3
    limit[0] = None
    assert layouts.main(given) == 0
    assert len(log) == len(set(log)) == 8
    runs = json.loads((tmp_path / "layouts.json").read_text())["runs"]
    assert [(run["layout"], run["backward_dt_init"], run["seed"]) for run in runs] == log
    assert runs[0]["pretraining"] == {"accuracy": 0.2, "discriminative": 2.0, "generative": 0.5}
    assert layouts.main(given) == 0
    assert len(log) == 8


def test_runs_on_other_terms_are_not_mixed(trained, given, monkeypatch, capsys):
    log, limit = trained
    limit[0] = 1
    layouts.main(given)
    monkeypatch.setattr(layouts, "machine", lambda: {"processor": "another"})
    assert layouts.main(given) == 2
    assert "holds runs with another machine" in capsys.readouterr().err
    assert len(log) == 1


def test_all_terms_but_the_variant_are_equal(trained, given, tmp_path):
    layouts.main(given)
    recipe = json.loads((tmp_path / "layouts.json").read_text())["recipe"]
    assert recipe["pretrain_settings"]["infonce"] == "paper"
    assert not {"layout", "backward_dt_init"} & recipe["model_settings"].keys()


def test_the_table_holds_means_and_deviations(trained, given, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert layouts.main([*given, "--readme", str(readme)]) == 0
    results = json.loads((tmp_path / "layouts.json").read_text())
    text = table(results)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == 4
    assert rows[0].startswith("| `sequential` | `like_forward`")
    assert rows[0].endswith("| 55.0 ± 7.1 | 20.0 ± 0.0 | 20.0 ± 0.0 |  |")
    assert rows[3].startswith("| `paired` | `zero_bias`")
    assert rows[3].endswith("| 30.0 ± 7.1 | 20.0 ± 0.0 | 20.0 ± 0.0 | -25.0 ± 0.0 |")
    assert "4,321 parameters" in text
    assert "3 clips of 14 voices" in text
    assert "over seeds 0, 1" in text
    assert readme.read_text() == f"before\n{BEGIN}\n{text}\n{END}\nafter\n"
    assert text in capsys.readouterr().out

    results["runs"][0]["parameters"] += 1
    with pytest.raises(ValueError, match=r"4322\] parameters do not compare"):
        table(results)


def test_a_file_without_marks_is_named(trained, given, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("nothing here\n")
    assert layouts.main([*given, "--readme", str(readme)]) == 2
    assert "README.md has no line" in capsys.readouterr().err
    assert readme.read_text() == "nothing here\n"
