"""Sound of one file after the other: whole where it is short, in blocks where it is long."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from ..audio.reading import AudioError, AudioFile
from ..training.progress import SoundProgress

_SAMPLES_TOGETHER = 1 << 22  # 4 minutes at 16 kHz; with their log-mel 60 MB
_log = logging.getLogger(__name__)


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

    def require_length(self, file: AudioFile, path: str) -> None:
        """Raises AudioError for a file of fewer than `min_samples`."""
        seconds, needed = file.info.duration, self.min_samples / self.sample_rate
        if round(seconds * self.sample_rate) < self.min_samples:
            raise AudioError(path, f"is too short: {seconds:.3g} s, at least {needed:.3g} s are needed")

    def blocks(self, file: AudioFile, path: str) -> Iterator[np.ndarray]:
        """The whole file in blocks (samples,)."""
        for block in file.blocks(self.sample_rate):
            self.progress.heard(len(block) / self.sample_rate, file.info.duration)
            yield block
        self._say_notes(file, path)

    def whole(self, file: AudioFile, path: str) -> np.ndarray:
        """(samples,)"""
        wave = file.read(self.sample_rate)
        self.progress.heard(file.info.duration, file.info.duration)
        self._say_notes(file, path)
        return wave

    def _say_notes(self, file: AudioFile, path: str) -> None:
        for note in file.notes:
            _log.warning("%s: %s", path, note)

    def is_long(self, file: AudioFile) -> bool:
        """Whether the file is better taken in blocks than whole."""
        return file.info.duration * self.sample_rate > _SAMPLES_TOGETHER // 2


def at_most_together(wave: np.ndarray, batch_size: int) -> int:
    """How many waves of this length make a batch: `batch_size`, or as many as fit in memory."""
    return min(batch_size, max(1, _SAMPLES_TOGETHER // len(wave)))


def rechunked(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """The same sound in blocks of `samples` each, the last shorter."""
    rest = np.empty(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= samples:
            yield rest[:samples]
            rest = rest[samples:]
    if len(rest):
        yield rest
