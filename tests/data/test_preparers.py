"""Every preparer on a miniature of the real folder layout: splits and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from miniature_data_sets import WRITERS, write_lines
from ssamba.audio.reading import read_audio
from ssamba.data import Clip, read_manifest
from ssamba.data.preparers import PreparationError, prepare, read_splits, urban8k
from ssamba.data.preparers.audioset import audio_by_video
from ssamba.data.preparers.splits import hold_out_groups


@pytest.fixture
def prepared(tmp_path):
    """prepared(dataset, **expected) -> (splits.json, {fold: {part: Manifest}}), everything in place."""

    def make(dataset, incomplete=False, **more):
        root, out = tmp_path / dataset, tmp_path / "prepared" / dataset
        expected = {**WRITERS[dataset](root), **more} if not root.exists() else more
        prepare(dataset, root, out, incomplete, expected)
        return json.loads((out / "splits.json").read_text()), manifests(out)

    return make


def manifests(out):
    splits = read_splits(out)
    return {
        name: {part: read_manifest(path, splits.label_csv) for part, path in parts.items()}
        for name, parts in splits.folds.items()
    }


def names(manifest):
    return {Path(clip.path).name for clip in manifest.clips}


def sources(manifest):
    return {Path(clip.path).name.split("-")[1] for clip in manifest.clips}


def test_esc50(prepared):
    _, folds = prepared("esc50")
    assert list(folds) == ["1", "2", "3", "4", "5"]
    for number, parts in folds.items():
        assert {name.split("-")[0] for name in names(parts["test"])} == {number}
        assert [len(parts[part]) for part in ("train", "validation", "test")] == [28, 4, 8]
        assert parts["validation"].counts() == {"dog": 2, "rain": 2}
        assert all(manifest.classes == ("dog", "rain") for manifest in parts.values())
        assert not sources(parts["train"]) & sources(parts["validation"])
        assert number not in {name.split("-")[0] for name in names(parts["train"]) | names(parts["validation"])}
    clip = folds["2"]["test"].clips[-1]
    assert (Path(clip.path).name, clip.labels) == ("2-2101-B-1.wav", ("rain",))
    assert len(set.union(*(names(parts["test"]) for parts in folds.values()))) == 40


def test_iemocap(prepared):
    _, folds = prepared("iemocap")
    for number, parts in folds.items():
        assert {name[:5] for name in names(parts["test"])} == {f"Ses0{number}"}
        assert parts["test"].counts() == dict.fromkeys(("ang", "hap", "neu", "sad"), 2)
        assert [len(parts[part]) for part in ("train", "validation")] == [24, 8]
        dialogues = [{name.rpartition("_")[0] for name in names(parts[part])} for part in ("train", "validation")]
        assert not dialogues[0] & dialogues[1]
        assert f"Ses0{number}" not in {name[:5] for name in names(parts["train"]) | names(parts["validation"])}
    excited = [clip for clip in folds["2"]["test"].clips if clip.path.endswith("_F001.wav")]
    assert [clip.labels for clip in excited] == [("hap",), ("hap",)]


def test_voxceleb1(prepared):
    content, folds = prepared("voxceleb1")
    parts = folds["1"]
    assert content["clips"]["1"] == {"train": 6, "validation": 3, "test": 3}
    assert parts["train"].classes == ("id10001", "id10002", "id10270")
    assert names(parts["train"]) == {"00000.wav", "00001.wav"}
    assert names(parts["test"]) == {"00003.wav"}
    assert all(clip.labels[0] == Path(clip.path).parts[-3] for clip in parts["test"].clips)


@pytest.mark.parametrize("version", [1, 2])
def test_speech_commands(prepared, version):
    _, folds = prepared(f"speech_commands_v{version}")
    parts = folds["1"]
    assert {part: manifest.counts() for part, manifest in parts.items()} == {
        "train": {"bed": 4, "happy": 4, "zero": 4},
        "validation": {"bed": 1, "happy": 1, "zero": 1},
        "test": {"bed": 1, "happy": 1, "zero": 1},
    }
    assert names(parts["validation"]) == {"00000004_nohash_0.wav"}
    assert names(parts["test"]) == {"00000005_nohash_0.wav"}


def test_audioset20k(prepared, tmp_path):
    content, folds = prepared("audioset20k")
    parts = folds["1"]
    assert list(parts) == ["train", "test"]
    assert parts["test"].classes == ("Speech", "Domestic animals, pets", "Animal")
    assert (len(parts["train"]), len(parts["test"])) == (5, 3)
    assert parts["train"].clips[1].labels == ("Speech", "Domestic animals, pets", "Animal")
    assert content["missing"] == []
    assert content["notes"] == [
        "balanced_train_segments.csv: audio of 5 of 6 clips found; the others are listed in "
        "missing_balanced_train_segments.txt",
        "eval_segments.csv: audio of 3 of 4 clips found; the others are listed in missing_eval_segments.txt",
    ]
    assert (tmp_path / "prepared" / "audioset20k" / "missing_eval_segments.txt").read_text() == "-eval_0Y-_x\n"


def test_pretraining(prepared):
    content, folds = prepared("pretraining")
    parts = folds["1"]
    assert list(parts) == ["train", "validation"]
    assert content["clips"]["1"] == {"train": 4 + 6, "validation": 3}
    assert {parts[part].classes for part in parts} == {()}
    assert {Path(clip.path).parts[-4] for clip in parts["train"].clips[4:]} == {
        "train-clean-100",
        "train-clean-360",
        "train-other-500",
    }


def test_urban8k(prepared, monkeypatch):
    monkeypatch.setattr(urban8k, "MINUTE", 4)
    _, folds = prepared("urban8k")
    assert len(folds) == 10
    for number, parts in folds.items():
        assert [len(clip.seconds) for clip in parts["test"].clips] == [4, 2]
        assert {Path(clip.path).parent.name for clip in parts["test"].clips} == {f"fold{number}"}
        assert (len(parts["train"]), set(parts)) == (18, {"train", "test"})
        labels = [label for clip in parts["test"].clips for label in clip.seconds]
        assert sorted(labels) == sorted(["car_horn", "dog_bark", "siren"] * 2)
        assert labels[::2] == labels[1::2]  # a clip of 1.2 s takes two seconds
    clip = folds["3"]["test"].clips[0]
    wave = read_audio(clip.path)
    assert len(wave) == 4 * 16000
    for second, label in enumerate(clip.seconds):
        part = wave[second * 16000 : (second + 1) * 16000]
        if second % 2:
            assert np.abs(part[4000:]).max() == 0  # silence from 0.2 s on, where the clip has ended
        spectrum = np.abs(np.fft.rfft(part[:3200], 16000))
        pitch = {"car_horn": 300, "dog_bark": 1200, "siren": 2100}[label]
        assert abs(int(spectrum.argmax()) - pitch) <= 5


def test_the_same_twice(prepared, tmp_path):
    prepared("esc50")
    before = {path: path.read_bytes() for path in (tmp_path / "prepared").rglob("*.*") if path.is_file()}
    prepared("esc50", clips=40, classes=2, folds=(8,) * 5)
    assert {path: path.read_bytes() for path in (tmp_path / "prepared").rglob("*.*") if path.is_file()} == before


def test_incomplete_goes_on(prepared, tmp_path):
    WRITERS["speech_commands_v1"](tmp_path / "speech_commands_v1")
    (tmp_path / "speech_commands_v1" / "zero" / "00000005_nohash_0.wav").unlink()
    content, folds = prepared("speech_commands_v1", incomplete=True)
    assert folds["1"]["test"].counts() == {"bed": 1, "happy": 1}
    assert "1 of 6 clips of the lists are missing: zero/00000005_nohash_0.wav" in content["missing"]
    assert "3 words, expected 30" in content["missing"]


def test_published_counts_add_up():
    from ssamba.data.preparers import iemocap, speech_commands_v2, voxceleb1

    assert sum(urban8k.EXPECTED["folds"]) == 8732
    assert sum(iemocap.EXPECTED["sessions"]) == sum(iemocap.EXPECTED[name] for name in ("ang", "hap", "neu", "sad"))
    assert sum(speech_commands_v2.EXPECTED[part] for part in ("train", "validation", "test")) == 105829
    assert sum(voxceleb1.EXPECTED[part] for part in ("train", "validation", "test")) == 153516


def test_root_may_be_the_folder_above(tmp_path):
    expected = WRITERS["esc50"](tmp_path / "ESC-50-master")
    prepare("esc50", tmp_path, tmp_path / "out", expected=expected)
    assert len(read_splits(tmp_path / "out").folds) == 5


def test_clip_names_of_audioset(tmp_path):
    for name in (
        "a-_bcdefghi.wav",
        "YYbcdefghijk.flac",
        "Ybcdefghij0_30.000.wav",
        "zbcdefghijk_30000_40000.mp3",
        "x.wav",
    ):
        write_lines(tmp_path / "some" / name)
    assert sorted(audio_by_video(tmp_path)) == ["Ybcdefghij0", "Ybcdefghijk", "a-_bcdefghi", "zbcdefghijk"]
    write_lines(tmp_path / "more" / "a-_bcdefghi.flac")
    with pytest.raises(PreparationError, match=r"the video a-_bcdefghi has two files, .*more/a-.*some/a-"):
        audio_by_video(tmp_path)


def test_hold_out_keeps_groups_whole_and_shares_small():
    random = np.random.default_rng(0)
    clips = [(Clip(str(i), ("ab"[i % 2],)), str(group)) for i, group in enumerate(random.integers(60, size=400))]
    train, held = hold_out_groups(clips, ("a", "b"), 0.1)
    groups = {clip.path: group for clip, group in clips}
    assert not {groups[clip.path] for clip in train.clips} & {groups[clip.path] for clip in held.clips}
    assert len(train) + len(held) == 400
    assert all(15 <= count <= 20 for count in held.counts().values())
    assert [clip.path for clip in hold_out_groups(clips, ("a", "b"), 0.1)[1].clips] == [c.path for c in held.clips]
