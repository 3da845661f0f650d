"""Mp3 whatever its header states: exact lengths, every part of it, damage named."""

import struct

import numpy as np
import pytest

from mpeg import encode, frames, id3v2, layer_two, without_info
from signals import sweep
from ssamba.audio import AudioError, AudioFile, probe, read_audio


def reads(path, rate):
    with AudioFile(path) as file:
        wave = file.read(rate)
        assert len(wave) == file.info.frames
        return wave, file.notes


@pytest.mark.parametrize("rate", [48000, 44100, 32000, 22050, 16000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_without_its_info_frame(tmp_path, rate, mode):
    """Quiet, then loud: of variable bit rate, the first frames say nothing of the others."""
    wave = sweep(3.0, rate) * np.linspace(0, 1, 3 * rate) ** 4
    data = encode(wave, rate, mode, 0.5)
    whole, count = without_info(data), len(frames(without_info(data)))
    (tmp_path / "a.mp3").write_bytes(whole)
    read, notes = reads(tmp_path / "a.mp3", rate)
    assert len(read) == count * (1152 if rate >= 32000 else 576)
    assert notes == []
    (tmp_path / "info.mp3").write_bytes(data)
    stated, notes = reads(tmp_path / "info.mp3", rate)
    assert len(stated) == len(wave)
    assert notes == []
    np.testing.assert_allclose(read[1105 : 1105 + len(stated)], stated, rtol=0, atol=1e-5)
    assert np.corrcoef(stated, wave)[0, 1] > 0.99


@pytest.mark.parametrize("rate", [44100, 16000])
def test_parts_equal_the_whole(tmp_path, rate):
    wave = sweep(9.0, rate) + 0.1 * np.random.default_rng(0).standard_normal(9 * rate)
    (tmp_path / "a.mp3").write_bytes(without_info(encode(wave, rate)))
    whole = read_audio(tmp_path / "a.mp3", rate)
    for start in (0.5, 2.1234, 4.0, 7.77):
        part = read_audio(tmp_path / "a.mp3", rate, start, 0.7)
        first = round(start * rate)
        np.testing.assert_allclose(part, whole[first : first + len(part)], rtol=0, atol=2e-6)
        assert len(part) == round(0.7 * rate)


def test_tags_are_no_sound(tmp_path):
    data = without_info(encode(sweep(2.0, 48000), 48000))
    plain, count = tmp_path / "plain.mp3", len(frames(data))
    plain.write_bytes(data)
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 232, 2, 5 << 29) + bytes(8) + bytes(200)  # a header, then the rest
    ape += b"APETAGEX" + struct.pack("<IIII", 2000, 232, 2, 0) + bytes(8)
    lyrics = b"LYRICSBEGIN" + b"INF00002\xff\xfb" + b"000020LYRICS200"
    tagged = [
        id3v2(500_000) + data,
        id3v2(2000) + id3v2(200) + data + b"TAG" + b"x" * 125,
        data + ape,
        data + lyrics + b"TAG" + bytes(125),
        bytes(300) + data + bytes(5000),
    ]
    for number, content in enumerate(tagged):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(content)
        wave, notes = reads(path, 48000)
        assert len(wave) == count * 1152, number
        assert notes == [], number
        np.testing.assert_array_equal(wave, read_audio(plain, 48000))


def test_a_tag_between_frames_costs_nothing(tmp_path):
    """Radio puts one before every song and every ten seconds, in the middle of what the frames share."""
    every = frames(without_info(encode(sweep(3.0, 44100), 44100)))
    (tmp_path / "plain.mp3").write_bytes(b"".join(every))
    (tmp_path / "radio.mp3").write_bytes(b"".join(every[:50]) + id3v2(300) + b"".join(every[50:]))
    plain, _ = reads(tmp_path / "plain.mp3", 44100)
    radio, notes = reads(tmp_path / "radio.mp3", 44100)
    np.testing.assert_array_equal(radio, plain)
    assert notes == []


@pytest.mark.parametrize("info", [True, False])
def test_joined(tmp_path, info):
    waves = [sweep(1.5, 44100, seed) for seed in range(3)]
    data = [encode(wave, 44100) for wave in waves]
    data = data if info else [without_info(part) for part in data]
    (tmp_path / "joined.mp3").write_bytes(b"".join(data))
    joined, notes = reads(tmp_path / "joined.mp3", 44100)
    assert notes == []
    lengths = [len(wave) if info else 1152 * len(frames(part)) for wave, part in zip(waves, data, strict=True)]
    assert len(joined) == sum(lengths)
    for number, wave in enumerate(waves):
        first = sum(lengths[:number]) + (0 if info else 1105)
        middle = slice(4000, len(wave) - 4000)
        assert np.abs(joined[first : first + len(wave)] - wave)[middle].max() < 0.05


def test_joined_of_mono_and_stereo(tmp_path):
    mono, stereo = sweep(1.0, 44100, 0), np.stack([sweep(1.0, 44100, 1)] * 2, axis=1)
    for name, parts in {"ms": (mono, stereo), "sm": (stereo, mono)}.items():
        (tmp_path / name).write_bytes(b"".join(encode(part, 44100, level=0.5) for part in parts))
        wave, _ = reads(tmp_path / name, 44100)
        want = np.concatenate([part if part.ndim == 1 else part[:, 0] for part in parts])
        assert len(wave) == 88200
        assert np.abs(wave - want)[5000:-5000].max() < 0.4
        assert np.corrcoef(wave, want)[0, 1] > 0.99


def test_joined_of_two_rates_is_refused(tmp_path):
    (tmp_path / "a.mp3").write_bytes(encode(sweep(1.0, 44100), 44100) + encode(sweep(1.0, 48000), 48000))
    with pytest.raises(AudioError, match=r"parts of different rates \(44100, 48000 Hz\); .* ffmpeg -i a.mp3 a.flac"):
        read_audio(tmp_path / "a.mp3")


@pytest.mark.parametrize("missing", [1, 100, 300])
def test_the_end_of_the_last_frame_is_missing(tmp_path, missing):
    data = without_info(encode(sweep(2.0, 48000), 48000))
    (tmp_path / "a.mp3").write_bytes(data[:-missing])
    with pytest.raises(AudioError, match=r"is truncated: it ends in the middle of an mp3 frame; [12]\.\d* s before it"):
        read_audio(tmp_path / "a.mp3")


def test_frames_that_its_header_states_are_not_there(tmp_path):
    every = frames(encode(sweep(4.0, 44100), 44100))
    (tmp_path / "half.mp3").write_bytes(b"".join(every[: len(every) // 2]))
    wave, notes = reads(tmp_path / "half.mp3", 44100)
    assert len(wave) == (len(every) // 2 - 1) * 1152 - 1105
    assert notes == ["its header states 4.049 s, the file holds 2.011 s: read to its end"]
    (tmp_path / "double.mp3").write_bytes(b"".join([*every, *every[1:]]))
    wave, notes = reads(tmp_path / "double.mp3", 44100)
    assert len(wave) == 2 * (len(every) - 1) * 1152 - 1105
    assert len(notes) == 1


def test_what_is_no_frame_is_named(tmp_path):
    every = frames(without_info(encode(sweep(3.0, 44100), 44100)))
    junk = b"not a frame " * 30
    whole = 1152 * len(every)
    for name, content, size, place in (
        ("before", junk + b"".join(every), 360, 0),
        ("behind", b"".join(every) + junk, 360, len(b"".join(every))),
        ("between", b"".join(every[:40]) + junk + b"".join(every[40:]), 360, len(b"".join(every[:40]))),
        ("joined in a frame", b"".join(every[:40]) + every[40][:200] + b"".join(every), None, None),
        ("radio", every[0][50:] + b"".join(every[1:]), len(every[0]) - 50, 0),
    ):
        (tmp_path / f"{name}.mp3").write_bytes(content)
        wave, notes = reads(tmp_path / f"{name}.mp3", 44100)
        if size is None:
            assert len(wave) >= whole, name
            continue
        assert notes == [f"{size} bytes of it, the first at byte {place}, are no mp3 frames: left out"], name
        assert len(wave) == whole - 1152 * (name == "radio"), name


def test_layer_two(tmp_path):
    (tmp_path / "a.mp2").write_bytes(layer_two(500))
    assert probe(tmp_path / "a.mp2").frames == 500 * 1152
    with pytest.raises(AudioError, match="is silent"):
        read_audio(tmp_path / "a.mp2")


def test_free_format_is_named(tmp_path):
    every = frames(without_info(encode(sweep(2.0, 48000), 48000)))
    free = [frame[:2] + bytes([frame[2] & 0x0F]) + frame[3:] for frame in every]
    (tmp_path / "a.mp3").write_bytes(b"".join(free))
    with pytest.raises(AudioError, match=r"free format.*lame --decode a.mp3 a.wav"):
        read_audio(tmp_path / "a.mp3")


def test_nothing_is_written_to_stderr(tmp_path, capfd):
    """libmpg123 says what it thinks of a file there, without naming it."""
    every = frames(encode(sweep(3.0, 44100), 44100))
    (tmp_path / "a.mp3").write_bytes(b"".join(every) * 2 + b"junk" * 99 + bytes(4000))
    (tmp_path / "b.mp3").write_bytes(b"".join(every[:-20]))
    read_audio(tmp_path / "a.mp3", start=4.0, seconds=0.5)
    read_audio(tmp_path / "a.mp3")
    read_audio(tmp_path / "b.mp3", start=1.0, seconds=0.5)
    assert capfd.readouterr().err == ""
