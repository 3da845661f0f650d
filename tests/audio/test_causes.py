"""What a file is that nobody can decode, told by its bytes."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from signals import sweep
from ssamba.audio.causes import cause, encrypted, not_sound


def box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"RIFF")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.wav"))
    return file.getvalue()


def saved(save, value) -> bytes:
    file = io.BytesIO()
    save(file, value)
    return file.getvalue()


def ogg_page(packet: bytes) -> bytes:
    return b"OggS\x00\x02" + bytes(20) + b"\x01" + bytes([len(packet)]) + packet


ANNEX = "/annex/objects/SHA256E-s320044--0ab1.wav\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7\nsize 9\n"
DENIED = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>\n404 Not\nFound</title>"
CUT_HEADER = b"RIFF\0\1\0\0WAVEfmt \x10\0\0\0\1\0"
ASF, ASF_LOCK = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")

NOT_SOUND = {  # how the sentence begins, and the bytes
    "is a Git LFS pointer, not yet the sound: `git lfs pull`": LFS,
    "is a git-annex pointer: `git annex get a.wav`, or `datalad get a.wav`": ANNEX.encode(),
    "is a DVC pointer, not yet the sound: `dvc pull`": b"outs:\n- md5: 8a3\n  size: 12\n  path: a.wav\n",
    "stands for a file that is still in iCloud": b"bplist00\xd3\x01\x02\x03_\x10\x18NSURLFileResourceTypeKey",
    "is a Windows shortcut": b"L\0\0\0\x01\x14\x02\0" + bytes(100),
    "is a shortcut to an address": b"[InternetShortcut]\r\nURL=http://a\r\n",
    "is an alias of macOS": b"book\0\0\0\0mark\0\0\0\0" + bytes(40),
    "is a playlist: give the files that it names": b"#EXTM3U\n#EXTINF:3,a\na.mp3\n",
    "is a playlist: give": b"[playlist]\nFile1=a.mp3\n",
    "is a playlist: ": b"<?xml version='1.0'?>\n<playlist version='1'/>",
    "is a cue sheet: give the files that it names": b'PERFORMER "A"\r\nFILE "a.wav" WAVE\r\n  TRACK 01 AUDIO\r\n',
    "is an AppleDouble file, macOS's notes on the file without `._`, no sound": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "is an AppleSingle file": b"\0\5\x16\0\0\2\0\0" + bytes(20),
    "is a .DS_Store": b"\0\0\0\x01Bud1\0\0",
    "is a property list of macOS": b"bplist00\xd1\x01\x02\x51a",
    "is a peaks file of REAPER": b"RPKN\x02\x08\0\0",
    "is a peaks file of Sound Forge": b"SFPK\0\0",
    "is a server's error, “AccessDenied”: download it again": DENIED,
    "is a web page, “404 Not Found”, not the sound: download it again": PAGE,
    "is a web page, not the sound": b"<HTML><body>Sign in</body></html>",
    "is XML, not sound": b"<?xml version='1.0'?><feed/>",
    'is JSON, “{"error": "rate limit"}”, not sound': b'{"error": "rate limit"}',
    "is JSON, “[1, 2]”": b"[1, 2]",
    "is a file of torch.save": saved(lambda file, value: torch.save(value, file), torch.zeros(3)),
    "is an npz archive of NumPy": saved(lambda file, value: np.savez(file, value), np.zeros(3)),
    "is a zip archive: unpack it": zipped("a.wav"),
    "is compressed by gzip": b"\x1f\x8b\x08\0" + bytes(20),
    "is compressed by bzip2": b"BZh91AY&SY" + bytes(20),
    "is compressed by xz": b"\xfd7zXZ\0\0",
    "is compressed by zstd": b"\x28\xb5\x2f\xfd\x04",
    "is a 7-Zip archive": b"7z\xbc\xaf\x27\x1c\0\4",
    "is a RAR archive": b"Rar!\x1a\x07\x01\0",
    "is a tar archive": tarred(),
    "is a PDF": b"%PDF-1.7\n%\xe2\xe3",
    "is an Office document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(30),
    "is a picture": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "is a picture, not": b"\x89PNG\r\n\x1a\n",
    "is a picture, no": b"\0\0\0\x18ftypheic\0\0\0\0",
    "is a NumPy array": saved(np.save, np.zeros(3)),
    "is MATLAB data": b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(128),
    "is HDF5 data": b"\x89HDF\r\n\x1a\n",
    "is a Parquet table": b"PAR1\x15\0",
    "is an Arrow table": b"ARROW1\0\0\xff\xff",
    "is an SQLite data base": b"SQLite format 3\0" + bytes(80),
    "is a Python pickle": pickle.dumps({"a": 1}),
    "is safetensors": (64).to_bytes(8, "little") + b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    "is a program": b"\x7fELF\x02\x01\x01" + bytes(60),
    "is MIDI, notes and no sound: render it": b"MThd\0\0\0\6\0\1\0\2\0\x60",
    "is a SoundFont": b"RIFF\x10\0\0\0sfbkLIST",
    "is a tracker module": b"Extended Module: a".ljust(80),
    "is an Audible book: it is encrypted": b"\0\0\0\x20ftypaax \0\0\0\1",
    "is text, not sound: “Quota exceeded for this address.”": b"Quota exceeded\nfor this address.\n",
    "is text, not sound: “a,b”": "a,b".encode("utf-16"),
    "is empty (0 bytes): copy or download it again": b"",
    "is zeros from end to end: a copy or download that failed": bytes(200_000),
}


@pytest.mark.parametrize("sentence", NOT_SOUND)
def test_by_bytes(tmp_path, sentence):
    (tmp_path / "a.wav").write_bytes(NOT_SOUND[sentence])
    assert not_sound(tmp_path / "a.wav").startswith(sentence)
    assert cause(tmp_path / "a.wav").startswith(sentence)


def m4p() -> bytes:
    """An MP4 with nothing but the track of a file bought from iTunes."""
    inner = box(b"stsd", bytes(8) + box(b"drms", bytes(30)))
    for name in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        inner = box(name, inner)
    return box(b"ftyp", b"M4P ") + inner


BROKEN_OFF = box(b"ftyp", b"M4A \0\0\2\0") + (1000).to_bytes(4, "big") + b"mdat" + bytes(92)
UNREADABLE = {
    "is MP4 without its whole index (moov), which is written last: the recording or copy broke off; "
    "it lacks at least 900 bytes": ("a.m4a", BROKEN_OFF),
    "is bought sound with DRM: it is encrypted": ("a.m4p", m4p()),
    "is Windows Media with DRM: it is encrypted": ("a.wma", ASF + bytes(80) + ASF_LOCK),
    "is WAV that breaks off before its samples: copy it again": ("b.wav", CUT_HEADER),
    "is Ogg with video alone, no sound": ("a.ogg", ogg_page(b"\x80theora" + bytes(35))),
    "is what an editor notes of sound beside it": ("a.wav.asd", b"\xab\x1e\x56\x78" * 9),
    "is a download that has not ended: download it again": ("a.mp3.part", b"\xab\x1e\x56\x78" * 9),
    "is samples without a header, which do not say their rate and coding; if they are 16 bits at 16 kHz: "
    "ffmpeg -f s16le -ar 16000 -ac 1 -i a.raw a.wav": ("a.raw", b"\xab\x1e\x56\x78" * 9),
}


@pytest.mark.parametrize("sentence", UNREADABLE)
def test_by_what_is_in_it(tmp_path, sentence):
    name, data = UNREADABLE[sentence]
    (tmp_path / name).write_bytes(data)
    assert not_sound(tmp_path / name) is None
    assert cause(tmp_path / name).startswith(sentence)
    assert (encrypted(tmp_path / name) is not None) == ("DRM" in sentence)


def test_nothing_known(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"\xab\x1e\x56\x78" * 99)
    assert cause(tmp_path / "a.wav") is None


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "w64", "caf", "au", "rf64", "voc"])
def test_sound_is_not_taken_for_anything_else(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sweep(0.1, 16000), 16000)
    assert not_sound(path) is None
    assert encrypted(path) is None


def test_sound_that_looks_like_something_else(tmp_path):
    """NIST's header is text, silence is zeros, and eight-bit samples may be letters."""
    soundfile.write(tmp_path / "a.nist", sweep(0.1, 16000), 16000, format="NIST")
    soundfile.write(tmp_path / "b.wav", np.zeros(200_000), 16000)
    soundfile.write(tmp_path / "c.wav", np.full(2000, -0.5), 16000, subtype="PCM_U8")
    (tmp_path / "d").write_bytes(bytes(70_000) + b"\1")
    assert [not_sound(tmp_path / name) for name in ("a.nist", "b.wav", "c.wav", "d")] == [None] * 4


def test_links(tmp_path):
    os.symlink("../.git/annex/objects/Gx/4k/SHA256E-s3--0.wav/SHA256E-s3--0.wav", tmp_path / "a.wav")
    os.symlink("/nowhere/b.wav", tmp_path / "b.wav")
    annexed = "does not exist: its git-annex link leads nowhere here: `git annex get a.wav`, or `datalad get a.wav`"
    assert cause(tmp_path / "a.wav") == annexed
    assert cause(tmp_path / "b.wav") == "does not exist: it is a link to /nowhere/b.wav"
    assert cause(tmp_path / "c.wav") == "does not exist"


def test_names_in_commands_are_quoted(tmp_path):
    (tmp_path / "my file.wav").write_text(ANNEX)
    (tmp_path / "it's.raw").write_bytes(b"\xab\x1e\x56\x78" * 9)
    assert "`git annex get 'my file.wav'`" in cause(tmp_path / "my file.wav")
    assert cause(tmp_path / "it's.raw").endswith("""-i 'it'"'"'s.raw' 'it'"'"'s.wav'""")


def test_quotations_are_short(tmp_path):
    (tmp_path / "a.wav").write_text(json.dumps({"message": "x" * 5000}))
    (tmp_path / "b.wav").write_text("word " * 30000 + "end")
    assert all(len(cause(tmp_path / name)) < 160 for name in ("a.wav", "b.wav"))
