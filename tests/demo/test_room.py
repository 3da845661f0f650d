"""The made-up room: reverberation, tilt, noise and level are what they were asked to be."""

import numpy as np
import pytest

from ssamba.demo.room import coloured_noise, place_in_room, room_impulse, tilt

RATE = 16000


def decibels(power: float) -> float:
    return 10 * np.log10(power)


def band_power(wave: np.ndarray, low: float, high: float) -> float:
    frequency = np.fft.rfftfreq(wave.size, 1 / RATE)
    return np.mean(np.abs(np.fft.rfft(wave)[(frequency >= low) & (frequency < high)]) ** 2)


def test_a_room_decays_by_60_db_in_its_reverberation_time():
    impulse = room_impulse(np.random.default_rng(0), RATE, reverberation=0.5, direct_ratio_db=0.0)
    early, late = impulse[800:1600], impulse[6400:7200]  # centres 0.35 s apart: 42 dB
    assert decibels(np.mean(early**2) / np.mean(late**2)) == pytest.approx(42, abs=2)


@pytest.mark.parametrize("ratio", [0.0, 12.0])
def test_direct_sound_stands_over_the_tail_by_the_given_ratio(ratio):
    impulse = room_impulse(np.random.default_rng(0), RATE, reverberation=0.2, direct_ratio_db=ratio)
    assert impulse[0] == 1.0
    assert decibels(1 / np.sum(impulse[1:] ** 2)) == pytest.approx(ratio, abs=1e-9)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_falls_by_its_exponent(exponent):
    noise = coloured_noise(np.random.default_rng(0), 20 * RATE, exponent, RATE)
    assert np.mean(noise**2) == pytest.approx(1.0)
    fall = decibels(band_power(noise, 450, 550) / band_power(noise, 4500, 5500))
    assert fall == pytest.approx(10 * exponent, abs=0.7)


def test_tilt_keeps_1_khz_and_moves_the_octave_above():
    time = np.arange(RATE) / RATE
    for hertz, gain in ((1000, 0.0), (2000, 3.0), (500, -3.0)):
        tone = np.sin(2 * np.pi * hertz * time)
        assert decibels(np.mean(tilt(tone, 3.0, RATE) ** 2) / np.mean(tone**2)) == pytest.approx(gain, abs=1e-6)


def test_a_clip_is_as_long_and_loud_as_asked_and_repeats_by_seed():
    voice = np.sin(2 * np.pi * 440 * np.arange(4000) / RATE)
    clips = [place_in_room(voice, RATE, RATE, np.random.default_rng(seed), (10, 10), (-25, -25)) for seed in (0, 0, 1)]
    for clip in clips:
        assert clip.dtype == np.float32
        assert clip.shape == (RATE,)
        assert decibels(np.mean(clip.astype(float) ** 2)) == pytest.approx(-25, abs=1e-3)
    np.testing.assert_array_equal(clips[0], clips[1])
    assert not np.array_equal(clips[0], clips[2])


def test_noise_is_as_far_below_the_voice_as_asked():
    voice = np.random.default_rng(9).standard_normal(8000)
    for snr in (0.0, 20.0):
        ratios = []
        for seed in range(20):
            noisy = place_in_room(voice, RATE, RATE, np.random.default_rng(seed), (snr, snr), (-25, -25))
            # The same draws but for noise 80 dB down: what is left of the difference is the noise.
            clean = place_in_room(voice, RATE, RATE, np.random.default_rng(seed), (80, 80), (-25, -25))
            gain = np.dot(noisy, clean) / np.dot(clean, clean)
            active = np.abs(clean) > 1e-3 * np.max(np.abs(clean))
            ratios.append(np.sum((gain * clean)[active] ** 2) / np.sum((noisy - gain * clean)[active] ** 2))
        assert decibels(np.median(ratios)) == pytest.approx(snr, abs=3.0)


def test_a_voice_longer_than_the_clip_is_cut_and_nothing_overflows():
    clip = place_in_room(np.ones(2 * RATE), RATE, RATE, np.random.default_rng(0), (5, 25), (3, 3))
    assert clip.shape == (RATE,)
    assert np.max(np.abs(clip)) <= 0.9991
