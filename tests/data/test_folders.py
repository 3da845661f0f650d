"""Which files a folder holds: by name or first bytes, through links, with the oddest names; nothing vanishes."""

import os

import pytest

from ssamba.data.folders import audio_below, full_names, other_files_below, real_files


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """tree(name, ...) writes empty files below a new folder; the working directory is there."""
    monkeypatch.chdir(tmp_path)

    def write(*names, content=b""):
        for name in names:
            path = os.fsencode(name)
            if os.path.dirname(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)

    return write


def test_odd_names_are_kept_and_sorted_folder_by_folder(tree):
    latin1 = os.fsdecode(b"caf\xe9.wav")
    names = [
        "-rf.wav",
        "UP.WAV",
        "a/z.wav",
        "a b.wav",
        "a-b/c.wav",
        latin1,
        "new\nline.wav",
        "n" * 250 + ".au",
        "日本.Mp3",
    ]
    tree(*reversed(names))
    assert audio_below(".") == names


def test_hidden_names_and_folders_of_systems_are_passed_over(tree):
    tree("a.wav", "._a.wav", ".hidden/b.wav", "__MACOSX/c.wav", "in/@eaDir/d.wav", "in/.DS_Store", "lost+found/e.wav")
    assert audio_below("") == audio_below(".") == ["a.wav"]


def test_other_endings_and_none_are_told_by_their_first_bytes(tree):
    sounds = {
        "download": b"RIFF\x10\0\0\0WAVEfmt ",
        "b.mp3.part": b"ID3\x03",
        "c.1": b"fLaC\0\0\0\x22",
        "d": b"\0\0\0\x20ftypM4A ",
        "e.bak": b"\xff\xfb\x90\x00",
        "f": b"OggS\0\x02",
        "segment3.ts": b"G\x40\x00\x10\0",
    }
    others = {
        "g": b"RIFF\x10\0\0\0WEBP",
        "h": b"\0\0\0\x18ftypheic",
        "i": b"\xff\xfea\0b\0",  # UTF-16
        "j.dat": b"\xff\xd8\xff\xe0",  # JPEG
        "k": b"",
        "m.txt": b"OggS\0\x02",  # texts are not opened
        "n": b"MAC addresses",
        "o.ts": b"Greeting: string",
    }
    for name, content in {**sounds, **others}.items():
        tree(name, content=content)
    assert audio_below(".") == sorted(sounds)
    assert other_files_below(".") == "8 other files: 5 without ending, 1 .dat, 1 .ts, 1 .txt"


def test_what_stands_in_the_place_of_a_recording_is_named(tree):
    tree("a.wav", "a.wav.gz", "b.mp3.dvc", ".c.m4a.icloud", "d.flac.gz", "notes.txt.gz", "clips.dvc", ".e.txt.icloud")
    assert audio_below(".") == [".c.m4a.icloud", "a.wav", "b.mp3.dvc", "d.flac.gz"]


def test_pipes_are_not_opened(tree, tmp_path):
    tree("a.wav")
    os.mkfifo(tmp_path / "pipe")
    assert audio_below(".") == ["a.wav"]


def test_links_are_followed_and_dangling_ones_listed(tree, tmp_path):
    tree("elsewhere/a.wav", "set/yes/b.wav")
    os.symlink(tmp_path / "elsewhere", "set/no")
    os.symlink("../../../objects/x", "set/yes/annex.wav")
    os.symlink("itself.wav", "set/yes/itself.wav")
    os.symlink("b.wav", "set/yes/second name.wav")
    assert audio_below("set") == [
        "set/no/a.wav",
        "set/yes/annex.wav",
        "set/yes/b.wav",
        "set/yes/itself.wav",
        "set/yes/second name.wav",
    ]


def test_loops_end_and_a_folder_within_keeps_its_own_name(tree, tmp_path):
    tree("outside.wav", "set/z/b.wav", "set/y/c.wav")
    os.symlink("..", "set/z/up")
    os.symlink("../..", "set/z/out")  # holds set itself
    os.symlink("z", "set/a")
    os.symlink(tmp_path / "set" / "y", "set/z/y")
    assert audio_below("set") == ["set/y/c.wav", "set/z/b.wav"]


def test_a_folder_that_may_not_be_entered_is_in_the_list(tree, monkeypatch):
    tree("set/a.wav", "set/locked/b.wav", "set/z/c.wav")
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert audio_below("set") == ["set/a.wav", "set/locked", "set/z/c.wav"]
    with pytest.raises(PermissionError, match="set/locked"):
        audio_below("set/locked")


def test_names_of_one_file(tree, tmp_path):
    tree("clips/a.wav")
    os.symlink("clips", "same")
    os.symlink("a.wav", "clips/link.wav")
    spellings = ["clips/a.wav", "./clips/a.wav", "clips/../clips/a.wav", "same/a.wav", str(tmp_path / "clips/a.wav")]
    assert set(full_names(spellings)) == {str(tmp_path / "clips" / "a.wav")}
    assert full_names(["same/link.wav"]) == [str(tmp_path / "clips" / "link.wav")]
    assert set(real_files([*spellings, "same/link.wav"])) == {str(tmp_path / "clips" / "a.wav")}
