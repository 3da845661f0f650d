"""What a killed process left is put right, and a run goes on where it and its data are now."""

from __future__ import annotations

import json
import shutil

import pytest

from ssamba.training import FinetuneSettings, PretrainSettings, finetune, pretrain, run_directory
from ssamba.training.run_directory import fingerprint, same_facts, saved_settings
from tone_clips import TINY


class Killed(BaseException):
    pass


def settings_of(data, out, **more):
    return PretrainSettings(**{**TINY, "max_steps": 1, **more}, data=str(data), out=str(out))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tones, tmp_path):
    pretrain(settings_of(tones, tmp_path / "run"))
    return tmp_path / "run"


WHOLE = ["checkpoints", "config.json", "metrics.jsonl", "tensorboard"]


@pytest.mark.parametrize("resume", [False, True])
def test_killed_while_the_first_file_is_written(resume, tones, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in (".config.json.0123abcd.part", ".lock"):
        (run / name).write_text("{")
    assert pretrain(settings_of(tones, run, resume=resume)).step == 1
    assert names(run) == WHOLE


@pytest.mark.parametrize("resume", [False, True])
def test_stopped_before_the_first_checkpoint(resume, tones, tmp_path, monkeypatch):
    run = tmp_path / "run"

    def kill(loop, resume):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("ssamba.training.loop.TrainingLoop.run", kill)
        with pytest.raises(Killed):
            pretrain(settings_of(tones, run, seed=5))
    assert names(run) == ["config.json"]
    assert pretrain(settings_of(tones, run, seed=6, resume=resume)).status == "finished"
    assert json.loads((run / "config.json").read_text())["settings"]["seed"] == 6


def test_what_killed_processes_left_is_removed(run, tones):
    (run / ".metrics.jsonl.0123abcd.part").write_text("{}")
    (run / ".mine.part").write_text("not ours")
    for name in (".last.partial", ".best.previous", ".0123abcd.discarded"):
        (run / "checkpoints" / name).mkdir()
    pretrain(settings_of(tones, run, resume=True))
    assert names(run) == [".mine.part", *WHOLE]
    assert names(run / "checkpoints") == ["best", "last"]


def test_a_run_without_its_last_checkpoint_is_not_begun_anew(run, tones):
    shutil.rmtree(run / "checkpoints" / "last")
    with pytest.raises(ValueError, match=r"cannot be resumed: .*checkpoints/last is gone"):
        pretrain(settings_of(tones, run, resume=True))
    assert names(run / "checkpoints") == ["best"]


def test_moved_together(tones, tmp_path, capsys):
    shutil.copytree(tones, tmp_path / "old" / "data")
    cache = str(tmp_path / "old" / "cache")
    pretrain(settings_of(tmp_path / "old" / "data", tmp_path / "old" / "run", feature_cache=cache))
    (tmp_path / "old").rename(tmp_path / "new")
    new = tmp_path / "new"
    saved = saved_settings(new / "run", "pretrain")
    assert (saved["data"], saved["out"]) == (str(new / "data"), str(new / "run"))
    assert saved["feature_cache"] == str(new / "cache")
    assert pretrain(PretrainSettings(**{**saved, "resume": True, "max_steps": 1})).status == "already finished"
    assert f"data has moved: it was {tmp_path}/old/data, now {new}/data\n" in capsys.readouterr().err
    written = json.loads((new / "run" / "config.json").read_text())["settings"]
    assert (written["data"], written["out"]) == (str(new / "data"), str(new / "run"))


def test_data_moved_alone(tones, tmp_path):
    old, new, run = tmp_path / "old", tmp_path / "new", tmp_path / "run"
    shutil.copytree(tones, old)
    pretrain(settings_of(old, run))
    old.rename(new)
    with pytest.raises(
        ValueError, match=rf"data of the run in {run} is {old}, which does not exist any more; .*--data"
    ):
        pretrain(settings_of(old, run, resume=True))
    assert pretrain(settings_of(new, run, resume=True)).status == "already finished"
    assert (
        pretrain(PretrainSettings(**{**saved_settings(run, "pretrain"), "resume": True})).status == "already finished"
    )


def test_other_clips_of_the_same_names_are_noticed(run, tones, tmp_path):
    shutil.copytree(tones, tmp_path / "data")
    with (tmp_path / "data" / "low" / "0.wav").open("ab") as file:
        file.write(bytes(2))
    with pytest.raises(ValueError, match=r"cannot be resumed: (training|validation)_clips was \d+ clips"):
        pretrain(settings_of(tmp_path / "data", run, resume=True))


def test_a_run_of_an_older_version_goes_on_in_its_place(run, tones, tmp_path):
    config = json.loads((run / "config.json").read_text())
    config["settings"]["out"] = "run"  # as it was given then
    for name in ("training_clips", "validation_clips"):
        del config[name]["wherever"]
    (run / "config.json").write_text(json.dumps(config))
    shutil.copytree(tones, tmp_path / "data")
    with pytest.raises(ValueError, match="cannot be resumed: training_clips was"):
        pretrain(settings_of(tmp_path / "data", run, resume=True))
    assert pretrain(settings_of(tones, run, resume=True)).status == "already finished"
    assert pretrain(settings_of(tmp_path / "data", run, resume=True)).status == "already finished"  # it knows by now


def test_the_pretrained_model_is_needed_no_longer(run, tones, tmp_path):
    def settings(**more):
        common = {**TINY, "embed_dim": None, "depth": None, "input_tdim": None, "max_steps": 1, **more}
        return FinetuneSettings(data=str(tones), out=str(tmp_path / "tuned"), **common)

    finetune(settings(pretrained=str(run)))
    with pytest.raises(ValueError, match=r"pretrained was .*/run', now .*/elsewhere'"):
        finetune(settings(pretrained=str(tmp_path / "elsewhere"), resume=True))
    run.rename(tmp_path / "elsewhere")
    for place in (run, tmp_path / "elsewhere"):
        assert finetune(settings(pretrained=str(place), resume=True)).status == "already finished"


def test_fingerprints(tmp_path):
    def prints(root, *paths, label="a"):
        return fingerprint([(f"{root}/{path}", (label,)) for path in paths], str(root))

    for root in ("here", "there"):
        (tmp_path / root).mkdir()
        for name in ("1.wav", "2.wav"):
            (tmp_path / root / name).write_text(name)
    here, there = (prints(tmp_path / root, "1.wav", "2.wav") for root in ("here", "there"))
    assert (here["clips"], here["wherever"]) == (2, there["wherever"])
    assert here["sha256"] != there["sha256"]
    assert same_facts(here, there)
    for other in (prints(tmp_path / "there", "1.wav"), prints(tmp_path / "there", "1.wav", "2.wav", label="b")):
        assert not same_facts(here, other)
    outside = f"{tmp_path}/there/1.wav"  # of a manifest with absolute paths, which itself is moved
    assert same_facts(fingerprint([(outside, ())], f"{tmp_path}/x"), fingerprint([(outside, ())], f"{tmp_path}/y/z"))
    assert not same_facts(None, here)


def test_a_killed_repeat_may_be_started_again(tmp_path):
    from ssamba.training.repeating import _check_startable
    from ssamba.training.settings import RepeatSettings

    settings = RepeatSettings(data="d", out=str(tmp_path))
    (tmp_path / ".config.json.0123abcd.part").write_text("{")
    _check_startable(tmp_path, settings)
    assert names(tmp_path) == []
    run_directory.write_json(tmp_path / "config.json", {"verb": "repeat", "settings": {}})
    _check_startable(tmp_path, settings)
    (tmp_path / "fold1-seed0").mkdir()
    with pytest.raises(ValueError, match="already holds such runs"):
        _check_startable(tmp_path, settings)
