"""AudioFile.blocks: together the whole file at any rate, in bounded memory."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from signals import sweep
from ssamba.audio import AudioError, AudioFile, read_audio


def joined(path, rate, seconds):
    with AudioFile(path) as file:
        blocks = list(file.blocks(rate, seconds))
    length = round(seconds * rate)
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    assert [len(block) for block in blocks[:-1]] == [length] * (len(blocks) - 1)
    assert 0 < len(blocks[-1]) <= length
    return np.concatenate(blocks)


@pytest.mark.parametrize("rate", [16000, 8000, 11025, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("frames", [1, 37, 4801, 100_003])
def test_together_they_are_the_whole(tmp_path, rate, frames):
    path = tmp_path / "a.wav"
    wave = sweep(frames / rate, rate) if frames > 1 else np.zeros(1)
    soundfile.write(path, np.append(wave[:-1], 0.3), rate, subtype="FLOAT")
    if frames == 1:
        with pytest.raises(AudioError, match="is silent"):
            joined(path, 16000, 1.0)
        return
    whole = read_audio(path)
    for seconds in (30.0, 1.0, 0.00123):
        blocks = joined(path, 16000, seconds)
        assert blocks.shape == whole.shape
        np.testing.assert_allclose(blocks, whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("wanted", [8000, 22050, 48000])
def test_other_rates_of_the_result(tmp_path, wanted):
    soundfile.write(tmp_path / "a.flac", sweep(5.0, 44100), 44100)
    np.testing.assert_allclose(
        joined(tmp_path / "a.flac", wanted, 0.7), read_audio(tmp_path / "a.flac", wanted), rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_many_decoded_blocks_of_every_decoder(tmp_path, name):
    """Longer than what is decoded at once, so that reading goes on where it stopped."""
    soundfile.write(tmp_path / name, np.stack([sweep(10.0, 44100, seed) for seed in range(2)], axis=1), 44100)
    whole = read_audio(tmp_path / name, 44100)
    np.testing.assert_allclose(joined(tmp_path / name, 44100, 0.9), whole, rtol=0, atol=2e-6)
    parts = [read_audio(tmp_path / name, 44100, start, 2.0) for start in range(0, 10, 2)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=2e-6)


def test_they_begin_anew_each_time(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(1.0, 16000), 16000)
    with AudioFile(tmp_path / "a.wav") as file:
        first = next(file.blocks(seconds=0.1))
        np.testing.assert_array_equal(np.concatenate(list(file.blocks(seconds=0.3)))[:1600], first)
        np.testing.assert_array_equal(file.read(seconds=0.1), first)


def test_damage_is_met_where_it_is(tmp_path):
    wave = sweep(4.0, 16000)
    wave[50_000] = np.nan
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    with AudioFile(tmp_path / "a.wav") as file, pytest.raises(AudioError, match="not a finite number, at 50000"):
        list(file.blocks())


def test_silence_is_named_at_the_end(tmp_path):
    soundfile.write(tmp_path / "flat.wav", np.full(48000, 0.25), 48000)
    with AudioFile(tmp_path / "flat.wav") as file, pytest.raises(AudioError, match=r"every sample is 0\.25"):
        list(file.blocks())
    wave = np.zeros(32000)
    wave[-1] = 0.5
    soundfile.write(tmp_path / "late.wav", wave, 16000)
    assert len(joined(tmp_path / "late.wav", 16000, 0.5)) == 32000


def test_what_reading_finds_is_noted(tmp_path):
    soundfile.write(tmp_path / "a.wav", 1000 * sweep(1.0, 16000), 16000, subtype="FLOAT")
    with AudioFile(tmp_path / "a.wav") as file:
        assert file.notes == []
        list(file.blocks())
        list(file.blocks())
        assert len(file.notes) == 1


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, float("inf"), float("nan")])
def test_bad_arguments(tmp_path, seconds):
    soundfile.write(tmp_path / "a.wav", sweep(1.0, 16000), 16000)
    with AudioFile(tmp_path / "a.wav") as file, pytest.raises(ValueError, match="seconds must be long enough"):
        file.blocks(seconds=seconds)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (96000, 6)])
def test_memory_does_not_grow_with_the_length(tmp_path, rate, channels):
    peaks = []
    for seconds in (40, 120):
        path = tmp_path / "a.wav"
        with soundfile.SoundFile(path, "w", rate, channels, "PCM_16") as file:
            for second in range(seconds):
                file.write(np.full((rate, channels), second + 1, np.int16))
        tracemalloc.start()
        with AudioFile(path) as file:
            count = sum(len(block) for block in file.blocks(seconds=1.0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == 16000 * seconds
    assert peaks[1] < 1.2 * peaks[0] + 100_000
    assert peaks[1] < 12_000_000
