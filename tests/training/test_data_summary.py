"""The line that says what was found, and that there is something to learn from it."""

from types import SimpleNamespace

import numpy as np
import pytest

from ssamba.data import Clip
from ssamba.training.data_summary import describe_data, in_time, say_found
from ssamba.training.evaluation import evaluate
from ssamba.training.finetuning import finetune
from ssamba.training.settings import EvaluateSettings, FinetuneSettings
from tone_clips import TINY, write_tones


def data(seconds, *labels, classes=()):
    clips = [Clip(f"{i}.wav", label) for i, label in enumerate(labels)]
    return SimpleNamespace(clips=clips, classes=classes, durations=np.array(seconds))


def test_in_time():
    shown = [in_time(seconds) for seconds in (0.52, 24, 59.4, 60, 216, 3600, 45000)]
    assert shown == ["0.52 s", "24 s", "59.4 s", "1.0 min", "3.6 min", "1.0 h", "12.5 h"]


def test_describe_data(capsys):
    assert describe_data(data([3600, 1800], (), ())) == "2 clips (1.5 h)"
    few = data([10, 10, 4], ("b",), ("a", "b"), ("b",), classes=("b", "a", "none"))
    assert describe_data(few) == "3 clips (24 s) of 3 classes: b 3, a 1, none 0"
    many = data([1] * 45, *[(f"c{i}",) for i in range(9) for _ in range(i + 1)], classes=[f"c{i}" for i in range(9)])
    assert describe_data(many) == "45 clips (45 s) of 9 classes, from 1 of c0 to 9 of c8"
    say_found("training on", few, data([60], ()), quiet=False)
    say_found("training on", few, quiet=True)
    assert capsys.readouterr().err == (
        "training on 3 clips (24 s) of 3 classes: b 3, a 1, none 0; validating on 1 clip (1.0 min)\n"
    )


def test_training_and_evaluation_say_what_they_found_and_name_a_file_once(tones, tmp_path, capsys, caplog):
    data = write_tones(tmp_path / "data", clips=3)
    (data / "low" / "1.wav").write_bytes(b"")
    loud = {**TINY, "quiet": False}
    finetune(FinetuneSettings(**loud, data=str(data), validation=str(tones), out=str(tmp_path / "run"), epochs=1))
    shown = capsys.readouterr().err
    assert shown.startswith("training on 8 clips (")
    assert "3 classes: high 3, low 2, mid 3; validating on 24 clips (" in shown.splitlines()[0]
    assert (shown + caplog.text).count("low/1.wav: is empty") == 1
    assert "1 file was skipped" in shown
    caplog.clear()
    evaluate(EvaluateSettings(checkpoint=str(tmp_path / "run"), data=str(data)))
    shown = capsys.readouterr().err
    assert shown.startswith("evaluating on 8 clips (")
    assert (shown + caplog.text).count("low/1.wav: is empty") == 1
    assert "1 file was skipped" in shown


def test_one_class_is_nothing_to_tell_apart(tones, tmp_path):
    one = tmp_path / "one"
    one.mkdir()
    (one / "low").symlink_to(tones / "low")
    settings = {**TINY, "out": str(tmp_path / "run"), "epochs": 1}
    with pytest.raises(ValueError, match=r"has clips of one class only, low, and so nothing to tell apart; give"):
        finetune(FinetuneSettings(**settings, data=str(one)))
    rows = [f"{tones}/low/{i}.wav,/m/2\n" for i in range(8)]
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(rows))
    (tmp_path / "labels.csv").write_text("index,mid,display_name\n0,/m/1,Dog\n1,/m/2,Cat\n")
    with pytest.raises(ValueError, match="one class only, Cat"):
        finetune(FinetuneSettings(**settings, data=str(tmp_path / "list.csv"), label_csv=str(tmp_path / "labels.csv")))


def test_a_link_cannot_be_learnt_from_and_validated_on(tones, tmp_path):
    (tmp_path / "held out" / "low").mkdir(parents=True)
    (tmp_path / "held out" / "low" / "other name.wav").symlink_to(tones / "low" / "3.wav")
    settings = {**TINY, "out": str(tmp_path / "run"), "epochs": 1}
    with pytest.raises(ValueError, match=r"1 clips are in both data and validation, such as .*low/3\.wav"):
        finetune(FinetuneSettings(**settings, data=str(tones), validation=str(tmp_path / "held out")))


def test_a_manifest_whose_files_are_elsewhere_says_how_to_go_on(tones, tmp_path):
    text = "path,label\n" + "".join(f"/there/{label}/{i}.wav,{label}\n" for label in ("low", "high") for i in range(4))
    (tmp_path / "list.csv").write_text(text)
    settings = {**TINY, "out": str(tmp_path / "run"), "max_steps": 1, "validation_share": 0.25}
    with pytest.raises(ValueError, match=r"none of its 8 clips is there.*--audio-root.*takes the place of /there$"):
        finetune(FinetuneSettings(**settings, data=str(tmp_path / "list.csv")))
    here = FinetuneSettings(**settings, data=str(tmp_path / "list.csv"), audio_root=str(tones))
    assert finetune(here).step == 1
