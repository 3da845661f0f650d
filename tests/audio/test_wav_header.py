"""WAV whose header is wrong, as recorders, pipes, editors and joiners leave it: read to the end, and said."""

import contextlib
import struct

import numpy as np
import pytest
import soundfile

from mpeg import encode, without_info
from signals import sweep
from ssamba.audio import AudioError, AudioFile, probe, read_audio

RATE = 16000


def chunk(name, content, pad=True):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2 if pad else 0)


def wav(*chunks, riff=None):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def fmt(code=1, channels=1, rate=RATE, bits=16):
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits))


def data(content, stated=None):
    return b"data" + struct.pack("<I", len(content) if stated is None else stated) + content


def samples(seconds=1.0, seed=0):
    return np.round(sweep(seconds, RATE, seed) * 32767).astype("<i2")


def reads(path):
    with AudioFile(path) as file:
        wave = file.read(file.info.sample_rate)
        assert len(wave) == file.info.frames
        return wave, file.notes


SOUND = samples()
WAVE, BYTES = SOUND.astype(np.float32) / 32768, SOUND.tobytes()


@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_size_that_was_never_filled_in(tmp_path, stated):
    (tmp_path / "a.wav").write_bytes(wav(fmt(), data(BYTES, stated), riff=stated))
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, WAVE)
    assert notes == ([] if stated else ["its header states 0 s, the file holds 1 s: read to its end"])
    part = read_audio(tmp_path / "a.wav", start=0.5, seconds=0.25)
    np.testing.assert_array_equal(part, WAVE[8000:12000])


def test_a_size_that_is_too_large(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(fmt(), data(BYTES, 4 * len(BYTES))))
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, WAVE)
    assert notes == ["its header states 4 s, the file holds 1 s: read to its end"]
    (tmp_path / "b.wav").write_bytes(wav(fmt(), data(BYTES, len(BYTES) + 36)))  # its writer counted the header in
    wave, notes = reads(tmp_path / "b.wav")
    np.testing.assert_array_equal(wave, WAVE)
    assert notes == []


def test_a_size_that_is_too_small(tmp_path):
    long = samples(4.0)
    (tmp_path / "a.wav").write_bytes(wav(fmt(), data(long.tobytes(), len(BYTES)), riff=len(BYTES) + 36))
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, long.astype(np.float32) / 32768)
    assert notes == ["its header states 1 s, the file holds 4 s: read to its end"]


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\0",
        bytes(5000),
        chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"Lavf60"),
        chunk(b"id3 ", bytes(99)) + chunk(b"bext", b"x" * 1001),
        b"TAG" + bytes(125),
        b"ID3\3\0\0\0\0\1\0" + b"x" * 128,
    ],
)
def test_what_may_follow_the_sound(tmp_path, behind):
    (tmp_path / "a.wav").write_bytes(wav(fmt(), data(BYTES), behind))
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, WAVE)
    assert notes == []


def test_a_little_of_something_else_behind_the_sound_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(fmt(), data(BYTES), b"\1\2\3 and so on" * 10))
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, WAVE)
    assert notes == ["130 bytes behind its samples are neither samples nor chunks: left out"]


def test_odd_chunks_with_and_without_their_padding(tmp_path):
    for pad in (True, False):
        note = chunk(b"note", b"three", pad)
        (tmp_path / "a.wav").write_bytes(wav(note, fmt(), chunk(b"odd ", b"x" * 7, pad), data(BYTES)))
        wave, notes = reads(tmp_path / "a.wav")
        np.testing.assert_array_equal(wave, WAVE)
        assert notes == []


def test_half_a_sample_at_the_end(tmp_path):
    stereo = np.stack([SOUND, SOUND], axis=1).tobytes()
    (tmp_path / "a.wav").write_bytes(wav(fmt(channels=2), data(stereo[:-3], 0)))
    wave, _ = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, WAVE[:-1])


def test_joined(tmp_path):
    other = samples(0.5, seed=3)
    first = wav(fmt(), chunk(b"LIST", b"x" * 9), data(BYTES))
    (tmp_path / "a.wav").write_bytes(first + wav(fmt(), data(other.tobytes())) + first)
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, np.concatenate([WAVE, other.astype(np.float32) / 32768, WAVE]))
    assert notes == []
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", start=0.75, seconds=1.0), wave[12000:28000])


@pytest.mark.parametrize(
    ("container", "endian"), [("WAV", "FILE"), ("WAV", "BIG"), ("WAVEX", "FILE"), ("RF64", "FILE")]
)
def test_cut_off(tmp_path, container, endian):
    soundfile.write(tmp_path / "a.wav", SOUND, RATE, format=container, endian=endian)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:-20000])
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, WAVE[:-10000])
    assert notes == ["its header states 1 s, the file holds 0.375 s: read to its end"]


def test_more_than_4_gb_are_given_on_as_they_are():
    from ssamba.audio.wav_header import Wav

    size = 3 * (1 << 31)
    head, piece = Wav(False, fmt()[8:], 44, 44 + size, 0, 44 + size, "less", 0).pieces()
    assert piece == (44, size)
    assert head[:4] == b"RF64"
    assert struct.unpack("<QQ", head[28:44]) == (size, size // 2)


@pytest.mark.parametrize("code", [0x55, 0x50])
def test_mp3_in_wav(tmp_path, code):
    sound = without_info(encode(sweep(2.0, 48000), 48000))
    head = struct.pack("<HHIIHHH", code, 1, 48000, 8000, 1, 0, 12) + struct.pack("<HIHHH", 1, 2, 192, 1, 1393)
    (tmp_path / "plain.mp3").write_bytes(sound)
    (tmp_path / "a.wav").write_bytes(wav(chunk(b"fmt ", head), chunk(b"fact", bytes(4)), data(sound)))
    wave, notes = reads(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, read_audio(tmp_path / "plain.mp3", 48000))
    assert notes == []


@pytest.mark.parametrize("rate", [0, 1, 99, 10_000_001, 2**31 - 1])
def test_rates_that_no_sound_has(tmp_path, rate):
    (tmp_path / "a.wav").write_bytes(wav(fmt(rate=rate), data(BYTES)))
    for read in (probe, read_audio):
        with pytest.raises(AudioError, match=f"states a rate of {rate} Hz; sound has 100 to" if rate else None):
            read(tmp_path / "a.wav")


@pytest.mark.parametrize("channels", [0, 2000, 65535])
def test_channels_that_no_sound_has(tmp_path, channels):
    head = chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, RATE, 2 * RATE, 2, 16))
    (tmp_path / "a.wav").write_bytes(wav(head, data(BYTES)))
    with pytest.raises(AudioError):
        read_audio(tmp_path / "a.wav")


def test_any_header_gives_sound_or_an_error(tmp_path):
    """Bytes of the header at random: nothing but AudioError, and never much time or memory."""
    random = np.random.default_rng(0)
    whole = bytearray(wav(chunk(b"LIST", b"x" * 9), fmt(), data(BYTES[:4000])))
    for number in range(300):
        content = whole.copy()
        for place in random.integers(0, 66, random.integers(1, 4)):
            content[place] = random.choice([0, 1, 2, 127, 128, 255, random.integers(256)])
        (tmp_path / f"{number}.wav").write_bytes(content)
        with contextlib.suppress(AudioError):
            assert len(read_audio(tmp_path / f"{number}.wav", 1000)) <= 4000 * 10
