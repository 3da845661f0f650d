"""Folds and seeds: what is trained and tested, the table, resuming, refusals."""

from __future__ import annotations

import json
import math
import statistics

import pytest

from ssamba.data import read_manifest
from ssamba.data.preparers import Fold, Inventory, write_splits
from ssamba.training import RepeatSettings, repeat
from ssamba.training.fold_table import format_table, metric_table
from tone_clips import TINY


def test_table_by_hand():
    values = {("1", 0): 0.5, ("2", 0): 0.7, ("1", 1): 0.6, ("2", 1): 1.0}
    runs = [
        {"fold": fold, "seed": seed, "test": {"accuracy": value, "dprime": None if value == 1 else 2.0}}
        for (fold, seed), value in values.items()
    ]
    table = metric_table(runs)
    assert table["accuracy"] == {
        "mean": pytest.approx(0.7),
        "std_over_folds": pytest.approx(statistics.stdev([0.55, 0.85])),
        "std_over_seeds": pytest.approx(statistics.stdev([0.6, 0.8])),
        "by_fold": {"1": pytest.approx(0.55), "2": pytest.approx(0.85)},
        "by_seed": {"0": pytest.approx(0.6), "1": pytest.approx(0.8)},
    }
    assert table["dprime"] == {"undefined_in": ["fold 2, seed 1"]}
    assert format_table({"metrics": table, "runs": runs}).splitlines() == [
        "fold       seed  accuracy  dprime",
        "1          0     0.5000    2.0000",
        "2          0     0.7000    2.0000",
        "1          1     0.6000    2.0000",
        "2          1     1.0000    -",
        "mean             0.7000    -",
        "std folds        0.2121    -",
        "std seeds        0.1414    -",
    ]


def test_one_run_has_no_deviation():
    table = metric_table([{"fold": "1", "seed": 3, "test": {"map": 0.25}}])["map"]
    assert (table["mean"], table["std_over_folds"], table["std_over_seeds"]) == (0.25, None, None)


@pytest.fixture(scope="module")
def prepared(tones, tmp_path_factory):
    """Two folds of the tones, each with clips to choose by."""
    out = tmp_path_factory.mktemp("prepared")
    parts = read_manifest(tones).split(0.25, 0.5, 0.25)
    folds = [Fold("a", parts[1], parts[2], parts[0]), Fold("b", parts[1], parts[0], parts[2])]
    write_splits(out, "tones", folds, Inventory("tones", out))
    return out


def settings_of(data, out, **more):
    return RepeatSettings(**{**TINY, "learning_rate": 5e-3, "epochs": 3, **more}, data=str(data), out=str(out))


@pytest.fixture(scope="module")
def done(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("repeat") / "runs"
    return out, repeat(settings_of(prepared, out, seeds=2, seed=4))


def test_results(done, prepared):
    out, results = done
    stored = json.loads((out / "results.json").read_text())
    assert stored == {name: value for name, value in results.items() if name != "file"}
    assert [(run["fold"], run["seed"]) for run in stored["runs"]] == [("a", 4), ("b", 4), ("a", 5), ("b", 5)]
    assert (stored["folds"], stored["seeds"]) == (["a", "b"], [4, 5])
    assert stored["settings"]["learning_rate"] == 5e-3
    assert {"torch", "python"} <= stored["versions"].keys()
    accuracies = [run["test"]["accuracy"] for run in stored["runs"]]
    assert stored["metrics"]["accuracy"]["mean"] == pytest.approx(statistics.fmean(accuracies))
    assert all(0.5 < value <= 1 for value in accuracies)
    for run in stored["runs"]:
        tested = json.loads((out / run["directory"] / "test.json").read_text())
        assert tested["accuracy"] == run["test"]["accuracy"]
        assert tested["settings"]["data"] == str(prepared / f"fold{run['fold']}" / "test.csv")
        assert (tested["training"]["seed"], run["clips"], run["checkpoint"]) == (run["seed"], 6, "best")
        config = json.loads((out / run["directory"] / "config.json").read_text())
        assert config["settings"]["validation"] == str(prepared / f"fold{run['fold']}" / "validation.csv")
        assert (config["training_clips"]["clips"], config["validation_clips"]["clips"]) == (12, 6)


def test_resume_repeats_nothing(done, prepared):
    out, results = done
    before = {path: path.stat().st_mtime_ns for path in out.rglob("metrics.jsonl")}
    again = repeat(settings_of(prepared, out, seeds=2, seed=4, resume=True))
    assert again["runs"] == results["runs"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("metrics.jsonl")} == before


def test_a_signal_says_how_to_continue(prepared, tmp_path, monkeypatch):
    from ssamba.training import Interrupted
    from ssamba.training.loop import TrainingLoop

    original = TrainingLoop._step
    with monkeypatch.context() as patch:
        patch.setattr(
            TrainingLoop,
            "_step",
            lambda loop, batches: original(loop, batches) or 2 * ("folda" not in loop.directory.path.name),
        )
        with pytest.raises(
            Interrupted, match=r"in fold b, seed 0; continue with ssamba repeat --out .* --resume"
        ) as stop:
            repeat(settings_of(prepared, tmp_path / "run", epochs=1))
    assert stop.value.exit_code == 130
    assert not (tmp_path / "run" / "results.json").exists()
    results = repeat(settings_of(prepared, tmp_path / "run", epochs=1, resume=True))
    assert [run["steps"] for run in results["runs"]] == [3, 3]


def test_own_manifests_and_one_fold(tones, prepared, tmp_path):
    fold = prepared / "folda"
    common = {"epochs": 1, "validation_share": 0}
    results = repeat(settings_of(fold / "train.csv", tmp_path / "own", test=str(fold / "test.csv"), **common))
    assert [(run["fold"], run["checkpoint"]) for run in results["runs"]] == [("1", "last")]
    results = repeat(settings_of(prepared, tmp_path / "b", folds=("b",), **common))
    assert [run["fold"] for run in results["runs"]] == ["b"]


def test_infinite_values_are_null(prepared, tmp_path, monkeypatch):
    import ssamba.training.metrics as metrics

    monkeypatch.setattr(metrics, "dprime", lambda auc: math.inf)
    results = repeat(settings_of(prepared, tmp_path / "run", folds=("a",), epochs=1))
    assert results["runs"][0]["test"]["dprime"] is None
    assert results["metrics"]["dprime"] == {"undefined_in": ["fold a, seed 0"]}


def test_refusals(done, prepared, tones, tmp_path):
    out, _ = done
    with pytest.raises(ValueError, match="already holds such runs; go on with --resume"):
        repeat(settings_of(prepared, out, seeds=2, seed=4))
    with pytest.raises(ValueError, match=r"was started with other settings: epochs was 3, now 9"):
        repeat(settings_of(prepared, out, seeds=2, seed=4, epochs=9, resume=True))
    with pytest.raises(ValueError, match="holds no results of ssamba repeat"):
        repeat(settings_of(prepared, tones))
    with pytest.raises(ValueError, match="there is no fold 1; there are: a, b"):
        repeat(settings_of(prepared, tmp_path / "run", folds=("1",)))
    with pytest.raises(
        ValueError, match="was not made by ssamba prepare; to test on clips of your own, give them as test"
    ):
        repeat(settings_of(tones, tmp_path / "run"))
    with pytest.raises(ValueError, match="has its own validation; leave validation out"):
        repeat(settings_of(prepared, tmp_path / "run", validation=str(tones)))
    with pytest.raises(ValueError, match=r"24 clips are in .*tones and in .*tones, such as"):
        repeat(settings_of(tones, tmp_path / "run", test=str(tones)))
    assert not (tmp_path / "run").exists()
