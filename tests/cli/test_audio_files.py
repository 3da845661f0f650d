"""Files and folders named on the command line: each file once, in the order given, and none lost."""

import os

import pytest

from ssamba.cli.audio_files import audio_files
from ssamba.data.folders import audio_below


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("clips/b.wav", "clips/deep/a.FLAC", "clips/notes.txt", "notes/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    os.symlink("b.wav", "clips/link.wav")
    os.symlink("gone.wav", "clips/dangling.wav")
    return tmp_path


def test_a_folder_gives_what_training_takes_from_it(folder):
    assert audio_files(("clips",)) == audio_below("clips")
    assert audio_files(("clips/",)) == ["clips/b.wav", "clips/dangling.wav", "clips/deep/a.FLAC", "clips/link.wav"]


def test_a_file_comes_once_and_a_link_is_a_file_of_its_own(folder):
    given = ("./clips/deep/a.FLAC", "clips", str(folder / "clips/b.wav"), "clips/../clips/link.wav", "clips/notes.txt")
    assert audio_files(given) == [
        "./clips/deep/a.FLAC",
        "clips/b.wav",
        "clips/dangling.wav",
        "clips/link.wav",
        "clips/notes.txt",
    ]


def test_what_cannot_be_read_stops_no_other_file(folder, monkeypatch):
    assert audio_files(("gone.wav", "clips/b.wav")) == ["gone.wav", "clips/b.wav"]
    assert audio_files(("clips/dangling.wav",)) == ["clips/dangling.wav"]
    with pytest.raises(ValueError, match=r"^gone\.wav does not exist"):
        audio_files(("gone.wav", "too.wav"))
    with pytest.raises(ValueError, match=r"^notes holds no audio files \(1 other file: 1 \.txt\)"):
        audio_files(("clips/b.wav", "notes"))
    monkeypatch.setattr("ssamba.cli.audio_files.audio_below", lambda path: os.listdir("clips/b.wav"))
    assert audio_files(("clips", "clips/b.wav")) == ["clips", "clips/b.wav"]
