"""AIFF, CAF and AU whose headers state too little, too much or nothing: every sample, or a note."""

import io

import numpy as np
import pytest
import soundfile

from signals import sweep
from ssamba.audio import AudioFile

RATE, SAMPLES = 16000, 64000
TO_ITS_END, LEFT_OUT = "read to its end", "are neither samples nor chunks: left out"


def written(container: str) -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, 0.5 * sweep(SAMPLES / RATE, RATE), RATE, format=container, subtype="PCM_16")
    return bytearray(file.getvalue())


def aiff(samples: int) -> bytearray:
    data = written("AIFF")
    common, sound = data.index(b"COMM"), data.index(b"SSND")
    data[common + 10 : common + 14] = samples.to_bytes(4, "big")
    data[sound + 4 : sound + 8] = (8 + 2 * samples).to_bytes(4, "big")
    return data


def caf(samples: int) -> bytearray:
    data = written("CAF")
    place = data.index(b"data") + 4
    data[place : place + 8] = (4 + 2 * samples if samples >= 0 else -1).to_bytes(8, "big", signed=True)
    return data


def au(samples: int) -> bytearray:
    data = written("AU")
    data[8:12] = (2 * samples).to_bytes(4, "big")
    return data


@pytest.mark.parametrize("made", [aiff, caf, au])
@pytest.mark.parametrize(
    ("stated", "read", "note"),
    [
        (SAMPLES, SAMPLES, None),
        (0, SAMPLES, f"its header states 0 s, the file holds 4 s: {TO_ITS_END}"),
        (4000, SAMPLES, f"its header states 0.25 s, the file holds 4 s: {TO_ITS_END}"),
        (500_000, SAMPLES, f"its header states 31.25 s, the file holds 4 s: {TO_ITS_END}"),
        (50_000, 50_000, f"28000 bytes behind its samples {LEFT_OUT}"),
    ],
)
def test_other_lengths(tmp_path, made, stated, read, note):
    (tmp_path / "a").write_bytes(made(stated))
    with AudioFile(tmp_path / "a") as file:
        wave = file.read(RATE)
        assert file.notes == ([note] if note else [])
        assert len(wave) == file.info.frames == read
    assert np.abs(wave - 0.5 * sweep(SAMPLES / RATE, RATE)[:read]).max() < 4e-5


def test_a_caf_may_leave_its_length_open(tmp_path):
    (tmp_path / "a.caf").write_bytes(caf(-1))
    with AudioFile(tmp_path / "a.caf") as file:
        assert len(file.read(RATE)) == SAMPLES
        assert file.notes == []


@pytest.mark.parametrize("container", ["AIFF", "CAF"])
def test_chunks_behind_the_samples_are_not_sound(tmp_path, container):
    length = (100_000).to_bytes(4 if container == "AIFF" else 8, "big")
    (tmp_path / "a").write_bytes(written(container) + b"APPL" + length + bytes(range(250)) * 400)
    with AudioFile(tmp_path / "a") as file:
        assert (len(file.read(RATE)), file.notes) == (SAMPLES, [])
