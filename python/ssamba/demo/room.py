"""Puts a dry voice into a small noisy room: reverberation, a tilted microphone, coloured noise, a random level."""

from __future__ import annotations

import numpy as np


def room_impulse(
    rng: np.random.Generator, sample_rate: int, reverberation: float, direct_ratio_db: float
) -> np.ndarray:
    """Impulse response of a made-up room, float64 (samples,): the direct sound, then noise that decays exponentially.

    reverberation: seconds until the tail has fallen by 60 dB (T60). direct_ratio_db: energy of the direct sound over
    that of the tail, in dB.
    """
    time = np.arange(1, int(reverberation * sample_rate)) / sample_rate
    tail = rng.standard_normal(time.size) * 10.0 ** (-3.0 * time / reverberation)
    tail[: int(0.002 * sample_rate)] = 0.0  # the first echo arrives after at least 0.7 m of detour
    energy = np.sum(tail**2)
    if energy > 0:
        tail *= np.sqrt(10.0 ** (-direct_ratio_db / 10.0) / energy)
    return np.concatenate(([1.0], tail))


def coloured_noise(rng: np.random.Generator, samples: int, exponent: float, sample_rate: int) -> np.ndarray:
    """Noise whose power falls as 1/f^exponent above 50 Hz, float64 (samples,), root mean square 1."""
    frequency = np.maximum(np.fft.rfftfreq(samples, 1.0 / sample_rate), 50.0)
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * frequency ** (-exponent / 2.0)
    noise = np.fft.irfft(spectrum, samples)
    return noise / np.sqrt(np.mean(noise**2))


def tilt(wave: np.ndarray, db_per_octave: float, sample_rate: int) -> np.ndarray:
    """Raises or lowers high frequencies by `db_per_octave` around 1 kHz, as one microphone does against another."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(wave.size, 1.0 / sample_rate), 50.0) / 1000.0)
    return np.fft.irfft(np.fft.rfft(wave) * 10.0 ** (db_per_octave * octaves / 20.0), wave.size)


def place_in_room(
    voice: np.ndarray,
    samples: int,
    sample_rate: int,
    rng: np.random.Generator,
    snr_db: tuple[float, float],
    level_db: tuple[float, float] = (-32.0, -16.0),
) -> np.ndarray:
    """A clip of `samples` float32 values in [-1, 1] with `voice` (samples,) somewhere inside, in a random noisy room.

    snr_db: lowest and highest power of the voice over that of the noise, in dB, both over the voice's own span.
    level_db: lowest and highest root mean square of the clip, in dB of full scale. A voice longer than the clip is cut.
    """
    voice = voice[:samples]
    start = int(rng.integers(0, samples - voice.size + 1))
    reverberation, ratio = rng.uniform(0.1, 0.5), rng.uniform(0.0, 15.0)
    impulse = room_impulse(rng, sample_rate, reverberation, ratio)
    size = 1 << (voice.size + impulse.size - 2).bit_length()  # a power of two keeps the transform fast
    wet = np.fft.irfft(np.fft.rfft(voice, size) * np.fft.rfft(impulse, size), size)
    clip = np.zeros(samples)
    heard = wet[: min(samples - start, voice.size + impulse.size - 1)]
    clip[start : start + heard.size] = heard
    power = np.mean(clip[start : start + voice.size] ** 2)
    noise = coloured_noise(rng, samples, rng.uniform(0.5, 2.0), sample_rate)
    clip += noise * np.sqrt(power * 10.0 ** (-rng.uniform(*snr_db) / 10.0))
    clip = tilt(clip, rng.uniform(-3.0, 3.0), sample_rate)
    clip *= 10.0 ** (rng.uniform(*level_db) / 20.0) / np.sqrt(np.mean(clip**2))
    return (clip / max(1.0, np.max(np.abs(clip)) / 0.999)).astype(np.float32)
