"""What FFmpeg decodes and libsndfile does not: whole, counted, to the sample, or refused with the reason."""

from __future__ import annotations

import builtins
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

import foreign_sound
from foreign_sound import (
    FORMATS,
    Format,
    add_track,
    add_video,
    amr_wb,
    av,
    decoded,
    dsf,
    encode,
    likeness,
    made,
    wav,
    write,
)
from signals import sweep
from ssamba.audio import pyav_source
from ssamba.audio.errors import AudioError
from ssamba.audio.pyav_source import open_pyav

AAC, ALAC = Format("m4a", "mp4", "aac", 16000), Format("m4a", "mp4", "alac", 16000)
EVERYTHING = 1 << 40


@pytest.fixture(autouse=True)
def no_survey_of_another_test(monkeypatch):
    monkeypatch.setattr(pyav_source, "_surveys", {})


@pytest.fixture
def nothing_kept(monkeypatch):
    """As long files are read: nothing is kept from the first pass."""
    monkeypatch.setattr(pyav_source, "_KEPT", 0)


def read(path) -> np.ndarray:
    source = open_pyav(path)
    try:
        samples = source.read(EVERYTHING)
        assert samples.shape == (source.frames, source.channels)
        assert samples.dtype == np.float32
        return samples
    finally:
        source.close()


@pytest.fixture
def file_of(tmp_path):
    """file_of(kind) -> the path of a file of a second and a half."""

    def make(kind: Format):
        path = tmp_path / f"a.{kind.suffix}"
        path.write_bytes(made(kind)[0])
        return path

    return make


@pytest.mark.parametrize("kind", FORMATS, ids=str)
def test_read_whole(file_of, kind):
    path, written = file_of(kind), made(kind)[1][0]
    source = open_pyav(path)
    assert source.frames == sum(frame.samples for frame in decoded(path))
    assert (source.sample_rate, source.channels, source.notes) == (kind.rate, 1, [])
    samples = read(path)
    assert np.abs(samples).max() < 1
    assert likeness(samples[:, 0], written) > kind.likeness
    assert source.frames >= len(written) * 0.97


def test_an_alac_packet_that_is_short_is_not_shortened_again(tmp_path):
    """FFmpeg 8.1 takes the padding of CAF's last packet away, which ALAC has left away already."""
    written = write(tmp_path / "a.caf", Format("caf", "caf", "alac"), sweep(3.0, 16000)[None])
    np.testing.assert_allclose(read(tmp_path / "a.caf"), written.T, rtol=0, atol=1e-6)


def frames_or_reason(path) -> int | str:
    try:
        return open_pyav(path).frames
    except AudioError as error:
        return error.reason


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind.ends], ids=str)
def test_cut_off(file_of, kind):
    path = file_of(kind)
    frames, data = open_pyav(path).frames, path.read_bytes()
    for part in (0.05, 0.4, 0.7, 0.97):
        path.write_bytes(data[: round(part * len(data))])
        found = frames_or_reason(path)
        if part < 0.9 or found != frames:  # else an index or a tag at the end is all that was lost
            assert re.search("cut off|broke off|breaks off|holds no sound", str(found))


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind.ends], ids=str)
def test_junk_behind(file_of, kind):
    path = file_of(kind)
    frames, data = open_pyav(path).frames, path.read_bytes()
    path.write_bytes(data + b"TAG".ljust(128))
    assert open_pyav(path).frames == frames
    path.write_bytes(data + np.random.default_rng(0).bytes(600))
    found = frames_or_reason(path)
    assert found == frames or "damaged" in str(found)  # the noise may begin as another packet


DAMAGED = (
    AAC,
    Format("aac", "adts", "aac"),
    Format("webm", "webm", "libopus", 48000),
    Format("mka", "matroska", "flac"),
    Format("ogg", "ogg", "flac"),
    Format("tta", "tta", "tta", 44100),
    Format("wv", "wv", "wavpack", 44100),
    Format("ac3", "ac3", "ac3", 48000),
)


@pytest.mark.parametrize("kind", DAMAGED, ids=str)
def test_damage_in_the_middle(tmp_path, kind):
    path = tmp_path / f"a.{kind.suffix}"
    write(path, kind, sweep(3.0, kind.rate)[None])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"is damaged or cut off: .*only the first [012]\.\d\d s .*can be decoded"):
        open_pyav(path)


SEEKING = {  # largest difference from what is decoded from the beginning: some decoders fill holes with noise
    Format("m4a", "mp4", "aac", 16000): 1e-4,
    Format("m4a", "mp4", "alac", 16000): 0,
    Format("webm", "webm", "libopus", 48000): 0,
    Format("mka", "matroska", "flac", 16000): 0,
    Format("aac", "adts", "aac", 16000): 1e-4,
    Format("amr", "amr", "libopencore_amrnb", 8000): 1e-2,
    Format("ac3", "ac3", "ac3", 48000): 1e-2,
    Format("wma", "asf", "wmav2", 44100): 1e-6,
    Format("wv", "wv", "wavpack", 16000): 0,
    Format("tta", "tta", "tta", 16000): 0,
    Format("avi", "avi", "libmp3lame", 16000): 1e-6,
    Format("ts", "mpegts", "aac", 16000): 1e-4,
    Format("wav", "wav", "g722", 16000): 0,
    Format("wav", "wav", "adpcm_yamaha", 16000): 0,
    Format("swf", "swf", "libmp3lame", 11025): 0,
}


@pytest.mark.parametrize("kind", SEEKING, ids=str)
def test_parts_equal_the_whole(tmp_path, nothing_kept, kind):
    path, rate = tmp_path / f"a.{kind.suffix}", kind.rate
    write(path, kind, sweep(6.5, rate)[None])
    source = open_pyav(path)
    whole = source.read(EVERYTHING)
    for start in (rate // 2 + 7, 5 * rate + 1, 6 * rate, 4 * rate, 4 * rate, 5 * rate - 1, 0, source.frames - 100):
        source.seek(start)
        part = source.read(rate)
        assert part.shape == whole[start : start + rate].shape
        np.testing.assert_allclose(part, whole[start : start + rate], rtol=0, atol=SEEKING[kind])
    source.seek(5 * rate)
    blocks = [source.read(1000) for _ in range(5)]
    np.testing.assert_allclose(np.concatenate(blocks), whole[5 * rate :][:5000], rtol=0, atol=SEEKING[kind])
    source.seek(source.frames + 5)
    assert source.read(10).shape == (0, 1)
    source.close()


def test_a_seek_does_not_decode_what_is_before(tmp_path, nothing_kept, monkeypatch):
    path = tmp_path / "a.m4a"
    write(path, AAC, sweep(12.0, 16000)[None])
    source, packets = open_pyav(path), []
    decode = pyav_source.Track.decode
    monkeypatch.setattr(pyav_source.Track, "decode", lambda *args: packets.append(args[1].pts) or decode(*args))
    source.seek(10 * 16000)
    source.read(1600)
    assert min(packets) >= 6 * 16000
    assert len(packets) < 5 * 16


def test_short_and_long_files_are_read_alike(tmp_path, monkeypatch):
    path = tmp_path / "a.m4a"
    write(path, AAC)
    kept = read(path)
    monkeypatch.setattr(pyav_source, "_KEPT", 1000)
    np.testing.assert_array_equal(read(path), kept)
    write(path, AAC, sweep(1.0, 16000)[None])
    assert 16000 <= len(read(path)) < 18000  # another file of the same name is surveyed anew


def test_memory_does_not_grow_with_the_length(tmp_path):
    """16 bytes a second stay of a recording whose samples are not kept."""
    path = tmp_path / "a.nut"
    write(path, Format("nut", "nut", "pcm_s16le", 8000), np.tile(sweep(1.0, 8000), 700)[None])
    source = open_pyav(path)
    assert source.frames == 700 * 8000
    assert source._kept is None
    while len(source.read(8000)):
        assert source._block.nbytes < 1 << 20


@pytest.mark.parametrize(
    "coding", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_s64le", "pcm_f32le", "pcm_f64le"]
)
def test_sample_formats(tmp_path, coding):
    samples = np.stack([sweep(0.2, 16000, 0), -sweep(0.2, 16000, 1)])
    samples[:, 0] = -1, 0.5
    write(tmp_path / "a.nut", Format("nut", "nut", coding), samples)
    atol = {"pcm_u8": 1 / 128, "pcm_s16le": 2 / 32768}.get(coding, 1e-6)
    np.testing.assert_allclose(read(tmp_path / "a.nut"), samples.T, rtol=0, atol=atol)


def test_planar_channels(tmp_path):
    samples = np.stack([sweep(1.0, 16000, 0), -sweep(1.0, 16000, 1)])
    write(tmp_path / "a.m4a", ALAC, samples)
    np.testing.assert_allclose(read(tmp_path / "a.m4a"), samples.T, rtol=0, atol=1e-6)


def test_encoder_delay_is_left_away(tmp_path):
    """An edit list, Opus' pre-skip: sample 0 is sample 0 of what was encoded."""
    for kind in (AAC, Format("webm", "webm", "libopus", 48000), Format("mp4", "mp4", "libmp3lame", 44100)):
        written = write(tmp_path / f"a.{kind.suffix}", kind)[0]
        samples = read(tmp_path / f"a.{kind.suffix}")[: len(written), 0]
        assert np.corrcoef(samples, written[: len(samples)])[0, 1] > 0.99


def test_without_an_encoder(tmp_path):
    (tmp_path / "a.awb").write_bytes(amr_wb(50))
    assert read(tmp_path / "a.awb").shape == (50 * 320, 1)
    (tmp_path / "a.wav").write_bytes(wav(0x0083, 8000, 10, np.random.default_rng(0).bytes(1000)))  # G.729
    assert read(tmp_path / "a.wav").shape == (100 * 80, 1)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(8 * 32768) / 2822400)
    (tmp_path / "a.dsf").write_bytes(dsf(tone))
    samples = read(tmp_path / "a.dsf")
    assert open_pyav(tmp_path / "a.dsf").sample_rate == 352800
    assert samples.shape == (32768, 1)
    assert likeness(samples[:, 0], tone[::8]) > 0.99


@pytest.mark.parametrize(
    "muxing", [{"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}]
)
def test_mp4_with_the_index_in_front(tmp_path, muxing):
    path = tmp_path / "a.mp4"
    write(path, AAC, **muxing)
    assert len(read(path)) == sum(frame.samples for frame in decoded(path))
    data = path.read_bytes()
    for part in (0.3, 0.6):
        path.write_bytes(data[: round(part * len(data))])
        with pytest.raises(AudioError, match=r"it lacks \d+ bytes that it states, and only the first [01]\.\d\d s"):
            open_pyav(path)


def test_the_default_track_is_read_and_the_others_named(tmp_path):
    path = tmp_path / "a.mka"
    first, second = sweep(1.0, 16000), sweep(1.0, 16000, 5)
    with av.open(str(path), "w", format="matroska") as file:
        tracks = [add_track(file, "flac", 16000), add_track(file, "flac", 16000, title="commentary")]
        for track, samples in zip(tracks, (first, second), strict=True):
            encode(file, track, samples[None])
    source = open_pyav(path)
    np.testing.assert_allclose(source.read(EVERYTHING)[:, 0], first, atol=1e-4)
    assert source.notes == [
        "has 2 tracks of sound: track 0 (flac, 16000 Hz mono) is read, not track 1 (flac, 16000 Hz mono, commentary)"
    ]


def test_a_track_that_is_marked_as_the_default_comes_first(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w", format="matroska") as file:
        tracks = [add_track(file, "flac", 16000), add_track(file, "flac", 8000)]
        tracks[0].disposition, tracks[1].disposition = 0, av.stream.Disposition.default.value
        for track, rate in zip(tracks, (16000, 8000), strict=True):
            encode(file, track, sweep(1.0, rate)[None])
    source = open_pyav(path)
    assert source.sample_rate == 8000
    assert source.notes[0].startswith("has 2 tracks of sound: track 1 (flac, 8000 Hz mono) is read, not track 0 (flac")


def test_a_coding_without_a_decoder(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(0x1234, 8000, 10, bytes(range(250)) * 8))
    with pytest.raises(AudioError, match=r"is WAV with an unknown coding in it \(format tag 0x1234\), which"):
        open_pyav(tmp_path / "a.wav")


def test_a_cut_header(tmp_path):
    path = tmp_path / "a.caf"
    write(path, Format("caf", "caf", "alac"))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(AudioError, match="begins as CAF and cannot be decoded: damaged or cut off"):
        open_pyav(path)


def test_video_is_left_aside(tmp_path):
    path, samples = tmp_path / "a.mp4", sweep(1.0, 16000)
    with av.open(str(path), "w") as file:
        track = add_track(file, "alac", 16000)
        add_video(file)
        encode(file, track, samples[None])
    np.testing.assert_allclose(read(path)[:, 0], samples, atol=1e-6)
    with av.open(str(path), "w") as file:
        add_video(file)
    with pytest.raises(AudioError, match=r"a\.mp4: has no track of sound, only video$"):
        open_pyav(path)


def test_pictures_are_left_aside(tmp_path):
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as file:
        track = add_track(file, "alac", 16000)
        picture = file.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 16, 16, "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic.value
        file.mux(picture.encode(av.VideoFrame(16, 16, "yuvj420p")))
        encode(file, track, sweep(1.0, 16000)[None])
    assert read(path).shape == (16000, 1)


def test_another_rate_or_layout_on_the_way(tmp_path):
    parts = {rate: tmp_path / f"{rate}.aac" for rate in (16000, 22050)}
    for rate, path in parts.items():
        write(path, Format("aac", "adts", "aac", rate))
    stereo = tmp_path / "stereo.aac"
    write(stereo, Format("aac", "adts", "aac"), np.stack([sweep(1.0, 16000)] * 2))
    for second, found in ((parts[22050], "22050 Hz mono"), (stereo, "16000 Hz stereo")):
        joined = tmp_path / "joined.aac"
        joined.write_bytes(parts[16000].read_bytes() + second.read_bytes())
        with pytest.raises(AudioError, match=rf"changes from 16000 Hz mono to {found} after 1\.\d\d s"):
            open_pyav(joined)


def test_gaps_are_noted(tmp_path):
    path, samples = tmp_path / "a.mka", sweep(3.0, 16000)
    with av.open(str(path), "w", format="matroska") as file:
        track = add_track(file, "pcm_s16le", 16000)
        for start, late in ((0, 0), (16000, 0), (32000, 8000)):  # half a second is missing before the third
            part = (samples[None, start : start + 16000] * 32768).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate = 16000
            for packet in track.encode(frame):
                packet.pts = packet.dts = start + late
                packet.time_base = Fraction(1, 16000)
                file.mux(packet)
    source = open_pyav(path)
    assert source.frames == 48000
    assert source.notes == ["its time stamps leave out 0.50 s, first after 2.00 s: read without a pause"]


@pytest.mark.parametrize(
    "name", ["ünï 日本.m4a", "http:a.m4a", "a%d.m4a", "a.wav", "noname", os.fsdecode(b"caf\xe9.m4a")]
)
def test_names_do_not_matter(tmp_path, name):
    path = tmp_path / name
    write(tmp_path / "plain.m4a", AAC)
    shutil.copy(tmp_path / "plain.m4a", path)
    assert len(read(path)) == len(read(tmp_path / "plain.m4a"))


def test_bytes_that_are_no_sound(tmp_path):
    noise = np.random.default_rng(0).bytes(50000)
    for name, reason in (
        ("a.pcm", "is samples without a header"),
        ("a.m4a", "is no sound that libsndfile or FFmpeg knows"),
        ("a.aac", "holds no sound that FFmpeg's decoder takes"),
        ("a", "is no sound that libsndfile or FFmpeg knows"),
    ):
        (tmp_path / name).write_bytes(noise)
        with pytest.raises(AudioError, match=reason):
            open_pyav(tmp_path / name)
    for name, reason in (("empty.m4a", r"is empty \(0 bytes\)"), ("page.m4a", "is a web page")):
        (tmp_path / name).write_bytes(b"<html></html>" if name == "page.m4a" else b"")
        with pytest.raises(AudioError, match=reason):
            open_pyav(tmp_path / name)


def test_a_playlist_opens_no_other_file(tmp_path):
    """One that is no text by its first bytes: FFmpeg itself must not follow it."""
    write(tmp_path / "a.aac", Format("aac", "adts", "aac"))
    lists = {
        "a.ffconcat": f"ffconcat version 1.0\nfile {tmp_path / 'a.aac'}\n#\0",
        "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n\0",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError):
            open_pyav(tmp_path / name)


def test_threads_and_forks(tmp_path, nothing_kept):
    paths = [tmp_path / f"{number}.m4a" for number in range(4)]
    for number, path in enumerate(paths):
        write(path, AAC, sweep(3.0, 16000, number)[None])
    alone = [read(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        for samples, want in zip(pool.map(read, paths * 2), alone * 2, strict=True):
            np.testing.assert_array_equal(samples, want)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for samples, want in zip(pool.map(read, paths), alone, strict=True):
            np.testing.assert_array_equal(samples, want)


def test_ffmpeg_is_quiet(tmp_path, capfd):
    kind = Format("aac", "adts", "aac")
    write(tmp_path / "a.aac", kind)
    data = (tmp_path / "a.aac").read_bytes()
    (tmp_path / "a.aac").write_bytes(data[:5000] + bytes(600) + data[5600:-7])
    for path in (tmp_path / "a.aac", tmp_path / "a.w64"):
        if path.suffix == ".w64":
            write(path, Format("w64", "w64", "adpcm_ms"))
            path.write_bytes(path.read_bytes() + np.random.default_rng(0).bytes(600))
        frames_or_reason(path)
    assert capfd.readouterr() == ("", "")


def test_without_pyav(tmp_path, monkeypatch):
    write(tmp_path / "a.m4a", AAC)
    write(tmp_path / "a.wav", Format("wav", "wav", "g726", 8000))
    (tmp_path / "a.bin").write_bytes(np.random.default_rng(0).bytes(1000))
    (tmp_path / "b.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    imports = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "av":
            raise ModuleNotFoundError("No module named 'av'", name="av")
        return imports(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    advice = 'pip install "ssamba[formats]", or convert it: ffmpeg -i'
    for name, message in (
        ("a.m4a", f"is MP4, which libsndfile cannot read; PyAV reads it: {advice} a.m4a a.flac"),
        ("a.wav", "is WAV with G.726 ADPCM in it (format tag 0x0045), which libsndfile cannot read; PyAV reads it: "
                  f"{advice} a.wav a.flac"),
        ("a.bin", f"begins as nothing that libsndfile can read; PyAV may: {advice} a.bin a.flac"),
        ("b.wav", "is a Git LFS pointer, not yet the sound: `git lfs pull`"),
    ):  # fmt: skip
        with pytest.raises(AudioError) as error:
            open_pyav(tmp_path / name)
        assert error.value.reason == message


def test_pyav_is_imported_when_it_is_needed():
    program = "import sys, ssamba, ssamba.cli, ssamba.audio.pyav_source; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=os.environ).returncode == 0


def test_every_format_is_in_the_matrix_once():
    assert len({(kind.container, kind.coding) for kind in FORMATS}) == len(foreign_sound.FORMATS)
