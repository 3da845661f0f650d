"""A folder copied from a Mac, a phone, a recorder, the web and a cluster: every second of its sound, or the reason."""

import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from signals import sweep

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "audio"))
import mpeg

CAFE = unicodedata.normalize("NFD", "café")


def wav(seconds: float, rate: int = 16000, stated: int | None = None, scale: float = 1.0) -> bytes:
    """PCM of 16 bits, or floats of another `scale`; `stated`: the bytes that its header says it holds."""
    samples = 0.5 * sweep(seconds, rate) * scale
    code, kind = (1, "<i2") if scale == 1.0 else (3, "<f4")
    data = (samples * 32767 if scale == 1.0 else samples).astype(kind).tobytes()
    size, width = len(data) if stated is None else stated, np.dtype(kind).itemsize
    numbers = [(16, 4), (code, 2), (1, 2), (rate, 4), (rate * width, 4), (width, 2), (8 * width, 2)]
    head = b"WAVEfmt " + b"".join(number.to_bytes(length, "little") for number, length in numbers)
    riff, data_size = (min(number, 0xFFFFFFFF).to_bytes(4, "little") for number in (36 + size, size))
    return b"RIFF" + riff + head + b"data" + data_size + data


def encoded(tmp_path: Path, name: str, seconds: float, rate: int = 48000, **options) -> bytes:
    soundfile.write(tmp_path / name, 0.5 * sweep(seconds, rate), rate, **options)
    return (tmp_path / name).read_bytes()


@pytest.fixture
def recordings(tmp_path) -> Path:
    """The folder; SECONDS has how long each file that sounds lasts, REASONS what is said of the others."""
    foreign = pytest.importorskip("foreign_sound", reason="needs PyAV: pip install '.[formats]'")
    made = tmp_path / "made"
    made.mkdir()
    vorbis, mp3 = encoded(made, "a.ogg", 1.0), mpeg.encode(0.5 * sweep(2.0, 44100), 44100)
    opus = [encoded(made, "a.opus", seconds, format="OGG", subtype="OPUS") for seconds in (1.0, 1.5)]
    aac, _ = foreign.made(next(kind for kind in foreign.FORMATS if kind.suffix == "m4a"))
    files = {
        f"mac/{CAFE}/take 1.aiff": encoded(made, "a.aiff", 1.0),
        f"mac/{CAFE}/._take 1.aiff": b"\0\5\x16\7\0\2\0\0Mac OS X",
        "mac/__MACOSX/x.wav": b"\0\5\x16\7",
        "phone/memo.m4a": aac,
        "phone/call.amr": foreign.amr_wb(100),
        "phone/message.opus": b"".join(opus),
        "recorder/CRASHED.WAV": wav(2.0, stated=0),
        "recorder/STREAM.WAV": wav(2.0, stated=0xFFFFFFFF),
        "recorder/CUT.WAV": wav(2.0, stated=10**6),
        "recorder/LOUD.WAV": wav(2.0, scale=32768.0),
        "recorder/NIGHT.MP3": mpeg.without_info(mp3),
        "web/song": mp3,
        "web/covered.mp3": mpeg.id3v2(5000) + mp3,
        "web/joined.ogg": vorbis + vorbis,
        "web/named.wav": vorbis,
        "web/missing.mp3": b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>",
        "web/half.mp3": mp3[: len(mp3) // 2 + 1],
        "web/nothing.flac": b"",
        "web/notes.txt": b"not a sound",
        "cluster/large.flac": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n",
        "cluster/caf\udce9.wav": wav(1.0),
    }
    root = tmp_path / "all"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "cluster" / "annexed.wav").symlink_to(".git/annex/objects/x.wav")
    (root / "cluster" / "back").symlink_to("..")
    return root


SECONDS = {
    f"mac/{CAFE}/take 1.aiff": 1.0,
    "phone/memo.m4a": 1.5,
    "phone/call.amr": 2.0,
    "phone/message.opus": 2.5,
    "recorder/CRASHED.WAV": 2.0,
    "recorder/STREAM.WAV": 2.0,
    "recorder/CUT.WAV": 2.0,
    "recorder/LOUD.WAV": 2.0,
    "recorder/NIGHT.MP3": 2.0,
    "web/song": 2.0,
    "web/covered.mp3": 2.0,
    "web/joined.ogg": 2.0,
    "web/named.wav": 1.0,
    "cluster/caf\udce9.wav": 1.0,
}
REASONS = {
    "web/missing.mp3": "404 Not Found",
    "web/half.mp3": "truncated",
    "web/nothing.flac": "empty",
    "cluster/large.flac": "git lfs pull",
    "cluster/annexed.wav": "git annex get annexed.wav",
}
NOTES = {
    "recorder/CRASHED.WAV": "read to its end",
    "recorder/CUT.WAV": "read to its end",
    "recorder/LOUD.WAV": "divide them by 32768",
}


def test_embed_has_every_second_or_the_reason(ssamba, pretrained, recordings, tmp_path, caplog):
    out = tmp_path / "features.npz"
    code, _, said = ssamba(
        "embed", "--checkpoint", pretrained, "--out", out, "--level", "frame", recordings, "--device", "cpu"
    )
    assert code == 1
    with np.load(out) as found:
        files = [os.path.relpath(file, recordings) for file in found["files"].tolist()]
        seconds = dict(zip(files, np.diff(found["offsets"]) * 0.16, strict=True))  # a column of 16 frames
    assert set(seconds) == set(SECONDS)
    assert seconds == pytest.approx(SECONDS, abs=0.25)
    lines = said.splitlines()
    for name, reason in REASONS.items():
        (line,) = [line for line in lines if name in line]
        assert reason in line
    assert f"{len(REASONS)} files were skipped" in said
    for name, note in NOTES.items():
        (message,) = [message for message in caplog.messages if name in message]
        assert note in message
    assert len(caplog.messages) == len(NOTES)


def test_stats_and_pretrain_count_the_same_files(ssamba, recordings, tmp_path):
    code, printed, said = ssamba("stats", "--data", recordings)
    assert code == 1
    assert f"clips   {len(SECONDS)}" in printed
    assert f"{len(REASONS)} files were skipped" in said
