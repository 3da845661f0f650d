"""log_mel against the golden features of the published model and against a plain float64 loop."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from ssamba.audio.log_mel import LOG_FLOOR, frame_count, log_mel, mel_filters

MEAN, STD = -4.2677393, 4.5689974


def log_mel_by_loops(wave: np.ndarray) -> np.ndarray:
    """The definition of Kaldi's fbank in float64, frame by frame and filter by filter."""

    def mel(hz):
        return 1127 * math.log(1 + hz / 700)

    low, high = mel(20), mel(8000)
    step = (high - low) / 129
    rows = []
    for start in range(0, len(wave) - 399, 160):
        frame = wave[start : start + 400].astype(np.float64)
        frame = frame - frame.mean()
        frame = np.array([frame[i] - 0.97 * frame[max(i - 1, 0)] for i in range(400)])
        frame *= [0.5 - 0.5 * math.cos(2 * math.pi * i / 399) for i in range(400)]
        power = np.abs(np.fft.fft(frame, 512)) ** 2
        row = []
        for band in range(128):
            left, centre, right = (low + step * (band + k) for k in range(3))
            energy = 0.0
            for bin_ in range(256):
                m = mel(bin_ * 16000 / 512)
                if left < m <= centre:
                    energy += power[bin_] * (m - left) / step
                elif centre < m < right:
                    energy += power[bin_] * (right - m) / step
            row.append(math.log(max(energy, 2**-23)))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["pre1024", "sc128"])
def test_equals_the_published_normalised_features(fbank, golden_wave, case, dtype):
    mean, std = {"pre1024": (MEAN, STD), "sc128": (-6.845978, 5.5654526)}[case]
    x = log_mel(golden_wave.to(dtype), 16000, subtract_mean=True)[0]
    x = torch.cat([x, x.new_zeros(1024 - len(x), 128)])  # the published loader pads the raw features with 0
    x = ((x - mean) / (2 * std)).numpy()[fbank[f"w1/{case}_rows"]]
    error = np.abs(x - fbank[f"w1/{case}_norm_f32"])
    assert error.max() < 2e-3
    assert np.quantile(error, 0.99) < 1e-4


def test_equals_the_published_raw_features(fbank, golden_wave):
    x = log_mel(golden_wave.double(), 16000)[0].numpy()
    assert x.shape == (fbank["w1/n_frames"], 128)
    np.testing.assert_allclose(x[fbank["w1/raw_f64_rows"]], fbank["w1/raw_f64"], rtol=0, atol=1.5e-4)


def test_mel_filters_equal_the_published_ones(fbank):
    filters = mel_filters()
    np.testing.assert_allclose(filters.sum(axis=0), fbank["mel/filter_sums"], rtol=0, atol=2e-4)
    assert (np.flatnonzero(filters.sum(axis=0) == 0) == fbank["mel/empty_filters"]).all()
    assert not filters[256].any()  # Nyquist


def test_equals_a_plain_loop():
    wave = np.random.default_rng(5).normal(0.2, 0.1, 400 + 160 * 4 + 159)
    want = log_mel_by_loops(wave)
    assert want.shape == (5, 128)
    np.testing.assert_allclose(log_mel(torch.from_numpy(wave), 16000)[0], want, rtol=0, atol=1e-9)
    np.testing.assert_allclose(log_mel(torch.from_numpy(wave).float(), 16000)[0], want, rtol=0, atol=2e-4)
    np.testing.assert_array_equal(want[:, 3], math.log(2**-23))


def test_silence_gives_the_floor_and_a_constant_is_silence():
    for value in (0.0, 0.5):
        x = log_mel(torch.full((1600,), value), 16000)
        torch.testing.assert_close(x, torch.full((1, 8, 128), math.log(2**-23)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("subtract_mean", [False, True])
@pytest.mark.parametrize("sample_rate", [16000, 44100, 8000])
def test_padded_batch_equals_clip_by_clip(sample_rate, subtract_mean):
    generator = torch.Generator().manual_seed(0)
    samples = [int(sample_rate * seconds) for seconds in (0.5, 0.31, 0.0251, 0.02, 0.0, 0.777)]
    wave = torch.full((len(samples), max(samples)), torch.nan)  # what lies past a clip's end is never read
    for clip, n in zip(wave, samples, strict=True):
        clip[:n] = 0.1 * torch.randn(n, generator=generator) + 0.05
    lengths = torch.tensor(samples)
    x = log_mel(wave, sample_rate, lengths, subtract_mean=subtract_mean)
    counts = frame_count(lengths, sample_rate)
    assert counts.tolist() == [48, 29, 1, 0, 0, 76]
    for row, clip, n, count in zip(x, wave, samples, counts, strict=True):
        assert (row[count:] == torch.tensor(LOG_FLOOR)).all()
        if count:
            alone = log_mel(clip[:n], sample_rate, subtract_mean=subtract_mean)[0]
            torch.testing.assert_close(row[:count], alone, rtol=0, atol=1e-4 if subtract_mean else 1e-6)


def test_many_frames_in_pieces_equal_the_pieces():
    """More frames than one pass takes; a pass that began at a wrong frame would show."""
    wave = 0.1 * torch.randn(2, 16000 * 30, generator=torch.Generator().manual_seed(1))
    x = log_mel(wave, 16000)
    assert x.shape == (2, 2998, 128)
    for first in (0, 1020, 1024, 2047, 2990):
        piece = log_mel(wave[:, first * 160 : first * 160 + 400 + 160 * 7], 16000)
        torch.testing.assert_close(x[:, first : first + 8], piece, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("samples", "count"), [(0, 0), (1, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frame_count(samples, count):
    assert frame_count(samples) == count
    assert frame_count(torch.tensor([samples], dtype=torch.int32)).tolist() == [count]
    if count:
        assert log_mel(torch.zeros(samples), 16000).shape[1] == count


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 44100, 48000, 44101])
def test_frame_count_at_other_rates(sample_rate):
    for samples in (sample_rate, sample_rate + 7, sample_rate // 3):
        assert log_mel(torch.zeros(samples), sample_rate).shape[1] == frame_count(samples, sample_rate)
    long = torch.tensor([sample_rate * 3600], dtype=torch.int32)
    assert frame_count(long, sample_rate).item() == 1 + (16000 * 3600 - 400) // 160


def test_other_rates_give_the_features_of_the_same_sound():
    """A sound below 3 kHz sampled at three rates: the features agree where it has energy."""
    waves = {}
    for rate in (16000, 8000, 44100):
        t = torch.arange(rate, dtype=torch.float64) / rate
        waves[rate] = sum(torch.sin(2 * torch.pi * f * t + f) for f in (300.0, 1000.0, 2500.0)) / 10
    want = log_mel(waves[16000], 16000)[0, 5:-5]  # away from the resampler's edges
    loud = want > -3
    assert loud.float().mean() > 0.05
    for rate in (8000, 44100):
        got = log_mel(waves[rate], rate)[0, 5:-5]
        assert (got - want)[loud].abs().max() < 0.01
    wrong = log_mel(waves[8000], 16000)
    assert (wrong[0, 5:40] - want[:35])[loud[:35]].abs().max() > 1


def test_gradient():
    wave = torch.randn(2, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wave[:, 200:] *= 0.5
    direction = torch.randn(2, 600, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    wave.requires_grad_()
    lengths = torch.tensor([600, 410])

    def loss(step):
        return log_mel(wave + step * direction, 16000, lengths).square().sum()

    (slope,) = torch.autograd.grad(loss(0.0), wave)
    numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5
    torch.testing.assert_close((slope * direction).sum(), numeric, rtol=1e-6, atol=0)
    assert (slope[1, 410:] == 0).all()
    assert slope[1, :400].abs().min() > 0


@pytest.mark.parametrize("first", ["inference mode", "an export", "fake tensors"])
def test_tables_first_made_elsewhere_are_of_no_consequence(first):
    """In a process of its own, which has made none before."""
    run = subprocess.run([sys.executable, "-c", FIRST_MADE, first], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


FIRST_MADE = """
import sys, torch
from torch._subclasses import FakeTensorMode
from ssamba import log_mel

class LogMel(torch.nn.Module):
    def forward(self, wave):
        return log_mel(wave, 16000)

wave = torch.full((1, 800), 0.1)
wave[0, 400:] = -0.1
if sys.argv[1] == "inference mode":
    with torch.inference_mode():
        log_mel(wave, 16000)
elif sys.argv[1] == "an export":
    assert type(torch.export.export(LogMel(), (wave,)).module()(wave)) is torch.Tensor
else:
    with FakeTensorMode():
        log_mel(torch.empty(1, 800), 16000)
assert type(log_mel(wave, 16000)) is torch.Tensor
wave.requires_grad_()
log_mel(wave, 16000).sum().backward()
assert wave.grad.isfinite().all() and wave.grad.abs().max() > 0
"""


def test_half_precision_is_computed_in_float32():
    wave = 0.1 * torch.randn(1, 1600, generator=torch.Generator().manual_seed(4))
    want = log_mel(wave, 16000)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_mel(wave, 16000), want)
    half = wave.half()
    assert torch.equal(log_mel(half, 16000), log_mel(half.float(), 16000))


def test_numpy_and_strided_input():
    wave = 0.1 * torch.randn(2, 2000, generator=torch.Generator().manual_seed(4))
    want = log_mel(wave, 16000)
    assert torch.equal(log_mel(wave.numpy(), 16000), want)
    assert torch.equal(log_mel(wave.T.contiguous().T, 16000), want)
    torch.testing.assert_close(log_mel(wave[1], 16000), want[1:], rtol=0, atol=1e-4)  # other products, other rounding
    assert log_mel(wave[:0], 16000).shape == (0, 11, 128)


@pytest.mark.parametrize(
    ("wave", "options", "error", "message"),
    [
        (torch.zeros(399), {}, ValueError, r"399 samples; one frame \(25 ms\) needs 400 at 16000 Hz"),
        (torch.zeros(2, 199), {"sample_rate": 8000}, ValueError, "199 samples; .* needs 200 at 8000"),
        (torch.zeros(2, 1000, 2), {}, ValueError, r"\(2, 1000, 2\); average the channels"),
        (torch.zeros(1000, dtype=torch.int16), {}, TypeError, "floating-point .* got torch.int16"),
        ([0.0] * 1000, {}, TypeError, "got list"),
        (torch.zeros(1000), {"sample_rate": 0}, ValueError, "sample_rate .* got 0"),
        (torch.zeros(1000), {"sample_rate": 22050.5}, ValueError, "whole number"),
        (torch.zeros(2, 1000), {"lengths": torch.tensor([1000])}, ValueError, r"2 integers, got shape \(1,\)"),
        (torch.zeros(2, 1000), {"lengths": torch.tensor([1.0, 2.0])}, ValueError, "2 integers"),
        (torch.zeros(2, 1000), {"lengths": torch.tensor([1000, 1001])}, ValueError, r"0..1000 .* \[1000, 1001\]"),
        (torch.zeros(2, 1000), {"lengths": torch.tensor([1000, -1])}, ValueError, "0..1000"),
        (torch.zeros(1000, requires_grad=True), {"sample_rate": 8000}, ValueError, "no gradient through resampling"),
    ],
)
def test_bad_input_is_refused(wave, options, error, message):
    with pytest.raises(error, match=message):
        log_mel(wave, **{"sample_rate": 16000} | options)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 44100, 48000])
def test_the_shortest_input_named_by_the_error_is_the_shortest(sample_rate):
    with pytest.raises(ValueError, match="needs") as caught:
        log_mel(torch.zeros(1), sample_rate)
    needed = int(str(caught.value).split("needs ")[1].split()[0])
    assert frame_count(needed, sample_rate) == 1
    assert frame_count(needed - 1, sample_rate) == 0
