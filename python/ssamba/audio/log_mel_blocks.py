"""Log-mel of a whole file in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr
from torch import Tensor

from .log_mel import FRAME_SHIFT, SAMPLE_RATE, frame_count, log_mel
from .reading import AudioFile

BLOCK_FRAMES = 2048  # a multiple of the rows that log_mel takes at once, so that it rounds alike
_OVERLAP = 240  # samples that a frame shares with the next


def log_mel_blocks(file: AudioFile, sample_rate: int = SAMPLE_RATE, *, subtract_mean: bool = False) -> Iterator[Tensor]:
    """`log_mel` of a file read at `sample_rate`, 2048 frames after 2048 frames, (T, 128) float32; the last are fewer.

    Together they are `log_mel(file.read(sample_rate), sample_rate)[0]`, bit for bit; with `subtract_mean`, for which
    the file is read twice, to float32 rounding. A file shorter than one frame gives nothing.

    Raises:
        AudioError: as `AudioFile.blocks`.
    """
    mean = _mean(file, sample_rate) if subtract_mean else None
    held = np.zeros(0, np.float32)
    for wave in _at_16_khz(file, sample_rate):
        held = np.concatenate([held, wave if mean is None else wave - mean])
        while frame_count(len(held)) >= BLOCK_FRAMES:
            yield log_mel(held[: BLOCK_FRAMES * FRAME_SHIFT + _OVERLAP], SAMPLE_RATE)[0]
            held = held[BLOCK_FRAMES * FRAME_SHIFT :]
    if frame_count(len(held)):
        yield log_mel(held, SAMPLE_RATE)[0]


def _at_16_khz(file: AudioFile, sample_rate: int) -> Iterator[np.ndarray]:
    seconds = BLOCK_FRAMES * FRAME_SHIFT / SAMPLE_RATE
    if sample_rate == SAMPLE_RATE:
        yield from file.blocks(sample_rate, seconds)
        return
    stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1)
    for wave in file.blocks(sample_rate, seconds):
        yield stream.resample_chunk(wave)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _mean(file: AudioFile, sample_rate: int) -> np.float32:
    total, count = 0.0, 0
    for wave in _at_16_khz(file, sample_rate):
        total, count = total + wave.sum(dtype=np.float64), count + len(wave)
    return np.float32(total / count)
