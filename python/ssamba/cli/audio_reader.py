"""Sound of one file after the other: whole where it is short, in blocks where it is long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..audio.reading import AudioError, AudioFile, log_notes
from ..training.progress import SoundProgress

_SAMPLES_TOGETHER = 1 << 22  # 4 minutes at 16 kHz; with their log-mel 60 MB


class AudioReader:
    """Waveforms of files at one rate; what cannot be used is kept in `skipped` as (path, reason), or raised if strict.

    `progress` is told of every second that is read.
    """

    def __init__(self, sample_rate: int, min_samples: int, strict: bool, progress: SoundProgress):
        self.sample_rate, self.min_samples, self.strict, self.progress = sample_rate, min_samples, strict, progress
        self.skipped: list[tuple[str, str]] = []

    @contextmanager
    def skipping(self, path: str) -> Iterator[None]:
        """Inside, an AudioError ends the block: the file is left out."""
        try:
            yield
        except AudioError as error:
            if self.strict:
                raise
            self.skipped.append((path, error.reason))
        finally:
            self.progress.file_done()

    def require_length(self, file: AudioFile) -> None:
        """Raises AudioError for a file of fewer than `min_samples`."""
        seconds, needed = file.info.duration, self.min_samples / self.sample_rate
        if round(seconds * self.sample_rate) < self.min_samples:
            raise AudioError(file.path, f"is too short: {seconds:.3g} s, at least {needed:.3g} s are needed")

    def blocks(self, file: AudioFile, seconds: float = 30.0) -> Iterator[np.ndarray]:
        """The whole file in blocks (samples,) of so many seconds, the last shorter."""
        for block in file.blocks(self.sample_rate, seconds):
            self.progress.heard(len(block) / self.sample_rate, file.info.duration)
            yield block
        log_notes(file)

    def whole(self, file: AudioFile) -> np.ndarray:
        """(samples,)"""
        wave = file.read(self.sample_rate)
        self.progress.heard(file.info.duration, file.info.duration)
        log_notes(file)
        return wave

    def is_long(self, file: AudioFile) -> bool:
        """Whether the file is better taken in blocks than whole."""
        return file.info.duration * self.sample_rate > _SAMPLES_TOGETHER // 2


def at_most_together(wave: np.ndarray, batch_size: int) -> int:
    """How many waves of this length make a batch: `batch_size`, or as many as fit in memory."""
    return min(batch_size, max(1, _SAMPLES_TOGETHER // len(wave)))
