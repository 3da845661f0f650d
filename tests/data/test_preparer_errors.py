"""What the preparers say of files that are missing, damaged or not what they should be."""

from __future__ import annotations

import hashlib

import pytest

from miniature_data_sets import WRITERS, write_lines
from ssamba.data.preparers import PreparationError, prepare, read_splits


def remove(root, *names):
    for name in names:
        (root / name).unlink()


@pytest.mark.parametrize(
    ("dataset", "broken", "message"),
    [
        (
            "esc50",
            ["audio/1-1000-A-0.wav", "audio/1-1000-B-0.wav"],
            r"2 of 40 clips are missing: .*1-1000-A-0.wav, .*1-1000-B-0.wav; 6 clips in fold 1, expected 8\.",
        ),
        ("esc50", ["meta/esc50.csv"], r"found none of .*/meta/esc50.csv, .*give the folder of ESC-50"),
        (
            "iemocap",
            ["Session4/dialog/EmoEvaluation/Ses04F_impro01.txt"],
            r"4 utterances of the four emotions in Session4, expected 8; 9 utterances of ang, expected 10; 9 utter",
        ),
        (
            "iemocap",
            ["Session4/sentences/wav/Ses04F_impro01/Ses04F_impro01_F000.wav"],
            r"1 of 8 recordings of Session4 are missing: .*Ses04F_impro01_F000.wav",
        ),
        ("voxceleb1", ["iden_split.txt"], r"holds none of iden_split.txt, .*download VoxCeleb1"),
        (
            "voxceleb1",
            ["dev/wav/id10001/video0/00000.wav"],
            r"1 of 12 utterances are missing: id10001/video0/00000.wav; 5 utterances in the train part, expected 6",
        ),
        ("speech_commands_v1", ["validation_list.txt"], r"1 of 2 lists are missing: validation_list.txt"),
        (
            "speech_commands_v2",
            ["zero/00000005_nohash_0.wav"],
            r"1 of 6 clips of the lists are missing: zero/00000005_nohash_0.wav; 2 clips in the test part, expected 3",
        ),
        ("speech_commands_v2", ["testing_list.txt"], r"found none of .*testing_list.txt"),
        ("audioset20k", ["eval_segments.csv"], r"found none of .*eval_segments.csv"),
        ("urban8k", ["audio/fold2/200-0-0-0.wav"], r"1 of 30 clips are missing: .*200-0-0-0.wav"),
        (
            "pretraining",
            ["LibriSpeech/train-other-500/20/1240/20-1240-0001.flac"],
            r"1 utterances in LibriSpeech/train-other-500, expected 2",
        ),
    ],
)
def test_what_is_missing_is_said(dataset, broken, message, tmp_path):
    expected = WRITERS[dataset](tmp_path / "data")
    remove(tmp_path / "data", *broken)
    with pytest.raises(PreparationError, match=message):
        prepare(dataset, tmp_path / "data", tmp_path / "out", expected=expected)
    assert not (tmp_path / "out" / "splits.json").exists()


def test_the_published_counts_are_asked_for(tmp_path):
    WRITERS["esc50"](tmp_path)
    with pytest.raises(
        PreparationError, match=r"40 clips in meta/esc50.csv, expected 2,000; 2 classes, expected 50; 8 "
    ):
        prepare("esc50", tmp_path, tmp_path / "out")


def test_a_damaged_archive_is_named(tmp_path, monkeypatch):
    expected = WRITERS["speech_commands_v1"](tmp_path / "data")
    archive = tmp_path / "speech_commands_v0.01.tar.gz"
    archive.write_bytes(b"cut off")
    with pytest.raises(PreparationError, match=rf"{archive} has sha256 .*, expected 743935421bb5.*: download it again"):
        prepare("speech_commands_v1", tmp_path / "data", tmp_path / "out", expected=expected)
    monkeypatch.setattr("ssamba.data.preparers.speech_commands_v1.CHECKSUM", hashlib.sha256(b"cut off").hexdigest())
    prepare("speech_commands_v1", tmp_path / "data", tmp_path / "out", expected=expected)


def test_a_split_file_with_nonsense(tmp_path):
    expected = WRITERS["voxceleb1"](tmp_path)
    write_lines(tmp_path / "iden_split.txt", "1 id10001/video0/00000.wav", "<html>")
    with pytest.raises(PreparationError, match=r"iden_split.txt:2: expected '1 speaker/video/utterance.wav', found"):
        prepare("voxceleb1", tmp_path, tmp_path / "out", expected=expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"filename,fold,category\n", "expected columns filename,fold,category,src_file, found filename,fold,category"),
        (b"filename,fold,category,src_file\na.wav,1\n", "esc50.csv:2: the number of fields is not that of the header"),
        (b"filename,fold,category,src_file\na.wav,6,dog,7\n", "esc50.csv:2: fold is '6', expected 1 to 5"),
        (b"\xff\xfe", r"esc50.csv: is not UTF-8 text \(byte 0\); download it again"),
        (b"", "found nothing"),
    ],
)
def test_a_broken_table(text, message, tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_bytes(text)
    with pytest.raises(PreparationError, match=message):
        prepare("esc50", tmp_path, tmp_path / "out")


def test_an_unusable_clip_of_urban8k_is_named(tmp_path):
    expected = WRITERS["urban8k"](tmp_path)
    (tmp_path / "audio" / "fold1" / "100-0-0-0.wav").write_bytes(b"")
    with pytest.raises(PreparationError, match=r"a clip cannot be used: .*100-0-0-0.wav: is empty"):
        prepare("urban8k", tmp_path, tmp_path / "out", expected=expected)


def test_splits_of_another_folder(tmp_path):
    with pytest.raises(ValueError, match=r"holds no splits.json; prepare the data set first"):
        read_splits(tmp_path)
    write_lines(tmp_path / "splits.json", "[]")
    with pytest.raises(ValueError, match=r"splits.json is damaged"):
        read_splits(tmp_path)
