"""read_audio and probe on real files: formats, rates, parts, and everything that can be wrong with a file."""

import os
import pickle

import numpy as np
import pytest
import soundfile

from signals import sweep
from ssamba.audio import reading
from ssamba.audio.reading import AudioError, AudioFile, AudioInfo, probe, read_audio

FORMATS = {  # file name: (rate, options of soundfile.write, largest error that its coding may make)
    "a.wav": (16000, {"subtype": "PCM_16"}, 4e-5),
    "float.wav": (16000, {"subtype": "FLOAT"}, 1e-7),
    "eight.wav": (8000, {"subtype": "PCM_16"}, 1e-2),
    "deep.flac": (48000, {"subtype": "PCM_24"}, 1e-2),
    "b.flac": (16000, {"subtype": "PCM_16"}, 4e-5),
    "c.ogg": (16000, {}, 0.1),
    "d.mp3": (44100, {}, 0.1),
    "e.opus": (16000, {"format": "OGG", "subtype": "OPUS"}, 0.2),
    "f.aiff": (16000, {}, 4e-5),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, name):
    rate, options, tolerance = FORMATS[name]
    path = tmp_path / name
    soundfile.write(path, sweep(3.0, rate), rate, **options)
    wave = read_audio(path)
    assert wave.dtype == np.float32
    assert wave.shape == (48000,)
    want = sweep(3.0, 16000)
    assert np.abs(wave - want)[800:-800].max() < tolerance  # away from the resampler's edges
    assert np.corrcoef(wave, want)[0, 1] > 0.998
    assert probe(path).duration == pytest.approx(3.0, abs=1e-9)


def test_channels_are_averaged(tmp_path):
    left, right = sweep(1.0, 44100, 0), sweep(1.0, 44100, 3)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", (left + right) / 2, 44100, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "stereo.wav"), read_audio(tmp_path / "mono.wav"), atol=1e-6)
    assert probe(tmp_path / "stereo.wav") == AudioInfo(44100, 44100, 2, "WAV")


@pytest.mark.parametrize("name", ["a.wav", "eight.wav", "deep.flac", "c.ogg", "d.mp3", "e.opus"])
def test_a_part_equals_that_part_of_the_whole(tmp_path, name):
    rate, options, _ = FORMATS[name]
    path = tmp_path / name
    soundfile.write(path, sweep(3.0, rate), rate, **options)
    whole = read_audio(path)
    for start, seconds in ((0.0, 1.0), (0.0, 9.0), (0.777, 0.25), (1.2345, 1.0), (2.5, None), (2.9, 1.0), (0.01, 0.02)):
        first = round(start * 16000)
        want = whole[first:] if seconds is None else whole[first : first + round(seconds * 16000)]
        part = read_audio(path, start=start, seconds=seconds)
        assert part.shape == want.shape
        np.testing.assert_allclose(part, want, rtol=0, atol=2e-6)


@pytest.mark.parametrize("rate", [200, 1000, 384_000])
def test_a_part_of_sound_of_an_unusual_rate(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, 6 * rate), rate, subtype="FLOAT")
    whole = read_audio(tmp_path / "a.wav")
    part = read_audio(tmp_path / "a.wav", start=2.5, seconds=0.5)
    np.testing.assert_allclose(part, whole[40000:48000], rtol=0, atol=5e-6)


def test_a_part_of_a_long_file_does_not_read_the_rest(tmp_path):
    """What follows is damaged: whoever reads it fails."""
    path = tmp_path / "long.flac"
    soundfile.write(path, sweep(20.0, 44100) + 0.01 * np.random.default_rng(0).standard_normal(20 * 44100), 44100)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = b""
    path.write_bytes(data)
    assert len(read_audio(path, start=1.0, seconds=2.0)) == 32000
    with pytest.raises(AudioError, match="truncated or corrupt"):
        read_audio(path)


def test_other_rates_of_the_result(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(1.0, 16000), 16000)
    for rate in (8000, 22050, 48000):
        wave = read_audio(tmp_path / "a.wav", rate)
        assert len(wave) == rate
        assert np.abs(wave - sweep(1.0, rate))[rate // 20 : -rate // 20].max() < 0.01


def test_a_streamed_wav(tmp_path):
    """What ffmpeg writes to a pipe: the sizes in the header are placeholders."""
    soundfile.write(tmp_path / "a.wav", sweep(1.0, 16000), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(data)
    assert np.abs(read_audio(tmp_path / "a.wav") - sweep(1.0, 16000)).max() < 4e-5


@pytest.mark.parametrize("seconds", [1.0, 7.3])
def test_a_flac_of_unstated_length(tmp_path, seconds):
    """What ffmpeg writes to a pipe."""
    soundfile.write(tmp_path / "b.flac", sweep(seconds, 16000), 16000)
    whole = read_audio(tmp_path / "b.flac")
    data = bytearray((tmp_path / "b.flac").read_bytes())
    data[21] &= 0xF0  # the 36 bits of the STREAMINFO block that count the samples
    data[22:26] = bytes(4)
    (tmp_path / "b.flac").write_bytes(data)
    assert probe(tmp_path / "b.flac").frames == round(seconds * 16000)
    np.testing.assert_array_equal(read_audio(tmp_path / "b.flac"), whole)
    np.testing.assert_array_equal(read_audio(tmp_path / "b.flac", start=0.5, seconds=0.25), whole[8000:12000])
    cut(tmp_path / "b.flac", 0.7)
    for read in (read_audio, probe):
        with pytest.raises(AudioError, match="is truncated or corrupt"):
            read(tmp_path / "b.flac")


def test_a_silent_part_of_a_file_with_sound_is_fine(tmp_path):
    wave = sweep(2.0, 16000)
    wave[:16000] = 0
    soundfile.write(tmp_path / "pause.wav", wave, 16000)
    assert (read_audio(tmp_path / "pause.wav", seconds=0.5) == 0).all()


def cut(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * keep)])


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", ["b.flac", "c.ogg", "d.mp3", "e.opus"])
def test_truncated_files(tmp_path, name, keep):
    rate, options, _ = FORMATS[name]
    path = tmp_path / name
    soundfile.write(path, sweep(3.0, rate) + 0.01 * np.random.default_rng(0).standard_normal(3 * rate), rate, **options)
    cut(path, keep)
    with pytest.raises(AudioError, match="truncated") as caught:
        read_audio(path)
    assert caught.value.path == str(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"


@pytest.mark.parametrize("name", ["a.wav", "f.aiff"])
def test_truncated_files_of_plain_samples_are_read_to_their_end(tmp_path, name, caplog):
    soundfile.write(tmp_path / name, sweep(3.0, 16000), 16000)
    whole, size = read_audio(tmp_path / name), (tmp_path / name).stat().st_size
    cut(tmp_path / name, 0.5)
    for _ in range(2):
        part = read_audio(tmp_path / name)
        np.testing.assert_array_equal(part, whole[: len(part)])
    assert abs(len(part) - (len(whole) - size // 4)) < 30
    assert probe(tmp_path / name).frames == len(part)
    assert len(caplog.messages) == 1  # not at every reading
    assert f"{name}: its header states 3 s, the file holds 1.4" in caplog.text


@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
@pytest.mark.parametrize(("stated", "notes"), [(0, 1), (1000, 1), (0xFFFFFFFF, 0), (96000, 0)])
def test_au_that_states_too_little(tmp_path, stated, notes, endian):
    soundfile.write(tmp_path / "a.au", sweep(3.0, 16000), 16000, subtype="PCM_16", endian=endian)
    whole, data = read_audio(tmp_path / "a.au"), bytearray((tmp_path / "a.au").read_bytes())
    data[8:12] = stated.to_bytes(4, endian.lower())
    (tmp_path / "a.au").write_bytes(data)
    with AudioFile(tmp_path / "a.au") as file:
        np.testing.assert_array_equal(file.read(), whole)
        assert len(file.notes) == notes
        assert not notes or f"its header states {stated / 32000:.4g} s, the file holds 3 s" in file.notes[0]


@pytest.mark.parametrize("name", ["b.flac", "c.ogg", "e.opus"])
def test_damage_in_the_middle(tmp_path, name):
    rate, options, _ = FORMATS[name]
    path = tmp_path / name
    soundfile.write(path, sweep(3.0, rate) + 0.01 * np.random.default_rng(0).standard_normal(3 * rate), rate, **options)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = np.random.default_rng(1).bytes(400)
    path.write_bytes(data)
    with pytest.raises(AudioError, match="corrupt"):
        read_audio(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.wav", b"", "is empty (0 bytes)"),
        ("text.wav", b"not audio at all\n" * 50, ""),
        ("text.mp3", b"not audio at all\n" * 50, ""),
        ("text.au", b"not audio at all\n" * 50, ""),  # these are the names that libsndfile takes for raw samples
        ("text.snd", b"not audio at all\n" * 50, ""),
        ("text.vox", b"not audio at all\n" * 50, ""),
        ("text.gsm", b"not audio at all\n" * 50, ""),
        ("head.wav", b"RIFF", ""),
        ("samples.raw", b"\1" * 1000, ""),
    ],
)
def test_files_that_are_not_audio(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    for read in (read_audio, probe):
        with pytest.raises(AudioError) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert reason in str(caught.value)


def test_missing_directory_and_forbidden(tmp_path):
    for read in (read_audio, probe):
        with pytest.raises(AudioError, match=r"no\.wav: does not exist"):
            read(tmp_path / "no.wav")
        with pytest.raises(AudioError, match="is a folder, not an audio file"):
            read(tmp_path)
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    with pytest.raises(AudioError, match="cannot be opened: Too many levels"):
        read_audio(tmp_path / "loop.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="is a pipe or a device"):
        read_audio(tmp_path / "pipe.wav")


def test_a_link_to_nothing_says_where_it_points(tmp_path):
    (tmp_path / "a.wav").symlink_to("/nowhere/a.wav")
    with pytest.raises(AudioError, match=r"a\.wav: does not exist: it is a link to /nowhere/a\.wav"):
        read_audio(tmp_path / "a.wav")


def test_no_samples(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    for read in (read_audio, probe):
        with pytest.raises(AudioError, match="contains no samples"):
            read(tmp_path / "none.wav")
    soundfile.write(tmp_path / "one.wav", np.full(1, 0.5), 48000, subtype="FLOAT")
    with pytest.raises(AudioError, match="silent"):  # one sample is always equal to itself
        read_audio(tmp_path / "one.wav")


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_silent_files(tmp_path, rate, value):
    soundfile.write(tmp_path / "flat.wav", np.full(rate, value), rate)
    with pytest.raises(AudioError, match=rf"is silent: every sample is {value:g}"):
        read_audio(tmp_path / "flat.wav")
    with pytest.raises(AudioError, match="is silent"):
        read_audio(tmp_path / "flat.wav", start=0.2, seconds=0.1)


def test_channels_that_cancel_are_silent(tmp_path):
    wave = sweep(1.0, 16000)
    soundfile.write(tmp_path / "phase.wav", np.stack([wave, -wave], axis=1), 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="is silent"):
        read_audio(tmp_path / "phase.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, value):
    wave = sweep(1.0, 16000)
    wave[1234] = value
    soundfile.write(tmp_path / "nan.wav", wave, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="not a finite number, at 1234"):
        read_audio(tmp_path / "nan.wav")
    with pytest.raises(AudioError, match="not a finite number, at 1234"):
        read_audio(tmp_path / "nan.wav", start=0.05, seconds=0.1)
    assert len(read_audio(tmp_path / "nan.wav", start=0.5)) == 8000


def test_start_past_the_end(tmp_path):
    for name, rate in (("a.wav", 16000), ("b.wav", 44100)):
        soundfile.write(tmp_path / name, sweep(1.0, rate), rate)
        for start in (1.0, 1.001, 1.03, 5.0):
            with pytest.raises(AudioError, match=r"ends before start=.*it is 1 s long"):
                read_audio(tmp_path / name, start=start)
        assert len(read_audio(tmp_path / name, start=1 - 1 / 16000)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1.0}, "start must be at least 0"),
        ({"start": float("nan")}, "start must be at least 0"),
        ({"seconds": 0.0}, "seconds must be long enough"),
        ({"seconds": -2.0}, "seconds must be long enough"),
        ({"seconds": float("inf")}, "seconds must be long enough"),
        ({"sample_rate": 0}, "sample_rate must be a positive"),
        ({"sample_rate": 16000.5}, "sample_rate must be a positive"),
    ],
)
def test_bad_arguments(tmp_path, options, message):
    soundfile.write(tmp_path / "a.wav", sweep(1.0, 16000), 16000)
    with pytest.raises(ValueError, match=message) as caught:
        read_audio(tmp_path / "a.wav", **options)
    assert not isinstance(caught.value, AudioError)


def test_the_error_survives_the_way_from_a_worker_process():
    error = pickle.loads(pickle.dumps(AudioError("a.wav", "is empty")))
    assert (str(error), error.path, error.reason) == ("a.wav: is empty", "a.wav", "is empty")
    assert str(AudioError("Caught AudioError in DataLoader worker")) == "Caught AudioError in DataLoader worker"


def test_names_that_are_not_utf8(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(0.5, 16000), 16000)
    soundfile.write(tmp_path / "a.mp3", sweep(0.5, 16000), 16000)
    for name in (b"caf\xe9.wav", b"caf\xe9.mp3"):
        path = os.path.join(os.fsencode(tmp_path), name)
        try:
            os.rename(tmp_path / ("a" + os.fsdecode(name[-4:])), path)
        except OSError:
            return  # this file system takes no such names
        assert len(read_audio(os.fsdecode(path))) == len(read_audio(path)) == 8000
        os.truncate(path, 20)
        with pytest.raises(AudioError) as caught:
            read_audio(os.fsdecode(path))
        assert os.fsencode(caught.value.path) == path


@pytest.mark.parametrize("name", ["a\0b.wav", "lone\ud83d.wav", "x" * 300, "a.wav/b.wav"])
def test_names_that_no_file_can_have(tmp_path, name):
    soundfile.write(tmp_path / "a.wav", sweep(0.5, 16000), 16000)
    for read in (read_audio, probe):
        with pytest.raises(AudioError):
            read(os.path.join(tmp_path, name))


def test_content_counts_and_names_do_not(tmp_path):
    for name in ("wav.mp3", "wav.raw", "wav.au", "wav", "wav.gsm", "wav.txt"):
        soundfile.write(tmp_path / name, sweep(0.5, 16000), 16000, format="WAV", subtype="FLOAT")
        assert np.abs(read_audio(tmp_path / name) - sweep(0.5, 16000)).max() < 1e-6
    soundfile.write(tmp_path / "mp3.wav", sweep(0.5, 16000), 16000, format="MP3")
    assert len(read_audio(tmp_path / "mp3.wav")) == 8000
    data = (tmp_path / "wav").read_bytes()
    (tmp_path / "tagged.flac").write_bytes(b"")
    soundfile.write(tmp_path / "plain.flac", sweep(0.5, 16000), 16000)
    (tmp_path / "tagged.flac").write_bytes(b"ID3\3\0\0\0\0\1\0" + bytes(128) + (tmp_path / "plain.flac").read_bytes())
    np.testing.assert_array_equal(read_audio(tmp_path / "tagged.flac"), read_audio(tmp_path / "plain.flac"))
    assert data[:4] == b"RIFF"


@pytest.mark.parametrize(("scale", "named"), [(1.5, None), (128, 128), (32768, 32768), (2.0**31, 2**31)])
def test_samples_far_beyond_full_scale_are_named(tmp_path, scale, named, caplog):
    soundfile.write(tmp_path / "a.wav", sweep(0.5, 16000) * scale, 16000, subtype="FLOAT")
    for _ in range(2):
        assert np.abs(read_audio(tmp_path / "a.wav") / scale - sweep(0.5, 16000)).max() < 1e-5
    assert len(caplog.messages) == (named is not None)
    if named:
        assert "where [-1, 1] is expected" in caplog.text
        assert f"divide them by {named} and write it anew" in caplog.text


def test_more_samples_than_one_array_holds(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", sweep(1.0, 16000), 16000)
    monkeypatch.setattr(reading, "_MOST", 100_000)
    assert len(read_audio(tmp_path / "a.wav", 96000)) == 96000
    with pytest.raises(AudioError, match=r"has 1\.92e\+05 samples, more than one array may hold; read it in parts"):
        read_audio(tmp_path / "a.wav", 192000)
    assert len(read_audio(tmp_path / "a.wav", 192000, start=0.5, seconds=0.25)) == 48000


def test_odd_names(tmp_path):
    for name in ("ünïcode – 音.wav", "with space.wav", "-dash.wav"):
        soundfile.write(tmp_path / name, sweep(0.5, 16000), 16000)
        assert len(read_audio(os.fspath(tmp_path / name))) == 8000
