"""Folders of class folders, and the layouts that must not be taken for them."""

import os
import unicodedata

import pytest

from ssamba.data.class_folders import read_class_folders
from ssamba.data.manifest import ManifestError, read_manifest


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            "train/low/a.wav train/high/b.wav test/low/c.wav",
            r"folders train, test .* --data \S*/train, .*--validation \S*/test",
        ),
        ("Training/a.wav Validation/b.wav", r"--data \S*/Training, and in training --validation \S*/Validation"),
        ("train-clean-100/84/a.flac dev-clean/1/b.flac", r"folders train-clean-100, dev-clean are by their names"),
        ("train/low/a.wav train/high/b.wav", r"its folders train are .*; give one part: --data \S*/train; or, if"),
        ("low/a.wav high/b.wav test/low/c.wav test/high/d.wav", r"its folders test are by their names parts"),
        ("fold1/a.wav fold2/b.wav fold10/c.wav", r"its folders fold1, fold10, fold2 are by their names parts"),
        ("my-set/low/a.wav my-set/high/b.wav", r"holds one folder only, my-set, .*; give that one: --data \S*/my-set$"),
    ],
)
def test_layouts_that_are_no_classes(tmp_path, names, message):
    touch(tmp_path, *names.split())
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path)
    assert len(read_manifest(tmp_path, labels=False)) == len(names.split())


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("low/anna/a.wav low/bob/1/b.wav high/anna/c.wav", ("high", "low")),
        ("train/a.wav car/b.wav bus/c.wav", ("bus", "car", "train")),  # the vehicle
        ("train/anna/a.wav car/anna/b.wav", ("car", "train")),
        ("testify/a.wav validate/b.wav devil/c.wav", ("devil", "testify", "validate")),
        ("only/a.wav", ("only",)),
        ("only/anna/a.wav", ("only",)),
    ],
)
def test_layouts_that_are_classes(tmp_path, names, classes):
    touch(tmp_path, *names.split())
    assert read_manifest(tmp_path).classes == classes


def test_known_classes_are_classes_whatever_their_names(tmp_path):
    touch(tmp_path, "train/anna/a.wav", "train/bob/b.wav", "test/c.wav")
    assert read_manifest(tmp_path, classes=["train", "x", "test"]).counts() == {"train": 2, "x": 0, "test": 1}
    with pytest.raises(ManifestError, match="parts of a data set"):
        read_manifest(tmp_path, classes=["low", "high"])


def test_names_in_two_unicode_forms_are_one_class(tmp_path, caplog):
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    touch(tmp_path, f"{forms[0]}/a.wav", f"{forms[1]}/b.wav", "tea/c.wav")
    manifest = read_manifest(tmp_path)
    assert manifest.counts() == {forms[0]: 2, "tea": 1}
    assert sorted(os.path.relpath(clip.path, tmp_path) for clip in manifest.clips) == sorted(
        [f"{forms[0]}/a.wav", f"{forms[1]}/b.wav", "tea/c.wav"]
    )
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "two folders café differ only in the Unicode form of their names: one class"
    ]


def test_a_class_needs_a_name_of_text(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/caf\xe9")
    touch(tmp_path, os.fsdecode(b"caf\xe9/a.wav"), "tea/b.wav")
    with pytest.raises(ManifestError, match=r"the class folder caf\\xe9 has a name that is not UTF-8; rename it"):
        read_class_folders(tmp_path)


def test_system_folders_are_no_classes(tmp_path):
    touch(tmp_path, "low/a.wav", "high/b.wav", "__MACOSX/low/._a.wav", "@eaDir/a.wav/x.mp3", ".cache/c.wav")
    assert read_manifest(tmp_path).classes == ("high", "low")
