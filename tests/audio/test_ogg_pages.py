"""Ogg as it is joined, streamed, muxed and cut: every part read, lost pages named."""

import io
import itertools

import numpy as np
import pytest
import soundfile

from signals import sweep
from ssamba.audio import AudioError, AudioFile, read_audio
from ssamba.audio.native_formats import open_sndfile
from ssamba.audio.ogg_pages import checksum

CODINGS = ["VORBIS", "OPUS"]


def encode(coding, seconds=2.0, rate=48000, seed=0, channels=1):
    file = io.BytesIO()
    noise = 0.02 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    soundfile.write(file, sweep(seconds, rate, seed)[:, None] + noise, rate, format="OGG", subtype=coding)
    return file.getvalue()


def pages(data):
    found, place = [], 0
    while place < len(data):
        segments = data[place + 26]
        size = 27 + segments + sum(data[place + 27 : place + 27 + segments])
        found.append(data[place : place + size])
        place += size
    return found


def altered(page, flags=None, granule=None, serial=None):
    flags = page[5] if flags is None else flags
    granule = page[6:14] if granule is None else granule.to_bytes(8, "little")
    serial = page[14:18] if serial is None else serial.to_bytes(4, "little")
    page = page[:5] + bytes([flags]) + granule + serial + page[18:22] + bytes(4) + page[26:]
    return page[:22] + checksum(page).to_bytes(4, "little") + page[26:]


def granule(page):
    return int.from_bytes(page[6:14], "little")


def skeleton():
    """The first and the last page of a stream that describes others and has no sound."""
    content = b"fishead\0" + bytes(56)
    head = b"OggS\0" + bytes([2]) + bytes(8) + b"skel" + bytes(4) + bytes(4) + b"\1" + bytes([len(content)])
    tail = b"OggS\0" + bytes([4]) + bytes(8) + b"skel" + b"\1\0\0\0" + bytes(4) + b"\1\0"
    return altered(head + content), altered(tail)


def reads(path, rate=48000):
    with AudioFile(path) as file:
        wave = file.read(rate)
        assert len(wave) == file.info.frames
        return wave, file.notes


def test_the_checksum_is_that_of_ogg():
    for page in pages(encode("VORBIS")):
        assert checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little")


@pytest.mark.parametrize("coding", CODINGS)
def test_joined(tmp_path, coding):
    parts = [encode(coding, seconds, seed=seed) for seed, seconds in enumerate((2.0, 0.7, 1.3))]
    waves = []
    for number, part in enumerate(parts):
        (tmp_path / f"{number}.ogg").write_bytes(part)
        waves.append(read_audio(tmp_path / f"{number}.ogg", 48000))
    (tmp_path / "joined.ogg").write_bytes(b"".join(parts))
    joined, notes = reads(tmp_path / "joined.ogg")
    assert notes == []
    np.testing.assert_allclose(joined, np.concatenate(waves), rtol=0, atol=1e-6)
    part = read_audio(tmp_path / "joined.ogg", 48000, start=1.9, seconds=1.0)
    np.testing.assert_allclose(part, joined[91200:139200], rtol=0, atol=2e-6)
    (tmp_path / "twice.ogg").write_bytes(parts[0] * 2)  # of the same serial number
    np.testing.assert_allclose(reads(tmp_path / "twice.ogg")[0], np.tile(waves[0], 2), rtol=0, atol=1e-6)


def test_joined_of_mono_and_stereo_and_of_two_rates(tmp_path):
    (tmp_path / "a.ogg").write_bytes(encode("VORBIS", 1.0) + encode("VORBIS", 1.0, channels=2))
    with AudioFile(tmp_path / "a.ogg") as file:
        assert file.info.channels == 1
        assert len(file.read()) == 32000
    (tmp_path / "b.ogg").write_bytes(encode("VORBIS", 1.0) + encode("VORBIS", 1.0, 44100))
    with pytest.raises(AudioError, match=r"different rates \(48000, 44100 Hz\)"):
        read_audio(tmp_path / "b.ogg")


@pytest.mark.parametrize("coding", CODINGS)
def test_without_its_end_mark(tmp_path, coding):
    data = encode(coding)
    *others, last = pages(data)
    (tmp_path / "whole.ogg").write_bytes(data)
    (tmp_path / "open.ogg").write_bytes(b"".join(others) + altered(last, flags=0))
    wave, notes = reads(tmp_path / "open.ogg")
    np.testing.assert_allclose(wave, read_audio(tmp_path / "whole.ogg", 48000), rtol=0, atol=1e-6)
    assert len(notes) == 1
    assert "not marked as the end of the stream" in notes[0]


@pytest.mark.parametrize("coding", CODINGS)
def test_cut_between_two_pages(tmp_path, coding):
    data = encode(coding, 5.0)
    (tmp_path / "whole.ogg").write_bytes(data)
    (tmp_path / "cut.ogg").write_bytes(b"".join(pages(data)[:-2]))
    whole = read_audio(tmp_path / "whole.ogg", 48000)
    wave, notes = reads(tmp_path / "cut.ogg")
    assert abs(len(wave) - granule(pages(data)[-3])) < 400
    np.testing.assert_allclose(wave[:-2000], whole[: len(wave) - 2000], rtol=0, atol=1e-6)
    assert len(notes) == 1


@pytest.mark.parametrize("coding", CODINGS)
def test_cut_in_a_page(tmp_path, coding):
    data = encode(coding, 5.0)
    (tmp_path / "cut.ogg").write_bytes(data[:-10])
    with pytest.raises(AudioError, match=r"truncated: it ends in the middle of an Ogg page; [34]\.\d* s before it"):
        read_audio(tmp_path / "cut.ogg")
    (tmp_path / "head.ogg").write_bytes(data[:40])
    with pytest.raises(AudioError, match="truncated"):
        read_audio(tmp_path / "head.ogg")


@pytest.mark.parametrize("coding", CODINGS)
def test_lost_and_damaged_pages(tmp_path, coding):
    every = pages(encode(coding, 6.0))
    lost = every[:4] + every[5:]
    (tmp_path / "lost.ogg").write_bytes(b"".join(lost))
    with pytest.raises(AudioError, match=f"pages of its Ogg stream are missing at byte {len(b''.join(lost[:4]))}"):
        read_audio(tmp_path / "lost.ogg")
    page = bytearray(every[4])
    page[300] ^= 1
    (tmp_path / "damaged.ogg").write_bytes(b"".join([*every[:4], page, *every[5:]]))
    with pytest.raises(AudioError, match=r"is truncated or corrupt.*of 6 s could be decoded"):
        read_audio(tmp_path / "damaged.ogg")


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_no_page_is_named(tmp_path, coding):
    data = encode(coding)
    every, whole = pages(data), tmp_path / "whole.ogg"
    whole.write_bytes(data)
    for name, content in {"between": [*every[:3], b"junk" * 50, *every[3:]], "behind": [*every, b"junk" * 50]}.items():
        (tmp_path / f"{name}.ogg").write_bytes(b"".join(content))
        wave, notes = reads(tmp_path / f"{name}.ogg")
        np.testing.assert_allclose(wave, read_audio(whole, 48000), rtol=0, atol=1e-6)
        assert len(notes) == 1
        assert notes[0].startswith("200 bytes of it, the first at byte ")


def test_beside_a_stream_without_sound(tmp_path):
    """Skeleton, and pages of both streams in turn."""
    data = encode("VORBIS")
    (tmp_path / "whole.ogg").write_bytes(data)
    first, *others = pages(data)
    head, tail = skeleton()
    (tmp_path / "muxed.ogg").write_bytes(b"".join([head, first, others[0], tail, *others[1:]]))
    wave, notes = reads(tmp_path / "muxed.ogg")
    np.testing.assert_array_equal(wave, read_audio(tmp_path / "whole.ogg", 48000))
    assert notes == []


def test_joined_while_it_ran(tmp_path):
    """What a radio sends to whoever comes later: the headers, then pages whose granules count from its beginning."""
    every = pages(encode("VORBIS", 6.0))
    start = next(number for number, page in enumerate(every) if granule(page))
    late = every[:start] + every[start + 3 :]
    (tmp_path / "late.ogg").write_bytes(b"".join(late))
    (tmp_path / "whole.ogg").write_bytes(b"".join(every))
    wave, notes = reads(tmp_path / "late.ogg")
    whole = read_audio(tmp_path / "whole.ogg", 48000)
    assert abs(len(wave) - (len(whole) - granule(every[start + 2]))) < 2100
    np.testing.assert_allclose(wave[-48000:], whole[-48000:], rtol=0, atol=1e-6)
    assert notes == []
    part = read_audio(tmp_path / "late.ogg", 48000, start=2.0, seconds=0.5)
    np.testing.assert_allclose(part, wave[96000:120000], rtol=0, atol=2e-6)


def test_two_streams_of_sound_beside_each_other_are_left_to_another_decoder(tmp_path):
    one, two = pages(encode("VORBIS")), [altered(page, serial=7) for page in pages(encode("VORBIS", seed=1))]
    mixed = itertools.chain.from_iterable(zip(one, two, strict=True))
    (tmp_path / "two.ogg").write_bytes(b"".join(mixed))
    with open(tmp_path / "two.ogg", "rb") as raw:
        assert open_sndfile(tmp_path / "two.ogg", raw) is None
