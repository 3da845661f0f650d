"""Log-mel features equal to Kaldi's, batched, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16000
FRAME_LENGTH = 400  # 25 ms
FRAME_SHIFT = 160  # 10 ms
MEL_BINS = 128
ENERGY_FLOOR = 2.0**-23
LOG_FLOOR = float(np.log(ENERGY_FLOOR))  # what silence gives, -15.9424

_FFT_LENGTH = 512
_PREEMPHASIS = 0.97
_FILTER_GROUPS = 4
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 8000.0
_ROWS_AT_ONCE = {"cpu": 512, "cuda": 65536}  # frames per pass: fits the cache of a core, bounds the memory of a GPU


def log_mel(
    wav: Tensor | np.ndarray, sample_rate: int, lengths: Tensor | None = None, *, subtract_mean: bool = False
) -> Tensor:
    """Kaldi-compatible log-mel spectrogram, log(max(energy, 2^-23)), of a batch of clips.

    Per frame of 400 samples every 160, without padding at the ends: subtract the frame's mean, y[i] = x[i] - 0.97
    x[i-1] with x[-1] = x[0], times the symmetric Hann window, |FFT_512|², 128 triangles equally spaced on 1127 ln(1 +
    f/700) between 20 and 8000 Hz. Equal to torchaudio's `compliance.kaldi.fbank` with a Hann window, 128 bins and no
    dither. With 128 bins filter 3 holds no FFT bin, so channel 3 is always log(2^-23) = -15.94: so are the published
    model's features.

    Args:
        wav: (samples,) or (B, samples), floating point in [-1, 1). Half precision is computed in, and returned as,
            float32.
        sample_rate: rate of `wav` in Hz. Features are defined at 16 kHz: any other rate is resampled with soxr first,
            on the CPU and outside autograd.
        lengths: (B,) valid samples of each clip at `sample_rate`, 0 to samples. Samples past a clip's length are never
            read; frames at or past its `frame_count` hold log(2^-23), what silence gives.
        subtract_mean: subtract each clip's own mean first, as the published model does. The frames' means are removed
            anyway, so this changes rounding only.

    Returns:
        (B, T, 128), T = frame_count(samples, sample_rate), B = 1 for one clip; differentiable, on the device of `wav`.

    Raises:
        TypeError: `wav` is not a floating-point tensor.
        ValueError: wrong shape, a length outside 0..samples, fewer samples than one frame, or a gradient wanted through
            resampling.
    """
    wav, lengths = _checked(wav, sample_rate, lengths)
    with torch.autocast(wav.device.type, enabled=False):
        wav = (wav if wav.dtype == torch.float64 else wav.float()).contiguous()
        if lengths is not None:
            valid = torch.arange(wav.shape[1], device=wav.device) < lengths[:, None]
            wav = torch.where(valid, wav, 0.0)  # (B, samples)
        if sample_rate != SAMPLE_RATE:
            wav = _resample(wav, sample_rate)
        if subtract_mean:
            wav = _subtract_mean(wav, None if lengths is None else _resampled(lengths, sample_rate))
        count, step = frame_count(wav.shape[1]), max(1, _ROWS_AT_ONCE.get(wav.device.type, 65536) // max(1, len(wav)))
        if not len(wav):
            return wav.new_empty(len(wav), count, MEL_BINS)
        constants = _constants(wav.dtype, wav.device)
        parts = [_log_mel_of_part(wav, first, min(first + step, count), *constants) for first in range(0, count, step)]
        x = torch.cat(parts, dim=1)  # (B, T, F)
        if lengths is not None:
            counted = torch.arange(x.shape[1], device=x.device) < frame_count(lengths, sample_rate)[:, None]
            x = torch.where(counted[:, :, None], x, LOG_FLOOR)
    return x


def frame_count(samples: int | Tensor, sample_rate: int = SAMPLE_RATE) -> int | Tensor:
    """Frames that `log_mel` makes of so many samples: 1 + (n - 400) // 160 at 16 kHz, 0 below one frame.

    `samples` is a number, or an integer tensor (then so is the result), at `sample_rate` Hz.
    """
    samples = _resampled(samples, sample_rate)
    count = 1 + (samples - FRAME_LENGTH) // FRAME_SHIFT
    return count.clamp(min=0) if isinstance(count, Tensor) else max(0, count)


def mel_filters() -> np.ndarray:
    """The mel matrix (257 FFT bins, 128 filters) in float64; the Nyquist bin has weight 0."""

    def mel(hz):
        return 1127.0 * np.log1p(hz / 700.0)

    low, high = mel(_LOWEST_HZ), mel(_HIGHEST_HZ)
    width = (high - low) / (MEL_BINS + 1)
    left = low + width * np.arange(MEL_BINS)
    position = mel(np.arange(_FFT_LENGTH // 2 + 1) * SAMPLE_RATE / _FFT_LENGTH)
    rise = (position[:, None] - left) / width
    filters = np.maximum(0.0, np.minimum(rise, 2.0 - rise))
    filters[-1] = 0.0
    return filters


def _checked(wav: Tensor | np.ndarray, sample_rate: int, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    wav = torch.from_numpy(wav) if isinstance(wav, np.ndarray) else wav
    if not isinstance(wav, Tensor) or not wav.is_floating_point():
        found = wav.dtype if isinstance(wav, Tensor) else type(wav).__name__
        raise TypeError(f"wav must be a floating-point tensor in [-1, 1), got {found}")
    if wav.ndim not in (1, 2):
        raise ValueError(
            f"wav must have shape (samples,) or (B, samples), got {tuple(wav.shape)}; average the channels first"
        )
    if sample_rate != int(sample_rate) or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive whole number of Hz, got {sample_rate}")
    if sample_rate != SAMPLE_RATE and torch.is_grad_enabled() and wav.requires_grad:
        raise ValueError(
            f"no gradient through resampling: give wav at {SAMPLE_RATE} Hz (got {sample_rate}), or detach it"
        )
    wav = wav[None] if wav.ndim == 1 else wav
    if frame_count(wav.shape[1], sample_rate) == 0:
        needed = -(-(2 * FRAME_LENGTH - 1) * sample_rate // (2 * SAMPLE_RATE))
        raise ValueError(f"wav has {wav.shape[1]} samples; one frame (25 ms) needs {needed} at {sample_rate} Hz")
    if lengths is not None:
        lengths = torch.as_tensor(lengths, device=wav.device)
        if lengths.shape != wav.shape[:1] or lengths.is_floating_point():
            raise ValueError(
                f"lengths must be {len(wav)} integers, got shape {tuple(lengths.shape)} of {lengths.dtype}"
            )
        lengths = lengths.long()
        if not torch.compiler.is_compiling() and ((lengths < 0) | (lengths > wav.shape[1])).any():
            raise ValueError(f"lengths must lie in 0..{wav.shape[1]} samples, got {lengths.tolist()}")
    return wav, lengths


def _resampled(samples: int | Tensor, sample_rate: int) -> int | Tensor:
    """Number of samples after resampling to 16 kHz, rounded half up as soxr does."""
    if sample_rate == SAMPLE_RATE:
        return samples
    samples = samples.long() if isinstance(samples, Tensor) else samples
    return (2 * samples * SAMPLE_RATE + sample_rate) // (2 * sample_rate)


def _resample(wav: Tensor, sample_rate: int) -> Tensor:
    clips = np.ascontiguousarray(wav.detach().cpu().numpy().T)  # soxr wants (samples, channels): clips are channels
    return torch.from_numpy(soxr.resample(clips, sample_rate, SAMPLE_RATE).T.copy()).to(wav.device)


def _subtract_mean(wav: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return wav - wav.mean(dim=1, keepdim=True)
    valid = torch.arange(wav.shape[1], device=wav.device) < lengths[:, None]
    wav = torch.where(valid, wav, 0.0)
    return wav - wav.sum(dim=1, keepdim=True) / lengths.clamp(min=1)[:, None]


def _log_mel_of_part(
    wav: Tensor, first: int, last: int, window: Tensor, filters: Sequence[tuple[int, Tensor]]
) -> Tensor:
    """Frames first..last of wav (B, samples): (B, last - first, F).

    A frame's mean m leaves x[i] - 0.97 x[i-1] smaller by 0.03 m. The window is 0 at sample 0, so x[-1] is never used,
    and behind the frame.
    """
    part = wav[:, first * FRAME_SHIFT : (last - 1) * FRAME_SHIFT + FRAME_LENGTH]
    mean = part.unfold(1, FRAME_LENGTH, FRAME_SHIFT).mean(dim=2, keepdim=True)  # (B, T, 1)
    emphasised = F.pad(part - _PREEMPHASIS * F.pad(part, (1, 0))[:, :-1], (0, _FFT_LENGTH - FRAME_LENGTH))
    emphasised = emphasised.unfold(1, _FFT_LENGTH, FRAME_SHIFT)  # (B, T, 512)
    spectrum = torch.fft.rfft((emphasised - (1 - _PREEMPHASIS) * mean) * window)  # (B, T, 257)
    power = torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)
    energy = [power[..., lowest : lowest + len(group)] @ group for lowest, group in filters]
    return torch.cat(energy, dim=2).clamp(min=ENERGY_FLOOR).log()


def _constants(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """Hann window (400,), padded to 512, and the mel matrix in `_FILTER_GROUPS` parts, each from its first FFT bin on.

    Neighbouring filters have few bins in common with the others: the parts hold a quarter of the whole. Only numbers
    are kept from call to call: a tensor made while a program is recorded is of use to that recording alone.
    """
    numbers, shapes, lowest = _constant_numbers()
    sizes = [math.prod(shape) for shape in shapes]
    window, *parts = torch.from_numpy(numbers).to(dtype).to(device).split(sizes)
    parts = [part.view(shape) for part, shape in zip(parts, shapes[1:], strict=True)]
    return window, list(zip(lowest, parts, strict=True))


@cache
def _constant_numbers() -> tuple[np.ndarray, list[tuple[int, ...]], list[int]]:
    """All numbers of `_constants` in a row, in float64; the shapes of window and parts; the first bin of each part."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME_LENGTH) / (FRAME_LENGTH - 1))
    arrays, lowest = [np.pad(window, (0, _FFT_LENGTH - FRAME_LENGTH))], []
    for group in np.split(mel_filters(), _FILTER_GROUPS, axis=1):
        used = np.flatnonzero(group.any(axis=1))
        lowest.append(int(used[0]))
        arrays.append(group[used[0] : used[-1] + 1])
    return np.concatenate([array.ravel() for array in arrays]), [array.shape for array in arrays], lowest
