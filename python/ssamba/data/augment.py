"""Random changes of training batches: SpecAugment, noise and roll of features, mixup of waveforms; no loop over clips.

Every function takes a `generator`: the same state gives the same result on any device, for numbers are drawn where the
generator lives (on the CPU by default) and then moved. Features are normalised log-mel x (B, T, F), whose mean and
padding are 0.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def spec_augment(
    x: Tensor, freq: int, time: int, generator: torch.Generator | None = None, lengths: Tensor | None = None
) -> Tensor:
    """Set one band of bins and one span of frames of each clip to 0, the mean (SpecAugment).

    Args:
        x: (B, T, F) normalised features.
        freq, time: width of band and span is uniform over 0 .. freq - 1 bins and 0 .. time - 1 frames, place uniform;
            0: none.
        generator: source of the random numbers; None: torch's default.
        lengths: (B,) valid frames; the span lies within them and is never wider.

    Raises:
        ValueError: `freq` is outside 0..F or `time` below 0, or a wrong shape.
    """
    frames = _valid_frames(x, lengths)
    if not 0 <= freq <= x.shape[2] or time < 0:
        raise ValueError(f"freq must lie in 0..{x.shape[2]} and time be at least 0, got freq={freq}, time={time}")
    draws = _uniform((4, len(x), 1), x, generator)
    bins = torch.full_like(frames, x.shape[2])
    hidden_bins = _span(draws[0], draws[1], torch.full_like(frames, freq), bins, x.shape[2])  # (B, F)
    hidden_frames = _span(draws[2], draws[3], frames.clamp(max=time), frames, x.shape[1])  # (B, T)
    return x.masked_fill(hidden_bins[:, None, :] | hidden_frames[:, :, None], 0.0)


def add_noise(
    x: Tensor, amount: float = 0.1, generator: torch.Generator | None = None, lengths: Tensor | None = None
) -> Tensor:
    """Add u·U to each clip, u uniform in [0, amount) per clip, U uniform in [-1/2, 1/2) per element, so of mean 0.

    The published recipe draws U from [0, 1), which also shifts every clip upwards. Frames past `lengths` stay as they
    are.
    """
    frames = _valid_frames(x, lengths)
    if not amount >= 0:
        raise ValueError(f"amount must be at least 0, got {amount}")
    scale = amount * _uniform((len(x), 1, 1), x, generator)
    noise = scale * (_uniform(tuple(x.shape), x, generator) - 0.5)
    valid = torch.arange(x.shape[1], device=x.device) < frames
    return x + (noise * valid[:, :, None]).to(x.dtype)


def roll(
    x: Tensor, frames: int = 10, generator: torch.Generator | None = None, lengths: Tensor | None = None
) -> Tensor:
    """Shift each clip circularly within its valid frames, by a whole number uniform over -frames .. frames - 1."""
    valid = _valid_frames(x, lengths)
    if frames < 0:
        raise ValueError(f"frames must be at least 0, got {frames}")
    shift = (_uniform((len(x), 1), x, generator) * (2 * frames)).floor().long() - frames if frames else 0
    time = torch.arange(x.shape[1], device=x.device)
    source = torch.where(time < valid, (time - shift).remainder(valid.clamp(min=1)), time)  # (B, T)
    return x.gather(1, source[:, :, None].expand_as(x))


def mixup(
    wave: Tensor,
    labels: Tensor,
    probability: float,
    generator: torch.Generator | None = None,
    lengths: Tensor | None = None,
    alpha: float = 10.0,
) -> tuple[Tensor, Tensor]:
    """Mix clips with others of the batch: λ w1 + (1-λ) w2 with labels λ y1 + (1-λ) y2, λ ~ Beta(alpha, alpha).

    Each clip is mixed with the given probability, its partner uniform over the batch. Means are subtracted before and
    after; the partner is cut, or padded with 0, to the clip's own length. All waves returned have mean 0 over their
    valid samples.

    Args:
        wave: (B, samples) waveforms.
        labels: (B, C) multi-hot or soft labels.
        probability: 0 to 1.
        generator: source of the random numbers; None: torch's default.
        lengths: (B,) valid samples; the rest of the result is 0.
        alpha: above 0; the published value is 10.

    Returns:
        wave (B, samples), labels (B, C).
    """
    if wave.ndim != 2 or labels.ndim != 2 or len(labels) != len(wave):
        raise ValueError(
            f"expected wave (B, samples) and labels (B, C), got {tuple(wave.shape)}, {tuple(labels.shape)}"
        )
    if not 0 <= probability <= 1 or not alpha > 0:
        raise ValueError(f"probability must lie in 0..1 and alpha be above 0, got {probability}, {alpha}")
    batch, samples = wave.shape
    lengths = torch.full((batch,), samples, device=wave.device) if lengths is None else lengths.to(wave.device)
    valid = torch.arange(samples, device=wave.device) < lengths[:, None]
    device = "cpu" if generator is None else generator.device
    seed = int(torch.randint(2**62, (), generator=generator, device=device))
    random = np.random.default_rng(seed)  # torch draws no Beta from a generator
    weight = np.where(random.random(batch) < probability, random.beta(alpha, alpha, batch), 1.0)
    weight = torch.from_numpy(weight).to(wave)[:, None]  # (B, 1)
    partner = torch.from_numpy(random.integers(max(1, batch), size=batch)).to(wave.device)
    wave = _centre(wave, valid, lengths)
    mixed = _centre(weight * wave + (1 - weight) * wave[partner], valid, lengths)
    soft = weight.to(labels)
    return mixed, soft * labels + (1 - soft) * labels[partner]


def _centre(wave: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
    wave = wave * valid
    return (wave - wave.sum(dim=1, keepdim=True) / lengths.clamp(min=1)[:, None]) * valid


def _span(width: Tensor, place: Tensor, widest: Tensor, room: Tensor, size: int) -> Tensor:
    """Mask (B, size) of floor(width·widest) places from floor(place·(room - that + 1)) on; all arguments (B, 1)."""
    length = (width * widest).floor()
    first = (place * (room - length + 1)).floor()
    position = torch.arange(size, device=width.device)
    return (position >= first) & (position < first + length)


def _valid_frames(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Valid frames of each clip, (B, 1) int64."""
    if x.ndim != 3:
        raise ValueError(f"x must have shape (B, T, F), got {tuple(x.shape)}")
    if lengths is None:
        return torch.full((len(x), 1), x.shape[1], device=x.device)
    if lengths.shape != x.shape[:1]:
        raise ValueError(f"lengths must be {len(x)} numbers, got shape {tuple(lengths.shape)}")
    return lengths.to(x.device)[:, None]


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [0, 1), float32 whatever `like` is, on its device."""
    device = "cpu" if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device).to(like.device)
